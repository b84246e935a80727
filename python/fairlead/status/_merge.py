"""Own status into the live object. Pure.

`status.parents` and `status.ancestors` are atomic lists with one entry per controller: whoever writes the list
writes everybody's. So the foreign entries of the live list are passed on as the bytes that were read.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from fairlead.api import (
    AncestorEntry,
    GatewayClassStatus,
    GatewayStatus,
    ListenerEntry,
    ParentEntry,
    PolicyStatus,
    RouteStatus,
)
from fairlead.resources import Condition, ParentReference

MAX_PARENTS = 32
MAX_ANCESTORS = 16

E = TypeVar("E", ParentEntry, AncestorEntry)


class _Owned(msgspec.Struct, frozen=True, rename="camel"):
    controller_name: str = ""


def merge_conditions(live: Sequence[Condition], own: Sequence[Condition]) -> tuple[Condition, ...]:
    """`own`, each with the transition time of the live condition of the same type and status."""
    before = {one.type: one for one in live}
    return tuple(
        msgspec.structs.replace(one, last_transition_time=held.last_transition_time)
        if (held := before.get(one.type)) is not None
        and held.status == one.status
        and held.last_transition_time
        else one
        for one in own
    )


def merge_parents(
    live: Sequence[msgspec.Raw], own: Sequence[ParentEntry], controller_name: str
) -> tuple[msgspec.Raw, ...] | None:
    """The list to write; None where it says already what `own` says."""
    return _merge(live, own, controller_name, ParentEntry, lambda entry: entry.parent_ref, MAX_PARENTS)


def merge_ancestors(
    live: Sequence[msgspec.Raw], own: Sequence[AncestorEntry], controller_name: str
) -> tuple[msgspec.Raw, ...] | None:
    """The list to write; None where it says already what `own` says."""
    return _merge(live, own, controller_name, AncestorEntry, lambda entry: entry.ancestor_ref, MAX_ANCESTORS)


def _merge(
    live: Sequence[msgspec.Raw],
    own: Sequence[E],
    controller_name: str,
    kind: type[E],
    ref_of: Callable[[E], ParentReference],
    most: int,
) -> tuple[msgspec.Raw, ...] | None:
    wanted = {ref_of(entry): entry for entry in own}
    merged: list[msgspec.Raw] = []
    changed = False
    for raw in live:
        if msgspec.json.decode(raw, type=_Owned).controller_name != controller_name:
            merged.append(raw)
            continue
        held = msgspec.json.decode(raw, type=kind)
        entry = wanted.pop(ref_of(held), None)
        if entry is None:
            changed = True  # its parent is gone, so our entry goes
            continue
        entry = msgspec.structs.replace(entry, conditions=merge_conditions(held.conditions, entry.conditions))
        if entry == held:
            merged.append(raw)
        else:
            changed = True
            merged.append(msgspec.Raw(msgspec.json.encode(entry)))
    for entry in wanted.values():
        if len(merged) < most:
            changed = True
            merged.append(msgspec.Raw(msgspec.json.encode(entry)))
    return tuple(merged) if changed else None


def merge_gateway(live: GatewayStatus, own: GatewayStatus) -> GatewayStatus | None:
    """The status to apply; None where the live one says it already. Conditions of others are not looked at."""
    before = {one.name: one for one in live.listeners}
    merged = GatewayStatus(
        addresses=own.addresses,
        conditions=merge_conditions(live.conditions, own.conditions),
        listeners=tuple(
            msgspec.structs.replace(
                one,
                conditions=merge_conditions(
                    before.get(one.name, ListenerEntry(name="")).conditions, one.conditions
                ),
            )
            for one in own.listeners
        ),
    )
    unchanged = (
        merged.addresses == live.addresses
        and _includes(live.conditions, merged.conditions)
        and [one.name for one in live.listeners] == [one.name for one in merged.listeners]
        and all(_same_listener(before[one.name], one) for one in merged.listeners)
    )
    return None if unchanged else merged


def merge_class(live: GatewayClassStatus, own: GatewayClassStatus) -> GatewayClassStatus | None:
    """The status to apply; None where the live one says it already."""
    merged = merge_own_class(live, own)
    same_features = live.supported_features == own.supported_features
    return None if same_features and _includes(live.conditions, merged.conditions) else merged


def _same_listener(live: ListenerEntry, own: ListenerEntry) -> bool:
    return (
        live.attached_routes == own.attached_routes
        and live.supported_kinds == own.supported_kinds
        and _includes(live.conditions, own.conditions)
    )


def _includes(live: Sequence[Condition], own: Sequence[Condition]) -> bool:
    return set(own) <= set(live)


def merge_own_class(before: GatewayClassStatus, now: GatewayClassStatus) -> GatewayClassStatus:
    """`now` with the transition times of `before`."""
    return GatewayClassStatus(
        conditions=merge_conditions(before.conditions, now.conditions),
        supported_features=now.supported_features,
    )


def merge_own_parents(before: RouteStatus, now: RouteStatus) -> RouteStatus:
    """`now` with the transition times of `before`."""
    held = {one.parent_ref: one.conditions for one in before.parents}
    return RouteStatus(
        parents=tuple(
            msgspec.structs.replace(
                one, conditions=merge_conditions(held.get(one.parent_ref, ()), one.conditions)
            )
            for one in now.parents
        )
    )


def merge_own_ancestors(before: PolicyStatus, now: PolicyStatus) -> PolicyStatus:
    """`now` with the transition times of `before`."""
    held = {one.ancestor_ref: one.conditions for one in before.ancestors}
    return PolicyStatus(
        ancestors=tuple(
            msgspec.structs.replace(
                one, conditions=merge_conditions(held.get(one.ancestor_ref, ()), one.conditions)
            )
            for one in now.ancestors
        )
    )
