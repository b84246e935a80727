"""Logging of the control plane: structlog, JSON by default, readable on a terminal.

Lines go to standard error; standard output belongs to the access log and to commands. structlog is imported when
it is used: commands that log nothing start without it.
"""

import logging
import sys
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger, Processor


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
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> "FilteringBoundLogger":
    """A logger whose lines carry `component=name`."""
    import structlog

    return cast("FilteringBoundLogger", structlog.get_logger(component=name))
