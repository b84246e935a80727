"""What one endpoint's change costs a proxy that has many, and whether requests notice it."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable

import msgspec

from bench.figures import Spread, spread
from bench.generator import Load, Report
from bench.measure import run_time_s
from bench.proxies import Direct, Fairlead, Proxy

CHANGES = 40
PAIRS = 8
_RATE = 5_000
_SLICE_S = 1.0
_EVERY_S = 0.025
_SETTLED_S = 0.03
"""The control thread tidies up after it has told the controller."""
_QUIET_S = 6.0
"""By then the proxy has closed what a load before has left idle."""


class Latency(msgspec.Struct, frozen=True):
    """Of requests in open loop, in microseconds."""

    p99: float
    """The median of those of quarters of a second."""
    max: float
    """The slowest of a second, the median of such seconds."""
    wait_p99: float
    """Between a request's schedule and its sending: the load generator's own."""


class Beside(msgspec.Struct, frozen=True):
    """The same load without changes, and with one every 25 ms."""

    without: Latency
    changing: Latency


class Change(msgspec.Struct, frozen=True):
    """One endpoint's change at many endpoints."""

    endpoints: int
    cpu_us: Spread
    """Of all of the proxy's threads, above what they take without a change."""
    adopted_ms: Spread
    """Until all workers had adopted it and the controller knew."""
    come_or_go_cpu_us: Spread
    """Of an endpoint that comes or goes, likewise."""
    come_or_go_adopted_ms: Spread
    proxied: Beside
    direct: Beside
    """Requests that go past the proxy while it is changed: what changes do to the load generator and the backend."""


def measure(proxy: Fairlead, load: Load, rng: random.Random) -> Change:
    """First changes alone, then changes under load beside load alone, in turns of random order."""
    time.sleep(_QUIET_S)
    come_or_go_cpu_us, come_or_go_adopted = alone(proxy, proxy.controller.come_or_go)
    cpu_us, adopted = alone(proxy, proxy.controller.change_one)
    found: dict[tuple[bool, bool], list[Report]] = {}
    direct = Direct(proxy.program, proxy.folder, 0, proxy.servers)
    turns = [(proxied, changing) for proxied in (True, False) for changing in (True, False)]
    for _ in range(PAIRS):
        seed = rng.getrandbits(32)
        for proxied, changing in rng.sample(turns, len(turns)):
            report = _under_load(proxy if proxied else direct, load, seed, proxy if changing else None)
            found.setdefault((proxied, changing), []).append(report)

    def beside(*, proxied: bool) -> Beside:
        return Beside(_latency(found[proxied, False]), _latency(found[proxied, True]))

    return Change(
        endpoints=len(proxy.servers),
        cpu_us=cpu_us,
        adopted_ms=adopted,
        come_or_go_cpu_us=come_or_go_cpu_us,
        come_or_go_adopted_ms=come_or_go_adopted,
        proxied=beside(proxied=True),
        direct=beside(proxied=False),
    )


def alone(proxy: Fairlead, change: Callable[[], float], changes: int = CHANGES) -> tuple[Spread, Spread]:
    """Microseconds of CPU above those of the same time without a change, and milliseconds until adoption.

    `changes` is even, so that all is as before in the end.
    """
    used: dict[bool, list[float]] = {True: [], False: []}
    adopted = []
    for _ in range(changes):
        for changed in (True, False):
            before = run_time_s([proxy.pid])
            if changed:
                adopted.append(change() * 1e3)
            time.sleep(_SETTLED_S)
            used[changed].append((run_time_s([proxy.pid]) - before) * 1e6)
    idle = statistics.median(used[False])
    return spread([max(0.0, each - idle) for each in used[True]]), spread(adopted)


def _latency(reports: list[Report]) -> Latency:
    return Latency(
        p99=statistics.median(each for report in reports for each in report.p99_us_of_windows),
        max=statistics.median(report.latency_us.max for report in reports),
        wait_p99=statistics.median(report.wait_us.p99 for report in reports),
    )


def _under_load(target: Proxy, load: Load, seed: int, changing: Fairlead | None) -> Report:
    with load.running(target.target, rate=_RATE, warm_up=0.5, seconds=_SLICE_S, seed=seed) as running:
        while not running.done():
            time.sleep(_EVERY_S)
            if changing is not None:
                changing.controller.change_one()
        return running.result()
