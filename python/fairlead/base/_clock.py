"""Time as a parameter.

Laws:
1. Durations and deadlines are measured on `monotonic`; `wall` is only for what users and Kubernetes read.
2. Decision code takes a number, shells take a `Clock`; only `SystemClock` reads the system's.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """A source of time, in seconds."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...

    def wall(self) -> float:
        """Seconds since the Unix epoch."""
        ...


class SystemClock:
    """The system's clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


class VirtualClock:
    """A clock that moves only when told to: for tests."""

    def __init__(self, start: float = 1000.0, wall: float = 1_700_000_000.0) -> None:
        self._now = start
        self._wall_offset = wall - start

    def monotonic(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._now + self._wall_offset

    def advance(self, seconds: float) -> None:
        """Moves the clock forward by `seconds`, which must not be negative."""
        if seconds < 0:
            raise ValueError("time does not go back")
        self._now += seconds
