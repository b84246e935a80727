"""Tables of a run: Markdown for people, CSV for programs, SVG for the eye."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec

from bench.cases import Case
from bench.figures import Row, Spread, better_peer
from bench.plot import Bar, bars


class Costs(msgspec.Struct, frozen=True):
    """What does not depend on the machine's speed; none where it could not be measured."""

    proxy: str
    idle_bytes: float | None
    system_calls: dict[str, float] | None
    instructions: float | None = None


class Change(msgspec.Struct, frozen=True):
    """One endpoint's change at many endpoints."""

    endpoints: int
    cpu_us: Spread
    seconds: Spread
    """Until all workers had adopted it and the controller knew."""


class Results(msgspec.Struct, frozen=True):
    """Everything that a run has found."""

    machine: str
    versions: dict[str, str]
    missing: list[str]
    cases: list[tuple[Case, list[Row]]]
    costs: list[Costs]
    change: Change | None


def markdown(results: Results) -> str:
    """The whole report."""
    lines = [
        "# Data plane: figures",
        "",
        "Written by `make bench`; the method is in [method.md](method.md).",
        "",
        f"Machine: {results.machine}.",
        "",
        *(f"* {name}: {version}" for name, version in results.versions.items()),
        *(f"* {name}: not measured, it cannot be had here" for name in results.missing),
        "",
        "CPU is the proxy's per request in microseconds: median (quartiles).",
        "The ratio is Fairlead's CPU over the peer's, in pairs taken within seconds; below 1 Fairlead takes less.",
        "",
        "| case | proxy | CPU µs | Fairlead / peer | requests/s | p50 µs | p99 µs | errors |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case, found in results.cases:
        for row in found:
            ratio = _spread(row.ratio, 2) if row.ratio else ""
            lines.append(
                f"| {case.name} | {row.proxy} | {_spread(row.cpu_us, 1)} | {ratio} | {row.rate:,.0f} "
                f"| {row.p50_us:,.0f} | {row.p99_us:,.0f} | {row.errors} |"
            )
    lines += ["", "![CPU per request](cpu.svg)", "", "![99th percentile](p99.svg)", "", "## Targets", ""]
    lines += _targets(results)
    lines += ["", "## What a busy machine does not change", ""]
    lines += [
        "| proxy | bytes per idle connection | system calls per request | which | user instructions per request |"
    ]
    lines += ["|---|---|---|---|---|"]
    for costs in results.costs:
        lines.append(
            f"| {costs.proxy} | {_figure(costs.idle_bytes)} | {_calls(costs.system_calls)} "
            f"| {_figure(costs.instructions)} |"
        )
    if results.change is not None:
        change = results.change
        lines += [
            "",
            f"One endpoint's change at {change.endpoints:,} endpoints:",
            f"{_spread(change.cpu_us, 0)} µs of CPU in the proxy,",
            f"{change.seconds.median * 1e3:.1f} ms until the controller knew that it is adopted.",
        ]
    return "\n".join(lines) + "\n"


def _targets(results: Results) -> list[str]:
    lines = ["| case | better peer | ratio | at most | |", "|---|---|---|---|---|"]
    for case, found in results.cases:
        peer = better_peer(found)
        if peer is None or peer.ratio is None:
            continue
        reached = "reached" if peer.ratio.median <= case.target else "**not reached**"
        lines.append(
            f"| {case.name} | {peer.proxy} | {_spread(peer.ratio, 2)} | {case.target:.2f} | {reached} |"
        )
    return lines


def _spread(spread: Spread, digits: int) -> str:
    return f"{spread.median:.{digits}f} ({spread.low:.{digits}f} to {spread.high:.{digits}f})"


def _figure(value: float | None) -> str:
    return "not measured" if value is None else f"{value:,.0f}"


def _calls(calls: dict[str, float] | None) -> str:
    if calls is None:
        return "not measured | "
    most = ", ".join(f"{name} {count:.2f}" for name, count in calls.items() if count >= 0.01)
    return f"{sum(calls.values()):.2f} | {most}"


def write(results: Results, folder: Path) -> None:
    """Writes the report, the table and the plots."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "figures.md").write_text(markdown(results))
    with (folder / "figures.csv").open("w", newline="") as file:
        table = csv.writer(file)
        head = (
            "case,proxy,rounds,cpu_us,cpu_us_q1,cpu_us_q3,ratio,ratio_q1,ratio_q3,rate,p50_us,p99_us,errors"
        )
        table.writerow(head.split(","))
        for case, found in results.cases:
            table.writerows(_record(case, row) for row in found)
    plots = (
        ("cpu.svg", "CPU per request, µs", _cpu_bar),
        ("p99.svg", "99th percentile of latency, µs", _p99_bar),
    )
    for name, title, bar in plots:
        groups = [(case.name, [bar(row) for row in found]) for case, found in results.cases]
        (folder / name).write_text(bars(title, groups))


def _cpu_bar(row: Row) -> Bar:
    return Bar(row.proxy, row.cpu_us.median, row.cpu_us.low, row.cpu_us.high)


def _p99_bar(row: Row) -> Bar:
    return Bar(row.proxy, row.p99_us, row.p99_us, row.p99_us)


def _record(case: Case, row: Row) -> list[object]:
    ratio = ["", "", ""]
    if row.ratio is not None:
        ratio = [f"{value:.3f}" for value in (row.ratio.median, row.ratio.low, row.ratio.high)]
    cpu = [f"{value:.2f}" for value in (row.cpu_us.median, row.cpu_us.low, row.cpu_us.high)]
    rest = [f"{row.rate:.0f}", f"{row.p50_us:.0f}", f"{row.p99_us:.0f}", row.errors]
    return [case.name, row.proxy, row.rounds, *cpu, *ratio, *rest]
