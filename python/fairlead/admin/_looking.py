"""Telemetry while somebody looks, of what is looked at, and not otherwise."""

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

MOST_NAMED = 256
"""Of more Backends than this all are subscribed to."""

_NOTHING: frozenset[str] = frozenset()

Wanted = frozenset[str] | None
"""Names of Backends; None: all."""


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
        self._looks: dict[Wanted, float] = {}
        """When each was last looked at."""
        self._subscribed: Wanted = _NOTHING
        self._told = asyncio.Event()

    def measured(self, proxy: str, telemetry: Telemetry) -> None:
        """A proxy has told."""
        if self._looks:
            self._book.measured(proxy, telemetry, self._clock.monotonic())
            self._told.set()

    async def look(self, backends: Wanted = None) -> None:
        """Says that somebody looks; returns when there is something to see, or soon if proxies are silent."""
        if backends is not None and len(backends) > MOST_NAMED:
            backends = None
        self._looks[backends] = self._clock.monotonic()
        news = not _covers(self._subscribed, backends)
        if news:
            if self._subscribed != _NOTHING:
                # Earlier samples lack the new ones, whose rates would be counted from the proxies' start.
                self._book.forget()
            self._follow()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                while not self._seen(backends if news else _NOTHING):
                    self._told.clear()
                    await self._told.wait()

    async def run(self) -> None:
        """Ends subscriptions that nobody looks at; until cancelled."""
        while True:
            await asyncio.sleep(1)
            self.tick()

    def tick(self) -> None:
        """Ends what nobody has looked at for `LINGER_S`."""
        earliest = self._clock.monotonic() - LINGER_S
        self._looks = {wanted: at for wanted, at in self._looks.items() if at >= earliest}
        self._follow()
        if not self._looks:
            self._book.forget()

    def _follow(self) -> None:
        """Subscribes to what is looked at."""
        named = frozenset[str]().union(*(wanted for wanted in self._looks if wanted is not None))
        wanted = None if None in self._looks or len(named) > MOST_NAMED else named
        if wanted != self._subscribed:
            self._subscribed = wanted
            backends = None if wanted is None else tuple(sorted(wanted))
            self._subscribe(Subscribe(period_ms=0 if wanted == _NOTHING else PERIOD_MS, backends=backends))

    def _seen(self, new: Wanted) -> bool:
        """Whether every proxy has told, and one of each Backend that is newly looked at."""
        proxies = self._proxies()
        return not proxies or (self._book.has(proxies) and all(map(self._book.knows, new or ())))


def _covers(subscribed: Wanted, wanted: Wanted) -> bool:
    return subscribed is None or (wanted is not None and wanted <= subscribed)
