"""What proxies measured, added up for people. No I/O, no clock.

Laws:
1. Rates are over the last samples, at most `WINDOW_S` long, while they hold requests of the Backend; else over
   all since the proxies' start. `Traffic.window_s` says which.
2. A proxy that is gone counts no more.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from fairlead.api import Traffic
from fairlead.snapshot import EndpointStats, Telemetry

WINDOW_S = 10.0
_LEAST_WINDOW_S = 0.9
_SPACING_S = 2.0
"""Between the samples that are remembered: with many Endpoints each one is big."""


class _Counts(NamedTuple):
    """What is remembered of an Endpoint's earlier samples."""

    requests: int
    success: int
    failures: int


_NOTHING = _Counts(0, 0, 0)


class _Earlier(NamedTuple):
    """One proxy's counters at an earlier time, by Backend and Endpoint."""

    at: float
    counts: dict[str, dict[str, _Counts]]


class _Proxy:
    """One proxy's last sample, and enough of earlier ones."""

    def __init__(self) -> None:
        self.at = 0.0
        self.latest: dict[str, dict[str, EndpointStats]] = {}
        self.earlier: deque[_Earlier] = deque()

    def take(self, endpoints: Iterable[EndpointStats], now: float) -> None:
        self.at, self.latest = now, {}
        for stats in endpoints:
            self.latest.setdefault(stats.backend, {})[stats.id] = stats
        if not self.earlier or now - self.earlier[-1].at >= _SPACING_S:
            self.earlier.append(_Earlier(now, self._counts()))
        while self.earlier[0].at < now - WINDOW_S:
            self.earlier.popleft()

    def _counts(self) -> dict[str, dict[str, _Counts]]:
        return {
            backend: {key: _Counts(one.requests, one.success, one.failures) for key, one in found.items()}
            for backend, found in self.latest.items()
        }


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One Endpoint over all proxies."""

    state: str
    last_failure: str
    share: float | None
    latency_ms: float | None
    traffic: Traffic


class TelemetryBook:
    """Recent samples of every connected proxy."""

    def __init__(self) -> None:
        self._proxies: dict[str, _Proxy] = {}
        self.revision = 0
        """Rises with every sample."""

    def measured(self, proxy: str, telemetry: Telemetry, now: float) -> None:
        """Takes a sample; `now` in monotonic seconds."""
        self._proxies.setdefault(proxy, _Proxy()).take(telemetry.endpoints, now)
        self.revision += 1

    def gone(self, proxy: str) -> None:
        """Forgets a proxy."""
        self._proxies.pop(proxy, None)

    def forget(self) -> None:
        """Nobody looks any more: what is known grows stale."""
        self._proxies.clear()

    def has(self, proxies: Iterable[str]) -> bool:
        """Whether each of these proxies has told something."""
        return all(proxy in self._proxies for proxy in proxies)

    def knows(self, backend: str) -> bool:
        """Whether a proxy has told of this Backend."""
        return any(backend in proxy.latest for proxy in self._proxies.values())

    def endpoints(self, backend: str) -> dict[str, Measure]:
        """Each Endpoint of the Backend that a proxy told of, by id."""
        tallies = self._tallies(backend, windowed=True)
        total = sum(tally.counted for tally in tallies.values())
        if total == 0:
            tallies = self._tallies(backend, windowed=False)
            total = sum(tally.counted for tally in tallies.values())
        return {key: tally.measure(total) for key, tally in tallies.items()}

    def backend(self, backend: str) -> Traffic | None:
        """All Endpoints of the Backend together; None while no proxy has told."""
        if not self.knows(backend):
            return None
        together = _Tally()
        for tally in self._tallies(backend, windowed=True).values():
            together.add(tally)
        if together.counted == 0:
            together = _Tally()
            for tally in self._tallies(backend, windowed=False).values():
                together.add(tally)
        return together.traffic()

    def _tallies(self, backend: str, *, windowed: bool) -> dict[str, "_Tally"]:
        tallies: dict[str, _Tally] = {}
        for proxy in self._proxies.values():
            first = proxy.earlier[0]
            window = proxy.at - first.at if windowed else 0.0
            if windowed and window < _LEAST_WINDOW_S:
                continue
            before = first.counts.get(backend, {}) if windowed else {}
            for key, stats in proxy.latest.get(backend, {}).items():
                tallies.setdefault(key, _Tally()).count(stats, before.get(key, _NOTHING), window)
        return tallies


class _Tally(msgspec.Struct):
    """Adds up counters of one or more Endpoints and proxies."""

    counted: int = 0
    """Requests in the window."""
    requests: int = 0
    in_flight: int = 0
    connections: int = 0
    success: int = 0
    failures: int = 0
    window_s: float = 0.0
    weighted_latency_us: int = 0
    latency_weight: int = 0
    p50_us: int = 0
    p99_us: int = 0
    state: str = "ready"
    last_failure: str = ""

    def count(self, stats: EndpointStats, before: _Counts, window: float) -> None:
        """One proxy's counters, less those at the beginning of the window."""
        self.counted += stats.requests - before.requests
        self.success += stats.success - before.success
        self.failures += stats.failures - before.failures
        self.requests += stats.requests
        self.in_flight += stats.in_flight
        self.connections += stats.connections
        self.window_s = max(self.window_s, window)
        if stats.latency_ewma_us:
            self.weighted_latency_us += stats.latency_ewma_us * max(stats.requests, 1)
            self.latency_weight += max(stats.requests, 1)
        self.p50_us = max(self.p50_us, stats.latency_p50_us)
        self.p99_us = max(self.p99_us, stats.latency_p99_us)
        if self.state == "ready":
            self.state = stats.state
        self.last_failure = stats.last_failure or self.last_failure

    def add(self, other: "_Tally") -> None:
        """Another Endpoint's tally."""
        self.counted += other.counted
        self.success += other.success
        self.failures += other.failures
        self.requests += other.requests
        self.in_flight += other.in_flight
        self.connections += other.connections
        self.window_s = max(self.window_s, other.window_s)
        self.p50_us = max(self.p50_us, other.p50_us)
        self.p99_us = max(self.p99_us, other.p99_us)

    def traffic(self) -> Traffic:
        answered = self.success + self.failures
        return Traffic(
            requests=self.requests,
            in_flight=self.in_flight,
            connections=self.connections,
            window_s=round(self.window_s, 1),
            requests_per_second=round(self.counted / self.window_s, 2) if self.window_s else None,
            success_rate=self.success / answered if answered else None,
            latency_p50_ms=self.p50_us / 1000 if self.p50_us else None,
            latency_p99_ms=self.p99_us / 1000 if self.p99_us else None,
        )

    def measure(self, total: int) -> Measure:
        weight = self.latency_weight
        return Measure(
            state=self.state,
            last_failure=self.last_failure,
            share=self.counted / total if total else None,
            latency_ms=round(self.weighted_latency_us / weight / 1000, 3) if weight else None,
            traffic=self.traffic(),
        )
