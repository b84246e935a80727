"""What slices add up to. Pure: lists of figures in, medians and spreads out.

A virtual machine's speed differs by tens of per cent between minutes. So figures of different proxies are compared
only where they were taken within the same seconds: the ratio of each round first, then the median of the ratios.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import msgspec


class Slice(msgspec.Struct, frozen=True):
    """One proxy's share of a round."""

    cpu_us: float
    """Of the proxy, per request."""
    rate: float
    p50_us: float
    p99_us: float
    errors: int
    foreign: float
    """The share of the proxy's core that others took."""


class Spread(msgspec.Struct, frozen=True):
    """A median with its quartiles."""

    median: float
    low: float
    high: float


class Row(msgspec.Struct, frozen=True):
    """One proxy in one case."""

    proxy: str
    cpu_us: Spread
    rate: float
    p50_us: float
    p99_us: float
    errors: int
    ratio: Spread | None
    """CPU per request of the first proxy over this one's; none for the first itself."""
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
    found = []
    for name in names:
        slices = [each[name] for each in rounds]
        ratios = [each[first].cpu_us / each[name].cpu_us for each in rounds]
        found.append(
            Row(
                proxy=name,
                cpu_us=spread([each.cpu_us for each in slices]),
                rate=statistics.median(each.rate for each in slices),
                p50_us=statistics.median(each.p50_us for each in slices),
                p99_us=statistics.median(each.p99_us for each in slices),
                errors=sum(each.errors for each in slices),
                ratio=None if name == first else spread(ratios),
                rounds=len(rounds),
            )
        )
    return found


def better_peer(found: Sequence[Row]) -> Row | None:
    """The peer that takes the least: the one to which the first proxy's ratio is the highest."""
    peers = [row for row in found if row.ratio is not None]
    return max(peers, key=lambda row: row.ratio.median if row.ratio else 0.0, default=None)
