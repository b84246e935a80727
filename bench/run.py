"""The whole benchmark, from inside of its namespace."""

from __future__ import annotations

import datetime as dt
import os
import platform
import random
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from bench import callgrind, change, control, cost, pick, workers
from bench.build import installed, version
from bench.cases import CASES, MANY_ENDPOINTS, PORTS, Case, servers
from bench.figures import Row, Slice, rows
from bench.generator import Load
from bench.measure import LOAD_CORE, PROXY_CORE, Bench
from bench.proxies import Direct, Envoy, Fairlead, FourWorkers, HAProxy, Nginx, Proxy
from bench.results import Costs, Measured, Results

PINNED = ("taskset", "--cpu-list", str(PROXY_CORE))
BOTH_CORES = ("taskset", "--cpu-list", f"{LOAD_CORE},{PROXY_CORE}")
PEERS: dict[str, type[Proxy]] = {"nginx": Nginx, "haproxy": HAProxy, "envoy": Envoy}


class Programs(msgspec.Struct, frozen=True):
    """Paths."""

    load: str
    pick_cost: str
    fairlead: str
    """An interpreter that has Fairlead."""
    peers: dict[str, str | None]
    """By the names of PEERS; none where one was asked for and cannot be had."""

    def kinds(self) -> list[tuple[type[Proxy], Path]]:
        """Fairlead and the peers that can be had."""
        had = [(PEERS[name], Path(program)) for name, program in self.peers.items() if program is not None]
        return [(Fairlead, Path(self.fairlead)), *had]


class Plan(msgspec.Struct, frozen=True):
    """How much is done."""

    rounds: int
    """Of each case, at most; at least one in each set."""
    seconds: float
    """For the rounds of all cases together."""
    sets: int = 5
    """So often are all proxies started anew, and the rounds shared out: how a process lies in memory is chance."""
    only: str = ""
    """Part of the names of cases; where it is given nothing but cases is measured."""


def run(programs: Programs, folder: Path, plan: Plan) -> Results:
    """Runs the cases, and then what does not depend on the machine's speed."""
    # An orderly end of everything below, also on the way out by a signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    load_average = " ".join(f"{each:.2f}" for each in os.getloadavg())
    cost.allow_files()
    os.sched_setaffinity(0, {LOAD_CORE})
    load = Load(Path(programs.load))
    cases = [case for case in CASES if plan.only in case.name]
    results = Results(
        machine=machine(),
        date=f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}",
        load_average=load_average,
        versions=_versions(programs),
        missing=[PEERS[name].name for name, program in programs.peers.items() if program is None],
    )
    with load.backend("0.0.0.0", PORTS) as backend:
        bench = Bench(load, backend, random.Random(1))
        rounds: dict[Case, list[Mapping[str, Slice]]] = {case: [] for case in cases}
        for endpoints in sorted({case.endpoints for case in cases}):
            for number in range(plan.sets):
                what = f"{endpoints:,} endpoints, set {number + 1} of {plan.sets}"
                with _step(results, what), proxies(programs, folder, endpoints) as all_up:
                    for case in (case for case in cases if case.endpoints == endpoints):
                        with _step(results, case.name):
                            rounds[case] += _rounds(bench, case, all_up, plan, len(cases))
                    if endpoints == MANY_ENDPOINTS and number + 1 == plan.sets:
                        fairlead = all_up[0]
                        assert isinstance(fairlead, Fairlead)
                        with _step(results, "one endpoint's change"):
                            results.change = change.measure(fairlead, load, bench.rng)
        results.cases = [_measured(case, found) for case, found in rounds.items() if found]
        if not plan.only:
            with _step(results, "memory and system calls"):
                results.costs = _costs(programs, folder, load, backend)
            with _step(results, "instructions and allocations"):
                results.costs = _with_counted(results.costs, _under_callgrind(programs, folder, load))
            with _step(results, "picks"):
                results.picks = pick.measure(Path(programs.pick_cost), PROXY_CORE)
            with _step(results, "connections per worker"):
                results.workers = _workers(programs, folder)
    if not plan.only:
        with _step(results, "controller"):
            results.control = control.measure(BOTH_CORES)
    return results


