"""How long to wait after failures: the figures of client-go's reflector.

Laws:
1. A wait is `base` plus up to as much again (jitter 1.0); base doubles from 0.8 s, no wait exceeds the cap.
   The base stops at half the cap, so that waits at the cap are still spread.
2. After two minutes without a failure the next one counts as the first.
"""

from random import Random

import msgspec


class BackoffSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All in seconds."""

    initial: float = 0.8
    factor: float = 2.0
    cap: float = 30.0
    reset_after: float = 120.0


class Backoff:
    """Counts failures and says how long to wait."""

    def __init__(self, settings: BackoffSettings, random: Random) -> None:
        self._settings = settings
        self._random = random
        self._last: float | None = None
        self.failures = 0
        """Failures in a row, by law 2."""

    def fail(self, now: float) -> float:
        """Notes a failure at `now` (monotonic seconds); the seconds to wait before another try."""
        settings = self._settings
        if self._last is not None and now - self._last >= settings.reset_after:
            self.failures = 0
        base = min(settings.initial * settings.factor ** min(self.failures, 32), settings.cap / 2)
        self.failures += 1
        wait = base * (1 + self._random.random())
        self._last = now + wait
        return wait

    def reset(self) -> None:
        """Forgets all failures: something outside has said that trying makes sense again."""
        self.failures = 0
        self._last = None
