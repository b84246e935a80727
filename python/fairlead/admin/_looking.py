"""Telemetry while somebody looks, and not otherwise."""

import asyncio
import contextlib
from collections.abc import Callable, Collection

from fairlead.admin._telemetry import TelemetryBook
from fairlead.base import Clock
from fairlead.snapshot import Subscribe, Telemetry

PERIOD_MS = 500
LINGER_S = 15.0
"""How long a subscription outlives the last look: the next one finds a window of samples."""

FIRST_S = 0.75
"""How long the first look waits for the proxies' first answer."""


class Looking:
    """Subscribes at the first look, ends the subscription some time after the last."""

    def __init__(
        self,
        book: TelemetryBook,
        *,
        subscribe: Callable[[Subscribe], None],
        proxies: Callable[[], Collection[str]],
        clock: Clock,
    ) -> None:
        self._book = book
        self._subscribe = subscribe
        self._proxies = proxies
        self._clock = clock
        self._looked_at: float | None = None
        self._told = asyncio.Event()

    def measured(self, proxy: str, telemetry: Telemetry) -> None:
        """A proxy has told."""
        if self._looked_at is not None:
            self._book.measured(proxy, telemetry, self._clock.monotonic())
            self._told.set()

    async def look(self) -> None:
        """Says that somebody looks; returns when there is something to see, or soon if proxies are silent."""
        if self._looked_at is None:
            self._subscribe(Subscribe(period_ms=PERIOD_MS))
        self._looked_at = self._clock.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                while not self._book.has(self._proxies()):
                    self._told.clear()
                    await self._told.wait()

    async def run(self) -> None:
        """Ends subscriptions that nobody looks at; until cancelled."""
        while True:
            await asyncio.sleep(1)
            self.tick()

    def tick(self) -> None:
        """Ends the subscription if nobody has looked for `LINGER_S`."""
        if self._looked_at is not None and self._clock.monotonic() - self._looked_at > LINGER_S:
            self._looked_at = None
            self._subscribe(Subscribe(period_ms=0))
            self._book.forget()