def _rounds(
    bench: Bench, case: Case, all_up: Sequence[Proxy], plan: Plan, cases: int
) -> list[Mapping[str, Slice]]:
    """A set's share."""
    # Without a proxy only where the load is not as fast as it can be.
    direct = [Direct(Path(), Path(), 0, all_up[0].servers)] if case.rate else []
    count = max(1, plan.rounds // plan.sets)
    return bench.rounds(case, [*all_up, *direct], count, plan.seconds / cases / plan.sets)


def _measured(case: Case, rounds: Sequence[Mapping[str, Slice]]) -> Measured:
    found = Measured(case, rounds, rows(rounds, Fairlead.name))
    told = ", ".join(map(_short, found.rows))
    print(f"{case.name}: {len(rounds)} rounds: {told}", file=sys.stderr, flush=True)
    return found


def _short(row: Row) -> str:
    ratio = f", ratio {row.ratio.median:.2f}" if row.ratio else ""
    return f"{row.proxy} {row.cpu_us.median:.1f} µs{ratio}, p99 {row.p99_us.median:.0f} µs"


@contextmanager
def _step(results: Results, what: str) -> Iterator[None]:
    """A part of the run: how long it took is told, and a failure leaves the other parts their figures."""
    begun = time.monotonic()
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, the page tells it
        results.failed[what] = str(error).partition("\n")[0] or type(error).__name__
        print(f"{what}: {error}", file=sys.stderr, flush=True)
    print(f"{what}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)


@contextmanager
def proxies(programs: Programs, folder: Path, endpoints: int) -> Iterator[list[Proxy]]:
    """All proxies, up and pinned, in front of so many endpoints; Fairlead first."""
    with ExitStack() as stack:
        all_up = []
        for index, (kind, program) in enumerate(programs.kinds()):
            proxy = kind(program, folder, 8101 + index, servers(endpoints), PINNED)
            stack.callback(proxy.stop)
            proxy.start()
            all_up.append(proxy)
        yield all_up


@contextmanager
def proxy_alone(
    kind: type[Proxy], program: Path, folder: Path, prefix: Sequence[str] = PINNED
) -> Iterator[Proxy]:
    """One proxy, up, with these words before its command."""
    proxy = kind(program, folder, 8199, servers(len(PORTS)), prefix)
    try:
        proxy.start()
        yield proxy
    finally:
        proxy.stop()


def _costs(programs: Programs, folder: Path, load: Load, backend: int) -> list[Costs]:
    found = []
    for kind in programs.kinds():
        # Fresh processes: what a burst has left in an allocator would be reused and not seen.
        with proxy_alone(*kind, folder) as proxy:
            idle = cost.idle_connection_bytes(proxy, load)
            calls = cost.system_calls(proxy, load)
        with proxy_alone(*kind, folder) as proxy:
            busy = cost.busy_connection_bytes(proxy, load, backend)
        found.append(Costs(proxy.name, idle, busy, calls))
    return found


def _with_counted(costs: Sequence[Costs], counted: callgrind.Counted | None) -> list[Costs]:
    """Fairlead's costs are the first."""
    first, *others = costs or [Costs(Fairlead.name)]
    if counted is not None:
        first = msgspec.structs.replace(
            first, instructions=counted.instructions, allocations=counted.allocations
        )
    return [first, *others]


def _under_callgrind(programs: Programs, folder: Path, load: Load) -> callgrind.Counted | None:
    if installed("valgrind") is None:
        return None
    dumps = folder / "callgrind"
    dumps.mkdir()
    with proxy_alone(Fairlead, Path(programs.fairlead), dumps, callgrind.prefix(dumps)) as proxy:
        return callgrind.count(proxy, load, dumps)


def _workers(programs: Programs, folder: Path) -> workers.Workers:
    with proxy_alone(FourWorkers, Path(programs.fairlead), folder, []) as proxy:
        return workers.measure(proxy, FourWorkers.workers)


def _versions(programs: Programs) -> dict[str, str]:
    """What each program says about itself; of Fairlead the commit that it was built from."""
    found = {}
    for kind, program in programs.kinds():
        match kind.name:
            case Fairlead.name:
                found[kind.name] = f"commit {version('git', 'describe', '--always', '--dirty')}"
            case Envoy.name:
                # It begins with the program's path.
                found[kind.name] = version(str(program), "--version").rpartition(" ")[2]
            case name:
                found[name] = version(str(program), "-v")
    return found


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
