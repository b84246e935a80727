"""What every layer may use: errors with stable codes, the clock, logging, taking turns."""

from fairlead.base._clock import Clock, SystemClock, VirtualClock
from fairlead.base._errors import UNDECODABLE, ErrorSource, FairleadError
from fairlead.base._logging import configure_logging, get_logger
from fairlead.base._turns import Turns

__all__ = [
    "UNDECODABLE",
    "Clock",
    "ErrorSource",
    "FairleadError",
    "SystemClock",
    "Turns",
    "VirtualClock",
    "configure_logging",
    "get_logger",
]
