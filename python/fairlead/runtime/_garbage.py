"""The garbage collector's manners in a process that must not pause.

Laws:
1. By itself it looks at young objects only, some thousands at a time. The old ones may be all of a change that was as
   big as the installation: looking through them would hold the loop for a tenth of a second, and find nothing.
2. At rest, what has become old since the last time is looked through if it is little. If it is much, it is what a
   change has brought to stay, and is taken out of sight.
"""

import asyncio
import gc
from collections.abc import Callable

PERIOD_S = 5.0

_NEVER = 1 << 30
_LITTLE = 2
"""Collections of the middle generation, whose survivors are the old ones: some thousands each."""


def spare_the_old() -> None:
    """Has the old generation left alone (law 1)."""
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _NEVER)


def tidy() -> None:
    """Does at rest what the collector no longer does by itself (law 2)."""
    grown = gc.get_count()[2]
    if grown > _LITTLE:
        gc.freeze()
    elif grown:
        gc.collect()


async def keep_tidy(*, at_rest: Callable[[], bool]) -> None:
    """Tidies up now and then, until cancelled."""
    spare_the_old()
    while True:
        await asyncio.sleep(PERIOD_S)
        if at_rest() and gc.isenabled():
            tidy()
