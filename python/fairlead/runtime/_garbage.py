"""The garbage collector's manners in a process that must not pause.

Laws:
1. The old generation is not collected by itself: it may be all of a change that was as big as the installation, and
   looking through that would hold the loop for a tenth of a second, and find nothing. At rest, what has become old
   since the last time is looked through if it is little; if it is much, it is what a change has brought to stay, and
   is taken out of sight.
2. While something is going on, the young are collected every few milliseconds. By itself Python waits until 700 more
   were made than went, and a change that replaces everything makes as many as go: in the end the young are many.
"""

import asyncio
import contextlib
import gc
from collections.abc import Callable

PERIOD_S = 5.0
YOUNG_S = 0.004

_NEVER = 1 << 30
_LITTLE = 20_000
"""Objects that are looked through in a few milliseconds."""
_MIDDLE_EVERY = 2


def spare_the_old() -> None:
    """Has the old generation left alone."""
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _NEVER)


def tidy() -> None:
    """Does at rest what the collector no longer does by itself."""
    if len(gc.get_objects(generation=2)) > _LITTLE:
        gc.freeze()
    else:
        gc.collect()


class Garbage:
    """Collects while the controller works and while it rests."""

    def __init__(self, *, at_rest: Callable[[], bool]) -> None:
        """`at_rest`: whether translation has nothing to do."""
        self._at_rest = at_rest
        self._stirred = asyncio.Event()
        self._rounds = 0

    def stir(self) -> None:
        """Something is going on."""
        self._stirred.set()

    async def run(self) -> None:
        """Until cancelled."""
        spare_the_old()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PERIOD_S):
                    await self._stirred.wait()
            if not self._stirred.is_set() and self._at_rest() and gc.isenabled():
                tidy()
            while self._stirred.is_set() or not self._at_rest():
                self._stirred.clear()
                await asyncio.sleep(YOUNG_S)
                self._collect_young()

    def _collect_young(self) -> None:
        if gc.isenabled():
            self._rounds += 1
            gc.collect(0 if self._rounds % _MIDDLE_EVERY else 1)
