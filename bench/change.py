"""What one endpoint's change costs a proxy that has many, and whether requests notice it."""

from __future__ import annotations

import random
import statistics
import time

import msgspec

from bench.figures import Spread, spread
from bench.generator import Load, Report
from bench.measure import run_time_s
from bench.proxies import Fairlead

CHANGES = 40
PAIRS = 8
_RATE = 5_000
_SLICE_S = 1.0
_EVERY_S = 0.025
_SETTLED_S = 0.03
"""The control thread tidies up after it has told the controller."""


class Change(msgspec.Struct, frozen=True):
    """One endpoint's change at many endpoints."""

    endpoints: int
    cpu_us: Spread
    """Of all of the proxy's threads, above what they take without a change."""
    adopted_ms: Spread
    """Until all workers had adopted it and the controller knew."""
    p99_us: tuple[float, float]
    """Of requests in open loop: without changes, and with one every 25 ms."""
    max_us: tuple[float, float]
    """The slowest request of a second; the median of such seconds."""


def measure(proxy: Fairlead, load: Load, rng: random.Random) -> Change:
    """First changes alone, then changes under load beside load alone, in turns of random order."""
    used: dict[bool, list[float]] = {True: [], False: []}
    adopted = []
    for _ in range(CHANGES):
        for change in (True, False):
            before = run_time_s([proxy.pid])
            if change:
                adopted.append(proxy.controller.change_one() * 1e3)
            time.sleep(_SETTLED_S)
            used[change].append((run_time_s([proxy.pid]) - before) * 1e6)
    idle = statistics.median(used[False])
    reports: dict[bool, list[Report]] = {True: [], False: []}
    for _ in range(PAIRS):
        seed = rng.getrandbits(32)
        for change in rng.sample((True, False), 2):
            reports[change].append(_under_load(proxy, load, seed, change=change))

    def of(quantile: str) -> tuple[float, float]:
        each = {
            change: statistics.median(getattr(report.latency_us, quantile) for report in found)
            for change, found in reports.items()
        }
        return each[False], each[True]

    return Change(
        endpoints=len(proxy.servers),
        cpu_us=spread([max(0.0, each - idle) for each in used[True]]),
        adopted_ms=spread(adopted),
        p99_us=of("p99"),
        max_us=of("max"),
    )


def _under_load(proxy: Fairlead, load: Load, seed: int, *, change: bool) -> Report:
    with load.running(proxy.target, rate=_RATE, warm_up=0.5, seconds=_SLICE_S, seed=seed) as running:
        while not running.done():
            time.sleep(_EVERY_S)
            if change:
                proxy.controller.change_one()
        return running.result()
