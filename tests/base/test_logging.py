"""The log when it cannot be written."""

import contextlib
import sys
from pathlib import Path

import pytest
import structlog

from fairlead.base import configure_logging, get_logger


@pytest.mark.parametrize("json", [True, False])
def test_a_full_disk_under_the_log_raises_nothing(monkeypatch: pytest.MonkeyPatch, json: bool) -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115 - its close fails
    monkeypatch.setattr(sys, "stderr", full)
    try:
        configure_logging(json=json)
        get_logger("test").warning("one")
        get_logger("test").error("two", much="x" * 100_000)
        with pytest.raises(OSError, match="No space"):
            print("without it", file=full, flush=True)
    finally:
        structlog.reset_defaults()
        with contextlib.suppress(OSError):
            full.close()
