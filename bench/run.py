"""The whole benchmark, from inside of its namespace."""

from __future__ import annotations

import os
import platform
import random
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from bench import cost
from bench.build import version
from bench.cases import CASES, PORTS, Case, servers
from bench.figures import Row, rows, spread
from bench.generator import Load
from bench.measure import LOAD_CORE, PROXY_CORE, round_of, run_time_s
from bench.proxies import Fairlead, HAProxy, Nginx, Proxy
from bench.report import Change, Costs, Results

ROUNDS = 16
_CHANGES = 40


class Programs(msgspec.Struct, frozen=True):
    """Paths."""

    load: str
    fairlead: str
    """An interpreter that has Fairlead."""
    nginx: str | None
    haproxy: str | None

    def kinds(self) -> list[tuple[type[Proxy], Path]]:
        found: list[tuple[type[Proxy], str | None]] = [
            (Fairlead, self.fairlead),
            (Nginx, self.nginx),
            (HAProxy, self.haproxy),
        ]
        return [(kind, Path(program)) for kind, program in found if program is not None]


def run(programs: Programs, folder: Path, rounds: int, only: str) -> Results:
    """Runs the cases whose name contains `only`; without it also what does not depend on the machine's speed."""
    # An orderly end of everything below, also on the way out by a signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    cost.allow_files()
    os.sched_setaffinity(0, {LOAD_CORE})
    load = Load(Path(programs.load))
    rng = random.Random(1)
    cases = [case for case in CASES if only in case.name]
    found: list[tuple[Case, list[Row]]] = []
    costs: list[Costs] = []
    change = None
    with load.backend("0.0.0.0", PORTS):
        for endpoints in sorted({case.endpoints for case in cases}):
            with proxies(programs, folder, endpoints) as all_up:
                for case in (case for case in cases if case.endpoints == endpoints):
                    slices = [round_of(case, all_up, load, rng) for _ in range(rounds)]
                    found.append((case, rows(slices, Fairlead.name)))
                    _tell(case, found[-1][1])
                if endpoints != len(PORTS):
                    change = _change(all_up[0], endpoints)
        if not only:
            # Fresh processes: what a burst has left in an allocator would be reused and not seen.
            with proxies(programs, folder, len(PORTS)) as all_up:
                costs = [_costs(proxy, load) for proxy in all_up]
            costs = _with_instructions(costs, programs, folder, load)
    return Results(
        machine=machine(),
        versions={
            kind.name: version(str(program), "-v")
            for kind, program in programs.kinds()
            if kind is not Fairlead
        },
        missing=[
            name for name, path in (("nginx", programs.nginx), ("HAProxy", programs.haproxy)) if not path
        ],
        cases=found,
        costs=costs,
        change=change,
    )


@contextmanager
def proxies(programs: Programs, folder: Path, endpoints: int) -> Iterator[list[Proxy]]:
    """All proxies, up and pinned, in front of so many endpoints."""
    with ExitStack() as stack:
        all_up = []
        for index, (kind, program) in enumerate(programs.kinds()):
            prefix = ["taskset", "--cpu-list", str(PROXY_CORE)]
            proxy = kind(program, folder, 8101 + index, servers(endpoints), prefix)
            stack.callback(proxy.stop)
            proxy.start()
            all_up.append(proxy)
        yield all_up


def _costs(proxy: Proxy, load: Load) -> Costs:
    return Costs(
        proxy=proxy.name,
        idle_bytes=cost.idle_connection_bytes(proxy, load),
        system_calls=cost.system_calls(proxy, load),
    )


def _with_instructions(costs: list[Costs], programs: Programs, folder: Path, load: Load) -> list[Costs]:
    if not costs or shutil.which("valgrind") is None:
        return costs
    dumps = folder / "callgrind"
    dumps.mkdir()
    proxy = Fairlead(Path(programs.fairlead), dumps, 8199, servers(len(PORTS)), cost.callgrind(dumps))
    try:
        proxy.start()
        count = cost.instructions(proxy, load, dumps)
    finally:
        proxy.stop()
    return [
        msgspec.structs.replace(each, instructions=count) if each.proxy == Fairlead.name else each
        for each in costs
    ]


def _change(proxy: Proxy, endpoints: int) -> Change:
    assert isinstance(proxy, Fairlead)
    seconds, used = [], []
    for _ in range(_CHANGES):
        before = run_time_s([proxy.pid])
        seconds.append(proxy.controller.change_one())
        used.append((run_time_s([proxy.pid]) - before) * 1e6)
    return Change(endpoints=endpoints, cpu_us=spread(used), seconds=spread(seconds))


def _tell(case: Case, found: list[Row]) -> None:
    told = ", ".join(
        f"{row.proxy} {row.cpu_us.median:.1f} µs" + (f" (ratio {row.ratio.median:.2f})" if row.ratio else "")
        for row in found
    )
    print(f"{case.name}: {told}", file=sys.stderr, flush=True)


def machine() -> str:
    """What the figures were measured on."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return (
        f"{os.cpu_count()} cores of {names[0] if names else platform.machine()}, Linux {platform.release()}"
    )
