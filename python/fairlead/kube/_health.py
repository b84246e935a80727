"""Whether the API server can be connected to: one probe for all reflectors.

Laws:
1. While connecting fails one task at a time probes, every `interval` seconds (jittered); all others wait for it.
   With a backoff of their own instead the next try after an outage of 20 s would come 15 s late (median).
2. The probe succeeds when the server says that it is ready. One that answers but is not ready is probed every
   `starting_interval` for `starting` seconds; then everybody tries for himself, with the backoff of HTTP errors.
3. Whoever waits may be cancelled; the next one takes over.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import msgspec

from fairlead.base import Clock, SystemClock
from fairlead.kube._errors import KubeError


class HealthSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All in seconds."""

    interval: tuple[float, float] = (0.5, 1.0)
    starting_interval: float = 0.3
    starting: float = 15.0
    spread: float = 0.1
    """Those who waited go on spread over this time."""


class Outage:
    """The probe's decisions, without I/O: what an outcome means, and when to probe next."""

    def __init__(self, settings: HealthSettings, random: Random) -> None:
        self._settings = settings
        self._random = random
        self._answers_since: float | None = None

    def pause(self) -> float:
        """Seconds until the next probe."""
        if self._answers_since is not None:
            return self._settings.starting_interval
        return self._random.uniform(*self._settings.interval)

    def is_over(self, ready: bool | None, now: float) -> bool:  # noqa: FBT001 - an outcome
        """Takes an outcome: ready, answering but not ready (False), not reached (None)."""
        if ready is None:
            self._answers_since = None
            return False
        if ready:
            return True
        if self._answers_since is None:
            self._answers_since = now
        return now - self._answers_since >= self._settings.starting


class ServerHealth:
    """Shared by all that talk to one API server."""

    def __init__(
        self,
        probe: Callable[[], Awaitable[bool]],
        *,
        random: Random,
        settings: HealthSettings | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`probe` is `Client.probe`."""
        self.settings = settings or HealthSettings()
        self.probes = 0
        """Probes made since the start."""
        self._probe = probe
        self._random = random
        self._clock = clock or SystemClock()
        self._outage: Outage | None = None
        self._prober = asyncio.Lock()
        self._recovered = asyncio.Event()

    @property
    def down(self) -> bool:
        """Whether connecting fails."""
        return self._outage is not None

    def unreachable(self) -> None:
        """A connection could not be made."""
        if self._outage is None:
            self._outage = Outage(self.settings, self._random)

    async def wait(self) -> None:
        """Returns when connecting makes sense."""
        async with self._prober:
            while (outage := self._outage) is not None:
                await asyncio.sleep(outage.pause())
                if outage.is_over(await self._try(), self._clock.monotonic()):
                    self._outage = None
                    self._recovered.set()
                    self._recovered = asyncio.Event()
        await asyncio.sleep(self._random.random() * self.settings.spread)

    async def recovery(self) -> None:
        """Returns when the next outage ends, or the present one."""
        await self._recovered.wait()
        await asyncio.sleep(self._random.random() * self.settings.spread)

    async def _try(self) -> bool | None:
        self.probes += 1
        try:
            return await self._probe()
        except KubeError:
            return None
