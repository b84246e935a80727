"""What a run finds, and what of it Fairlead is held to. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from bench import cases
from bench.cases import Case
from bench.change import Change
from bench.control import Control
from bench.figures import Row, Slice, Spread, hardest
from bench.pick import PickCost
from bench.workers import Workers


class Costs(msgspec.Struct, frozen=True):
    """What does not depend on the machine's speed; none where it could not be measured."""

    proxy: str
    idle_bytes: float | None = None
    busy_bytes: float | None = None
    system_calls: dict[str, float] | None = None
    instructions: float | None = None
    allocations: float | None = None


class Measured(msgspec.Struct, frozen=True):
    """A case, slice by slice and added up."""

    case: Case
    rounds: Sequence[Mapping[str, Slice]]
    rows: Sequence[Row]


class Results(msgspec.Struct, kw_only=True):
    """Everything that a run has found, filled in as it goes on."""

    machine: str
    date: str
    load_average: str
    """Of the minutes before the run."""
    versions: dict[str, str]
    missing: list[str]
    """Peers that were asked for and cannot be had."""
    cases: list[Measured] = []
    costs: list[Costs] = []
    change: Change | None = None
    picks: list[PickCost] = []
    workers: Workers | None = None
    control: Control | None = None
    failed: dict[str, str] = {}
    """What could not be measured, and why."""


class Target(msgspec.Struct, frozen=True):
    """Something that Fairlead is held to."""

    what: str
    found: str
    limit: str
    reached: bool
    within_spread: bool = False
    """The quartiles are on both sides of the limit: another run may judge otherwise."""


def targets(results: Results, first: str) -> Iterator[Target]:
    """All that were measured, in the order of the report."""
    for measured in results.cases:
        yield from _of_case(measured)
    for costs in results.costs:
        if costs.proxy == first:
            yield from _of_costs(costs)
    if results.change is not None:
        change = results.change
        yield Target(
            f"one endpoint's change at {change.endpoints:,} endpoints, CPU",
            f"{tell(change.cpu_us, 0)} µs",
            f"{cases.CHANGE_CPU_US_MAX} µs",
            change.cpu_us.median <= cases.CHANGE_CPU_US_MAX,
        )
    for pick in results.picks:
        yield from _of_pick(pick)
    if results.workers is not None:
        yield _of_workers(results.workers)
    if results.control is not None:
        yield from _of_control(results.control)


def _of_case(measured: Measured) -> Iterator[Target]:
    case = measured.case
    held = (
        ("CPU", hardest(measured.rows, lambda row: row.ratio), case.target),
        ("99th percentile", hardest(measured.rows, lambda row: row.p99_ratio), case.p99_target),
    )
    for name, found, limit in held:
        if found is not None and limit is not None:
            peer, ratio = found
            what = f"{case.name}: {name}, ratio to {peer}"
            reached = ratio.median <= limit
            yield Target(what, tell(ratio, 3), f"{limit:.2f}", reached, ratio.low <= limit < ratio.high)


def _of_costs(costs: Costs) -> Iterator[Target]:
    calls = None if costs.system_calls is None else sum(costs.system_calls.values())
    held = (
        ("system calls per saturated request", calls, cases.SYSTEM_CALLS_MAX, 2),
        ("heap allocations per saturated request", costs.allocations, cases.ALLOCATIONS_MAX, 2),
        ("user instructions per saturated request", costs.instructions, cases.INSTRUCTIONS_MAX, 0),
        ("bytes of user memory per idle connection", costs.idle_bytes, cases.IDLE_BYTES_MAX, 0),
    )
    for what, found, limit, digits in held:
        if found is not None:
            # What is told is what counts: 0.0003 allocations are those of the program's life and not of requests.
            yield Target(what, f"{found:,.{digits}f}", f"{limit:,g}", round(found, digits) <= limit)


def _of_pick(pick: PickCost) -> Iterator[Target]:
    turns = pick.prefix_error is not None
    limit = cases.WEIGHTED_PICK_NS_MAX if pick.weighted and turns else cases.PICK_NS_MAX
    if turns or not pick.weighted:
        what = f"pick among 10,000 endpoints, {pick.name}"
        yield Target(what, f"{pick.pick_ns:.1f} ns", f"{limit} ns", pick.pick_ns <= limit)
    if pick.weighted and pick.prefix_error is not None:
        what = f"greatest prefix error of {pick.name}"
        limit_ = cases.PREFIX_ERROR_MAX
        yield Target(what, f"{pick.prefix_error:.2f}", f"{limit_}", pick.prefix_error <= limit_)


def _of_workers(workers: Workers) -> Target:
    ratios = workers.ratios
    limit = cases.WORKER_RATIO_MAX
    kept = sum(ratio <= limit for ratio in ratios)
    found = (
        f"{statistics.median(ratios):.1f} (worst {max(ratios):.1f}; {kept} of {len(ratios)} trials within)"
    )
    what = "16 connections on 4 workers: fullest over emptiest"
    return Target(what, found, f"{limit:g}", kept == len(ratios))


def _of_control(control: Control) -> Iterator[Target]:
    taken_in, lanes = control.taken_in, control.lanes
    held = (
        ("to decode", taken_in.decode_ms.median, cases.DECODE_MS_MAX, "ms"),
        ("that stays in memory", taken_in.kept_mb, cases.KEPT_MB_MAX, "MB"),
    )
    for what, found, limit, unit in held:
        name = f"a list of {taken_in.endpoints:,} endpoints, {what}"
        yield Target(name, f"{found:.1f} {unit}", f"{limit} {unit}", found <= limit)
    worst = max(lanes.scenes, key=lambda scene: scene.computing_ms.longest)
    waited = worst.computing_ms.longest
    yield Target(
        f"longest wait of an endpoint change while {lanes.routes:,} Routes change, computing",
        f"{waited:.1f} ms ({worst.name})",
        f"{cases.WAIT_MS_MAX} ms",
        waited <= cases.WAIT_MS_MAX,
    )


def tell(spread: Spread, digits: int) -> str:
    """A median with its quartiles."""
    return f"{spread.median:,.{digits}f} ({spread.low:,.{digits}f} to {spread.high:,.{digits}f})"
