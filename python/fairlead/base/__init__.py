"""What every layer may use: errors with stable codes, the clock, logging, records, taking turns."""

from fairlead.base._clock import Clock, SystemClock, VirtualClock
from fairlead.base._errors import UNDECODABLE, ErrorSource, FairleadError
from fairlead.base._logging import configure_logging, get_logger
from fairlead.base._records import RecordTrouble, replace_record
from fairlead.base._turns import Turns

__all__ = [
    "UNDECODABLE",
    "Clock",
    "ErrorSource",
    "FairleadError",
    "RecordTrouble",
    "SystemClock",
    "Turns",
    "VirtualClock",
    "configure_logging",
    "get_logger",
    "replace_record",
]
