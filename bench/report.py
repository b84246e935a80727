"""What a run writes: a page, plots, and the README's short table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import starmap
from pathlib import Path

from bench.cases import Case
from bench.change import Beside
from bench.figures import Row, Spread
from bench.plot import Bar, bars
from bench.proxies import Direct, Fairlead
from bench.results import Costs, Results, Target, targets, tell
from bench.table import rows_table, slices_table

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
_ABOUT_TARGETS = (
    "A ratio is Fairlead's figure over that of the peer that is the hardest to beat, in pairs taken within seconds: "
    "median (quartiles). What is not reached is explained in [profile.md](profile.md)."
)
_ABOUT_LOAD = (
    "CPU is the proxy's per request, in pairs with Fairlead's for the ratio; below 1 Fairlead takes less. "
    "Latency is in µs, in open loop from the scheduled time; medians of slices. `core` is how much of its core the "
    "proxy used: a closed loop saturates it, unless the load's core is full before."
)
_MORE = (
    "All figures: [docs/bench/figures.md](docs/bench/figures.md); `make bench` measures them "
    "([method](docs/bench/method.md))."
)


def markdown(results: Results) -> str:
    """The whole page."""
    parts = [
        "# Figures",
        "Written by `make bench`, in one run; the method is in [method.md](method.md).",
        "\n".join(_circumstances(results)),
        "## Targets",
        _ABOUT_TARGETS,
        _table(["", "found", "at most", ""], map(_of_target, targets(results, Fairlead.name))),
        "## Load",
        _ABOUT_LOAD,
        _table(
            [
                "case",
                "proxy",
                "CPU µs",
                "Fairlead / peer",
                "core",
                "requests/s",
                "p50",
                "p99",
                "p99.9",
                "errors",
            ],
            (_of_row(each.case, row) for each in results.cases for row in each.rows),
        ),
        "![CPU per request](cpu.svg)",
        "![99th percentile](p99.svg)",
        *_generator(results),
        *_costs(results.costs),
        *_change(results),
        *_picks(results),
        *_workers(results),
        *_control(results),
    ]
    return "\n\n".join(parts) + "\n"


def _circumstances(results: Results) -> Iterator[str]:
    yield f"{results.machine}, {results.date}."
    foreign = [each.foreign for measured in results.cases for row in measured.rounds for each in row.values()]
    if foreign:
        quiet = sorted(foreign)[len(foreign) // 2]
        yield (
            f"Load average before the run: {results.load_average}. Others took {quiet:.1%} of a core in the median slice, "
            f"{max(foreign):.1%} in the worst."
        )
    yield ""
    yield from (f"* {name}: {version}" for name, version in results.versions.items())
    yield from (f"* {name}: not measured, it cannot be had here" for name in results.missing)
    yield from (f"* not measured: {what}: {why}" for what, why in results.failed.items())


def _of_target(target: Target) -> list[str]:
    verdict = "reached" if target.reached else "**not reached**"
    if target.within_spread:
        verdict += ", within the spread"
    return [target.what, target.found, target.limit, verdict]


def _of_row(case: Case, row: Row) -> list[str]:
    proxied = row.proxy != Direct.name
    return [
        case.name,
        row.proxy,
        tell(row.cpu_us, 1) if proxied else "",
        tell(row.ratio, 2) if row.ratio else "",
        f"{row.busy:.0%}" if proxied else "",
        f"{row.rate:,.0f}",
        f"{row.p50_us:,.0f}",
        f"{row.p99_us.median:,.0f}",
        f"{row.p99_9_us:,.0f}",
        str(row.errors),
    ]


def _generator(results: Results) -> Iterator[str]:
    waits = [
        f"{each.case.name}: " + ", ".join(f"{row.wait_p99_us:,.0f} µs ({row.proxy})" for row in each.rows)
        for each in results.cases
        if each.case.rate
    ]
    if waits:
        yield (
            "The 99th percentile of the time from a request's schedule to its sending, which is the load generator's own as "
            "long as the proxy keeps up: " + "; ".join(waits) + "."
        )


def _costs(costs: Sequence[Costs]) -> Iterator[str]:
    if not costs:
        return
    yield "## What a busy machine does not change"
    yield (
        "User memory per client connection with 4,000 of them: idle after one request; and each with a request that "
        "waits for its backend, the connection to the backend included. Per saturated request: system calls, heap "
        "allocations and user instructions."
    )
    head = ["proxy", "idle B", "busy B", "system calls", "which", "allocations", "instructions"]
    yield _table(head, map(_of_costs, costs))


def _of_costs(costs: Costs) -> list[str]:
    calls = costs.system_calls or {}
    most = ", ".join(f"{name} {count:.2f}" for name, count in calls.items() if count >= 0.01)
    return [
        costs.proxy,
        _figure(costs.idle_bytes, 0),
        _figure(costs.busy_bytes, 0),
        _figure(sum(calls.values()) if calls else None, 2),
        most,
        _figure(costs.allocations, 2),
        _figure(costs.instructions, 0),
    ]


def _change(results: Results) -> Iterator[str]:
    if results.change is None:
        return
    change = results.change
    yield f"## One endpoint's change at {change.endpoints:,} endpoints"
    yield (
        f"One that is ready or not: {tell(change.cpu_us, 0)} µs of CPU in the proxy; {tell(change.adopted_ms, 1)} ms until "
        "all workers had adopted it and the controller knew. "
        f"One that comes or goes: {tell(change.come_or_go_cpu_us, 0)} µs; {tell(change.come_or_go_adopted_ms, 1)} ms.\n\n"
        "Requests at 5,000/s with a change every 25 ms beside requests without any, in µs; "
        "the row without a proxy is what the changes' sender does to the load generator and the backend, whose core it "
        "shares:"
    )
    head = [
        "",
        "p99 without",
        "with",
        "slowest of a second without",
        "with",
        "p99 of late sending without",
        "with",
    ]
    yield _table(head, starmap(_of_beside, ((Fairlead.name, change.proxied), (Direct.name, change.direct))))


def _of_beside(name: str, beside: Beside) -> list[str]:
    both = (beside.without, beside.changing)
    figures = ([each.p99 for each in both], [each.max for each in both], [each.wait_p99 for each in both])
    return [name, *(f"{value:,.0f}" for pair in figures for value in pair)]


def _picks(results: Results) -> Iterator[str]:
    if not results.picks:
        return
    yield "## Picks among 10,000 endpoints"
    rows = (
        [
            each.name,
            f"{each.pick_ns:.1f}",
            f"{each.update_us:,.0f}",
            _figure(each.prefix_error, 2, lacking=""),
        ]
        for each in results.picks
    )
    yield _table(["", "ns per pick", "µs per endpoint more or less", "greatest prefix error"], rows)


def _workers(results: Results) -> Iterator[str]:
    if results.workers is None:
        return
    yield "## Connections per worker"
    trials = sorted(results.workers.trials, key=lambda each: (each[0] - each[-1], each))
    told = (" ".join(map(str, trials[index])) for index in (0, len(trials) // 2, -1))
    yield (
        f"16 connections opened at once on 4 workers, {len(trials)} times; the most even, the median and the least even "
        f"spread: {'; '.join(told)}."
    )


def _control(results: Results) -> Iterator[str]:
    if results.control is None:
        return
    taken_in, lanes = results.control.taken_in, results.control.lanes
    yield "## Controller"
    yield (
        f"A list of {taken_in.endpoints:,} endpoints ({taken_in.json_mb:.1f} MB of JSON): split and decoded in "
        f"{taken_in.decode_ms.median:.1f} ms (best {taken_in.decode_ms.best:.1f}), through reflector and store in "
        f"{taken_in.store_ms.median:.1f} ms (best {taken_in.store_ms.best:.1f}), in which the event loop is held for "
        f"{taken_in.hold_ms.median:.1f} ms at the longest; {taken_in.kept_mb:.1f} MB stay in memory."
    )
    yield (
        f"{lanes.routes:,} Routes and {lanes.endpoints:,} endpoints, of which one changes every few milliseconds: how long "
        "such a change waits, in ms, by the clock, and by what the controller computed meanwhile, as is the longest hold "
        "of its event loop."
    )
    head = ["scene", "s", "changes", "p50", "p99", "longest", "computed, p99", "longest", "longest hold"]
    yield _table(
        head,
        (
            [
                scene.name,
                f"{scene.seconds:.1f}",
                str(scene.changes),
                *(f"{value:.1f}" for value in (scene.wall_ms.p50, scene.wall_ms.p99, scene.wall_ms.longest)),
                f"{scene.computing_ms.p99:.1f}",
                f"{scene.computing_ms.longest:.1f}",
                f"{scene.holds_ms['loop'][1]:.1f}" if "loop" in scene.holds_ms else "",
            ]
            for scene in lanes.scenes
        ),
    )


def short(results: Results) -> str:
    """The README's table."""
    found = (_of_target(each) for each in targets(results, Fairlead.name))
    peers = " and ".join(name for name in results.versions if name != Fairlead.name)
    about = (
        f"Data plane beside {peers}, one worker each; and the controller: {results.machine}, {results.date}. Ratios of "
        "CPU per request to the peer that is the hardest to beat, median (quartiles); below 1 Fairlead takes less."
    )
    return "\n\n".join(
        [
            about,
            _table(["", "found", "at most", ""], found),
            _MORE,
        ]
    )


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _figure(value: float | None, digits: int, lacking: str = "not measured") -> str:
    return lacking if value is None else f"{value:,.{digits}f}"


