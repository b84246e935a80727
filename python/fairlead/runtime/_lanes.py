"""Changes in, Deltas out, in two lanes.

Laws:
1. Endpoint changes go first: before every slice of configuration work, whatever has come in of EndpointSlices is
   applied and published.
2. Configuration work runs in slices of at most `SLICE_S`; between slices the loop serves everybody else.
3. The order of one object's changes is kept: it stays in its lane.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from fairlead.base import Clock
from fairlead.resources import Kind
from fairlead.sources import Change, Finding, Synced
from fairlead.translate import Delta

SLICE_S = 0.002
"""How long configuration work may hold the loop."""

_BATCH = 32
"""Changes applied between two looks at the clock."""


class Translating(Protocol):
    """The part of the Translator that the lanes drive."""

    @property
    def ready(self) -> bool: ...

    @property
    def idle(self) -> bool: ...

    def apply(self, changes: Sequence[Change]) -> None: ...

    def endpoints_lane(self) -> Delta | None: ...

    def configuration_lane(self, within: Callable[[], bool]) -> Delta | None: ...


class Lanes:
    """Drives a Translator."""

    def __init__(
        self,
        translator: Translating,
        *,
        publish: Callable[[Delta], None],
        settled: Callable[[], None],
        clock: Clock,
    ) -> None:
        """`publish` takes every Delta in order; `settled` is called when the work after a sync is done."""
        self._translator = translator
        self._publish = publish
        self._settled = settled
        self._clock = clock
        self._endpoints: deque[Change] = deque()
        self._others: deque[Change] = deque()
        self._synced = False
        self._wake = asyncio.Event()

    def sink(self, changes: Sequence[Change]) -> None:
        """Takes changes of a source."""
        for change in changes:
            fast = not isinstance(change, Finding) and change.kind is Kind.ENDPOINT_SLICE
            (self._endpoints if fast else self._others).append(change)
        self._wake.set()

    def kick(self) -> None:
        """The Translator has work that no change brought."""
        self._wake.set()

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self.turn():  # noqa: ASYNC110 - lets others go on; there is nothing to wait for
                await asyncio.sleep(0)

    def turn(self) -> bool:
        """One slice; False when there is nothing left to do."""
        deadline = self._clock.monotonic() + SLICE_S

        def within() -> bool:
            return self._clock.monotonic() < deadline

        while self._endpoints:
            self._apply(self._endpoints)
            if not self._translator.ready and not within():
                return True  # the first listing: nobody waits for these endpoints yet
        self._tell(self._translator.endpoints_lane())
        while self._others and within():
            self._apply(self._others)
        if not self._others and within():
            self._tell(self._translator.configuration_lane(within))
        if self._others or (self._translator.ready and not self._translator.idle):
            return True
        if self._synced and self._translator.ready:
            self._synced = False
            self._settled()
        return False

    def _apply(self, queue: deque[Change]) -> None:
        batch = [queue.popleft() for _ in range(min(_BATCH, len(queue)))]
        self._synced |= any(isinstance(change, Synced) for change in batch)
        self._translator.apply(batch)

    def _tell(self, delta: Delta | None) -> None:
        if delta is not None:
            self._publish(delta)
