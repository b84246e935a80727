"""Measures proxies that are all up at once, in short slices rotated over them at random."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.cases import Case
from bench.figures import Slice
from bench.generator import Load
from bench.proxies import Proxy

PROXY_CORE = 1
LOAD_CORE = 0
SLICE_S = (0.5, 1.0)
FOREIGN_MAX = 0.08
"""A slice in which others took more of the proxy's core is taken again."""
_RETRIES = 3
_TICKS_PER_S = 100.0


def round_of(case: Case, proxies: Sequence[Proxy], load: Load, rng: random.Random) -> Mapping[str, Slice]:
    """A slice of every proxy, in random order."""
    seconds, seed = rng.uniform(*SLICE_S), rng.getrandbits(32)
    order = rng.sample(list(proxies), len(proxies))
    return {proxy.name: _quiet_slice(case, proxy, load, seconds, seed) for proxy in order}


def _quiet_slice(case: Case, proxy: Proxy, load: Load, seconds: float, seed: int) -> Slice:
    found = slice_of(case, proxy, load, seconds, seed)
    for _ in range(_RETRIES):
        if found.foreign <= FOREIGN_MAX:
            break
        again = slice_of(case, proxy, load, seconds, seed)
        found = min(found, again, key=lambda each: each.foreign)
    return found


def slice_of(case: Case, proxy: Proxy, load: Load, seconds: float, seed: int) -> Slice:
    """One slice."""
    processes = [*proxy.processes(), *_ksoftirqd(PROXY_CORE)]
    busy, used = _busy_s(PROXY_CORE), run_time_s(processes)
    report = load.run(
        proxy.target,
        connections=case.connections,
        path=case.path,
        rate=case.rate,
        seconds=seconds,
        warm_up=case.warm_up_s,
        seed=seed,
        processes=processes,
    )
    busy, used = _busy_s(PROXY_CORE) - busy, run_time_s(processes) - used
    if report.requests == 0:
        raise RuntimeError(f"{proxy.name} has answered nothing in: {case.name}")
    if report.errors:
        print(f"{proxy.name}: {report.errors} errors in: {case.name}", file=sys.stderr)
    return Slice(
        cpu_us=sum(report.cpu_ns) / report.requests / 1e3,
        rate=report.rate,
        p50_us=report.latency_us.p50,
        p99_us=report.latency_us.p99,
        errors=report.errors,
        foreign=max(0.0, (busy - used) / (seconds + case.warm_up_s)),
    )


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
