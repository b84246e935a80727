"""What every layer may use: errors with stable codes, the clock, logging."""

from fairlead.base._clock import Clock, SystemClock, VirtualClock
from fairlead.base._errors import ErrorSource, FairleadError
from fairlead.base._logging import configure_logging, get_logger

__all__ = [
    "Clock",
    "ErrorSource",
    "FairleadError",
    "SystemClock",
    "VirtualClock",
    "configure_logging",
    "get_logger",
]
