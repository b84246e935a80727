"""What slices add up to. Pure: lists of figures in, medians and spreads out.

A virtual machine's speed differs by tens of per cent between minutes. So figures of different proxies are compared
only where they were taken within the same seconds: the ratio of each round first, then the median of the ratios.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

import msgspec


class Slice(msgspec.Struct, frozen=True):
    """One proxy's share of a round."""

    cpu_us: float
    """Of the proxy, per request; 0 where there is no proxy."""
    busy: float
    """The share of its core that the proxy used."""
    rate: float
    p50_us: float
    p99_us: float
    """The median of those of its quarters of a second: pauses of the machine hit few of them."""
    p99_9_us: float
    wait_p99_us: float
    """Of the time between a request's schedule and its sending: the load generator's own delay."""
    errors: int
    foreign: float
    """The share of a core that others took, of the core on which they took more."""


class Spread(msgspec.Struct, frozen=True):
    """A median with its quartiles."""

    median: float
    low: float
    high: float


class Row(msgspec.Struct, frozen=True):
    """One proxy in one case."""

    proxy: str
    cpu_us: Spread
    busy: float
    rate: float
    p50_us: float
    p99_us: Spread
    p99_9_us: float
    wait_p99_us: float
    errors: int
    foreign: float
    ratio: Spread | None
    """CPU per request of the first proxy over this one's; none for the first itself and where there is no proxy."""
    p99_ratio: Spread | None
    """The same of the 99th percentiles."""
    rounds: int


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def rows(rounds: Sequence[Mapping[str, Slice]], first: str) -> list[Row]:
    """One row per proxy, the first one first. Every round holds a slice of every proxy."""
    names = [first, *sorted(name for name in rounds[0] if name != first)]
    return [_row(name, rounds, first) for name in names]


def _row(name: str, rounds: Sequence[Mapping[str, Slice]], first: str) -> Row:
    slices = [each[name] for each in rounds]
    compared = name != first and all(each.cpu_us > 0 for each in slices)

    def ratio(figure: Callable[[Slice], float]) -> Spread | None:
        return spread([figure(each[first]) / figure(each[name]) for each in rounds]) if compared else None

    def median(figure: Callable[[Slice], float]) -> float:
        return statistics.median(map(figure, slices))

    return Row(
        proxy=name,
        cpu_us=spread([each.cpu_us for each in slices]),
        busy=median(lambda each: each.busy),
        rate=median(lambda each: each.rate),
        p50_us=median(lambda each: each.p50_us),
        p99_us=spread([each.p99_us for each in slices]),
        p99_9_us=median(lambda each: each.p99_9_us),
        wait_p99_us=median(lambda each: each.wait_p99_us),
        errors=sum(each.errors for each in slices),
        foreign=median(lambda each: each.foreign),
        ratio=ratio(lambda each: each.cpu_us),
        p99_ratio=ratio(lambda each: each.p99_us),
        rounds=len(rounds),
    )


def hardest(found: Sequence[Row], ratio: Callable[[Row], Spread | None]) -> tuple[str, Spread] | None:
    """The peer that is the hardest to beat, with its ratio: the one to which the first proxy's is the highest."""
    known = [(row.proxy, value) for row in found if (value := ratio(row)) is not None]
    return max(known, key=lambda each: each[1].median, default=None)
