"""Changes in, Deltas out, in two lanes.

Laws:
1. Endpoint changes go first: they are applied and published in the call that brings them, whatever configuration
   work waits. (Before everything required was listed they wait with the rest.)
2. Configuration work runs in slices of at most `SLICE_S`; between slices the loop serves everybody else.
3. The order of one object's changes is kept: it stays in its lane.
4. What fails in either lane is a defect and leaves `run`, also where the source's call met it: nobody else may
   swallow it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from fairlead.base import Clock, Turns
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
        tidy: Callable[[], bool] = lambda: False,
        turns: Turns | None = None,
    ) -> None:
        """`publish` takes every Delta in order; `settled` is called when the work after a sync is done.

        `tidy` is called where there is nothing else to do: it frees a slice of what is not needed any more, and gives
        whether there is more of it.
        """
        self._translator = translator
        self._publish = publish
        self._settled = settled
        self._clock = clock
        self._tidy = tidy
        self._turns = turns or Turns()
        self._failed: Exception | None = None
        self._endpoints: deque[Change] = deque()
        self._others: deque[Change] = deque()
        self._synced = False
        self._wake = asyncio.Event()

    def sink(self, changes: Sequence[Change]) -> None:
        """Takes changes of a source."""
        for change in changes:
            fast = not isinstance(change, Finding) and change.kind is Kind.ENDPOINT_SLICE
            (self._endpoints if fast else self._others).append(change)
        if self._endpoints and self._translator.ready and self._failed is None:
            try:
                self._endpoint_lane()
            except Exception as error:  # noqa: BLE001 - law 4
                self._failed = error
        self._wake.set()

    def kick(self) -> None:
        """The Translator has work that no change brought."""
        self._wake.set()

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self.turn():
                await self._turns.next()

    def turn(self) -> bool:
        """One slice; False when there is nothing left to do."""
        if self._failed is not None:
            raise self._failed
        deadline = self._clock.monotonic() + SLICE_S

        def within() -> bool:
            return self._clock.monotonic() < deadline

        while self._endpoints and not self._translator.ready:
            self._apply(self._endpoints)
            if not within():
                return True  # the first listing: nobody waits for these endpoints yet
        self._endpoint_lane()
        while self._others and within():
            self._apply(self._others)
        if not self._others and within():
            self._tell(self._translator.configuration_lane(within))
        if self._others or (self._translator.ready and not self._translator.idle):
            return True
        if self._synced and self._translator.ready:
            self._synced = False
            self._settled()
        return self._tidy()

    def _endpoint_lane(self) -> None:
        while self._endpoints:
            self._apply(self._endpoints)
        self._tell(self._translator.endpoints_lane())

    def _apply(self, queue: deque[Change]) -> None:
        batch = [queue.popleft() for _ in range(min(_BATCH, len(queue)))]
        self._synced |= any(isinstance(change, Synced) for change in batch)
        self._translator.apply(batch)

    def _tell(self, delta: Delta | None) -> None:
        if delta is not None:
            self._publish(delta)
