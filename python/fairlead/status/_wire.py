"""Statuses as Kubernetes writes them."""

from datetime import UTC, datetime

import msgspec

from fairlead.resources import Condition, GatewayStatusAddress, ParentReference, RouteGroupKind
from fairlead.translate import (
    Forgotten,
    GatewayClassStatus,
    GatewayStatus,
    ObjectStatus,
    PolicyStatus,
    RouteStatus,
    StatusCondition,
)


class _Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A status in Kubernetes' JSON."""


class ParentEntry(_Wire, frozen=True, kw_only=True, rename="camel"):
    """RouteParentStatus."""

    parent_ref: ParentReference
    controller_name: str
    conditions: tuple[Condition, ...] = ()


class AncestorEntry(_Wire, frozen=True, kw_only=True, rename="camel"):
    """PolicyAncestorStatus."""

    ancestor_ref: ParentReference
    controller_name: str
    conditions: tuple[Condition, ...] = ()


class ListenerEntry(_Wire, frozen=True, kw_only=True, rename="camel"):
    """ListenerStatus."""

    name: str
    supported_kinds: tuple[RouteGroupKind, ...] = ()
    attached_routes: int = 0
    conditions: tuple[Condition, ...] = ()


class GatewayStatusWire(_Wire, frozen=True, kw_only=True, rename="camel"):
    addresses: tuple[GatewayStatusAddress, ...] = ()
    conditions: tuple[Condition, ...] = ()
    listeners: tuple[ListenerEntry, ...] = ()


class GatewayClassStatusWire(_Wire, frozen=True, kw_only=True, rename="camel"):
    conditions: tuple[Condition, ...] = ()


class RouteStatusWire(_Wire, frozen=True, kw_only=True, rename="camel"):
    parents: tuple[ParentEntry, ...] = ()


class PolicyStatusWire(_Wire, frozen=True, kw_only=True, rename="camel"):
    ancestors: tuple[AncestorEntry, ...] = ()


StatusWire = GatewayStatusWire | GatewayClassStatusWire | RouteStatusWire | PolicyStatusWire


def timestamp(wall: float) -> str:
    """Unix seconds as metav1.Time."""
    return datetime.fromtimestamp(int(wall), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def render(status: ObjectStatus, *, controller_name: str, at: str) -> StatusWire | None:
    """The status with every condition's transition at `at`; None for an object that is forgotten."""
    match status:
        case GatewayClassStatus():
            return GatewayClassStatusWire(conditions=_conditions(status.conditions, at))
        case GatewayStatus():
            return GatewayStatusWire(
                addresses=status.addresses,
                conditions=_conditions(status.conditions, at),
                listeners=tuple(
                    ListenerEntry(
                        name=one.name,
                        supported_kinds=one.supported_kinds,
                        attached_routes=one.attached_routes,
                        conditions=_conditions(one.conditions, at),
                    )
                    for one in status.listeners
                ),
            )
        case RouteStatus():
            return RouteStatusWire(
                parents=tuple(
                    ParentEntry(
                        parent_ref=one.parent_ref,
                        controller_name=controller_name,
                        conditions=_conditions(one.conditions, at),
                    )
                    for one in status.parents
                )
            )
        case PolicyStatus():
            return PolicyStatusWire(
                ancestors=tuple(
                    AncestorEntry(
                        ancestor_ref=one.ancestor_ref,
                        controller_name=controller_name,
                        conditions=_conditions(one.conditions, at),
                    )
                    for one in status.ancestors
                )
            )
        case Forgotten():
            return None


def _conditions(conditions: tuple[StatusCondition, ...], at: str) -> tuple[Condition, ...]:
    return tuple(
        Condition(
            type=one.type.value,
            status=one.status.value,
            reason=one.reason.value,
            message=one.message,
            last_transition_time=at,
            observed_generation=one.observed_generation,
        )
        for one in conditions
    )