def write(results: Results, folder: Path) -> None:
    """Writes the page, the tables and the plots."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "figures.md").write_text(markdown(results))
    (folder / "figures.csv").write_text(rows_table(results.cases))
    (folder / "slices.csv").write_text(slices_table(results.cases))
    (folder / "cpu.svg").write_text(
        bars("CPU per request, µs", _groups(results, lambda row: row.cpu_us, direct=False))
    )
    (folder / "p99.svg").write_text(
        bars("99th percentile of latency, µs", _groups(results, lambda row: row.p99_us, direct=True))
    )


def fill_in(results: Results, readme: Path) -> None:
    """Replaces what stands between the README's marks."""
    text = readme.read_text()
    if BEGIN in text and END in text:
        before, _, rest = text.partition(BEGIN)
        readme.write_text(f"{before}{BEGIN}\n{short(results)}\n{END}{rest.partition(END)[2]}")


def _groups(
    results: Results, figure: Callable[[Row], Spread], *, direct: bool
) -> list[tuple[str, list[Bar]]]:
    def bar(row: Row) -> Bar:
        found = figure(row)
        return Bar(row.proxy, found.median, found.low, found.high)

    return [
        (each.case.name, [bar(row) for row in each.rows if direct or row.proxy != Direct.name])
        for each in results.cases
    ]
