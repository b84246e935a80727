"""Logging of the control plane: structlog, JSON by default, readable on a terminal.

Lines go to standard error; standard output belongs to the access log and to commands. structlog is imported when
it is used: commands that log nothing start without it.

Law: a line that cannot be written (a full disk, a reader that is gone) is lost, and ends nothing.
"""

import contextlib
import logging
import sys
from typing import TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger, Processor


class _Lenient:
    """A stream that loses what it cannot write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def configure_logging(*, level: str = "info", json: bool | None = None) -> None:
    """Sets the process up for logging; `json=None` chooses by whether standard error is a terminal."""
    import structlog

    as_json = not sys.stderr.isatty() if json is None else json
    numeric = logging.getLevelNamesMapping()[level.upper()]
    renderer: Processor = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Lenient(sys.stderr))),
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> "FilteringBoundLogger":
    """A logger whose lines carry `component=name`."""
    import structlog

    return cast("FilteringBoundLogger", structlog.get_logger(component=name))
