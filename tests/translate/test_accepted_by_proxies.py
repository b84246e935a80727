"""Whatever translation gives passes the proxy's own validation."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.resources import Object
from tests.translate.harness import Lab
from tests.translate.universe import START, objects

core = pytest.importorskip("fairlead._core", reason="the extension is not built")


@settings(max_examples=100)
@given(items=st.lists(objects, max_size=40))
def test_no_resource_is_refused(items: list[Object]) -> None:
    full = Lab(*START, *items).translator.full()
    for key, item in full.resources.items():
        assert core.validate_resource(key.kind.value, item.body) is None, key
