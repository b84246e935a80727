"""Measures proxies that are all up at once, in short slices rotated over them at random."""

from __future__ import annotations

import os
import random
import resource
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.cases import Case
from bench.figures import Slice
from bench.generator import Load
from bench.proxies import Proxy

LOAD_CORE = 0
PROXY_CORE = min(1, (os.cpu_count() or 1) - 1)
"""The same where there is only one, which is good for a test and not for figures."""
SLICE_S = (0.5, 1.0)
FOREIGN_MAX = 0.08
"""A slice in which others took more of either core is taken again."""
_RETRIES = 3
_TICKS_PER_S = 100.0


class Bench:
    """Load, backend and chance: what all slices share."""

    def __init__(self, load: Load, backend: int, rng: random.Random) -> None:
        self.load = load
        self.backend = backend
        """Its process."""
        self.rng = rng

    def rounds(
        self, case: Case, proxies: Sequence[Proxy], count: int, seconds: float
    ) -> list[Mapping[str, Slice]]:
        """So many rounds, or fewer where the time is over before; one in any case, disturbed or not."""
        until = time.monotonic() + seconds
        found: list[Mapping[str, Slice]] = []
        while len(found) < count:
            in_time = time.monotonic() < until
            if not in_time and found:
                break
            found.append(self.round(case, proxies, retries=_RETRIES if in_time else 0))
        return found

    def round(
        self,
        case: Case,
        proxies: Sequence[Proxy],
        slice_s: tuple[float, float] = SLICE_S,
        retries: int = _RETRIES,
    ) -> Mapping[str, Slice]:
        """A slice of every proxy, in random order, of the same length and with the same arrivals."""
        seconds, seed = self.rng.uniform(*slice_s), self.rng.getrandbits(32)
        order = self.rng.sample(list(proxies), len(proxies))
        return {proxy.name: self._quiet_slice(case, proxy, seconds, seed, retries) for proxy in order}

    def _quiet_slice(self, case: Case, proxy: Proxy, seconds: float, seed: int, retries: int) -> Slice:
        """The quietest slice of as many as it takes."""
        found: list[Slice] = []
        for _ in range(1 + max(retries, 0)):
            if (slice_ := self._slice(case, proxy, seconds, seed)) is not None:
                found.append(slice_)
                if slice_.foreign <= FOREIGN_MAX:
                    break
        if not found:
            raise RuntimeError(f"{proxy.name} has answered nothing in: {case.name}")
        return min(found, key=lambda each: each.foreign)

    def _slice(self, case: Case, proxy: Proxy, seconds: float, seed: int) -> Slice | None:
        """None where nothing was answered: on a busy machine the load may never have had its turn."""
        processes = [*proxy.processes(), *_ksoftirqd(PROXY_CORE)]
        before = self._foreign_s(processes)
        begun = time.monotonic()
        report = self.load.run(
            proxy.target,
            connections=case.connections,
            path=case.path,
            rate=case.rate,
            seconds=seconds,
            warm_up=case.warm_up_s,
            seed=seed,
            processes=processes,
        )
        took = time.monotonic() - begun
        after = self._foreign_s(processes)
        foreign = max(now - then for now, then in zip(after, before, strict=True)) / took
        if report.requests == 0:
            print(f"{proxy.name}: a slice without any answer in: {case.name}", file=sys.stderr)
            return None
        if report.errors:
            print(f"{proxy.name}: {report.errors} errors in: {case.name}", file=sys.stderr)
        used_ns = sum(report.cpu_ns) if proxy.processes() else 0
        return Slice(
            cpu_us=used_ns / report.requests / 1e3,
            busy=used_ns / report.seconds / 1e9,
            rate=report.rate,
            p50_us=report.latency_us.p50,
            p99_us=statistics.median(report.p99_us_of_windows),
            p99_9_us=report.latency_us.p99_9,
            wait_p99_us=report.wait_us.p99,
            errors=report.errors,
            foreign=max(0.0, foreign),
        )

    def _foreign_s(self, processes: Sequence[int]) -> tuple[float, float]:
        """Seconds so far for which the cores worked for others: the proxy's core, and the load's."""
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = time.process_time() + children.ru_utime + children.ru_stime
        ours = own + run_time_s([self.backend])
        return _busy_s(PROXY_CORE) - run_time_s(processes), _busy_s(LOAD_CORE) - ours


def run_time_s(processes: Sequence[int]) -> float:
    """What all threads of the processes have run, by the scheduler's own count in nanoseconds."""
    total = 0
    for process in processes:
        for task in Path(f"/proc/{process}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def _busy_s(core: int) -> float:
    """Seconds for which a core was not idle."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _idle, _wait, irq, softirq, *_ = map(int, line.split()[1:])
            return (user + nice + system + irq + softirq) / _TICKS_PER_S
    raise RuntimeError(f"there is no core {core}")


def _ksoftirqd(core: int) -> list[int]:
    """The kernel's thread that does what interrupts on a core leave over."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                if (folder / "comm").read_text().strip() == f"ksoftirqd/{core}":
                    return [int(folder.name)]
            except OSError:
                continue
    return []
