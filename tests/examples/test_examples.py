"""The examples are what they say: every document is read without a finding."""

from pathlib import Path

import pytest

from fairlead.resources import Kind
from fairlead.sources import Finding, Upserted
from fairlead.sources.directory import DirectoryState, scan

EXAMPLES = sorted(path for path in (Path(__file__).parents[2] / "examples").iterdir() if path.is_dir())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_document_is_read(example: Path) -> None:
    changes = DirectoryState().update(scan(example), at=0)
    assert [change for change in changes if isinstance(change, Finding)] == []
    kinds = {change.kind for change in changes if isinstance(change, Upserted)}
    assert {Kind.GATEWAY, Kind.HTTP_ROUTE, Kind.SERVICE, Kind.ENDPOINT_SLICE} <= kinds
