"""The controller's own counters on their way to the proxies, whose metrics pages show them.

Laws:
1. They are told once per `PERIOD_S`, whatever happens meanwhile: a storm of events makes no frames.
2. Times go as ages: neither side's clocks need to agree, nor to stand still.
"""

import asyncio
from collections.abc import Callable, Mapping

from fairlead import snapshot
from fairlead.base import Clock
from fairlead.kube import ReflectorStats
from fairlead.resources import Kind

PERIOD_S = 1.0

Reflectors = Callable[[], Mapping[Kind, ReflectorStats]]
"""Gives the live counters of each kind's reflector."""


def frame(reflectors: Mapping[Kind, ReflectorStats], now: float) -> snapshot.Stats:
    """The counters as of monotonic time `now`, in seconds."""
    return snapshot.Stats(
        reflectors=tuple(_reflector(kind, stats, now) for kind, stats in reflectors.items())
    )


def _reflector(kind: Kind, stats: ReflectorStats, now: float) -> snapshot.ReflectorStats:
    age_s = None if stats.synced_at is None else max(now - stats.synced_at, 0.0)
    return snapshot.ReflectorStats(
        kind=kind.value,
        relists=stats.lists,
        watch_events=stats.events,
        last_sync_age_ms=None if age_s is None else int(age_s * 1000),
        errors=dict(stats.errors),
    )


async def report(reflectors: Reflectors, tell: Callable[[snapshot.Stats], None], clock: Clock) -> None:
    """Tells the counters until cancelled."""
    while True:
        tell(frame(reflectors(), clock.monotonic()))
        await asyncio.sleep(PERIOD_S)
