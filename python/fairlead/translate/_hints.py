"""Topology hints as a pure rule.

Sources: KEP-2433 (zones), KEP-3015 (nodes). Laws:
1. Node hints first, then zone hints, else all: a kind of hint counts only if every usable endpoint carries
   it and at least one names the own node or zone.
2. Hints never leave a Backend without usable endpoints: whatever is missing, all are used.
"""

from collections.abc import Callable, Sequence

import msgspec


class Hints(msgspec.Struct, frozen=True, gc=False):
    """Where an endpoint should be used from."""

    zones: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()


def nearest(usable: Sequence[Hints | None], *, zone: str, node: str) -> Callable[[Hints], bool] | None:
    """Which hints to keep, given those of all usable endpoints; None keeps every endpoint."""
    if node and _decides(usable, lambda hints: hints.nodes, node):
        return lambda hints: node in hints.nodes
    if zone and _decides(usable, lambda hints: hints.zones, zone):
        return lambda hints: zone in hints.zones
    return None


def _decides(usable: Sequence[Hints | None], names: Callable[[Hints], tuple[str, ...]], own: str) -> bool:
    return all(hints is not None and names(hints) for hints in usable) and any(
        hints is not None and own in names(hints) for hints in usable
    )
