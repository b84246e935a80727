"""Translation's statuses as Kubernetes writes them (`fairlead.api` holds the types)."""

from datetime import UTC, datetime

from fairlead import api
from fairlead.resources import Condition
from fairlead.translate import (
    Forgotten,
    GatewayClassStatus,
    GatewayStatus,
    ObjectStatus,
    PolicyStatus,
    RouteStatus,
    StatusCondition,
)


def timestamp(wall: float) -> str:
    """Unix seconds as metav1.Time."""
    return datetime.fromtimestamp(int(wall), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def render(status: ObjectStatus, *, controller_name: str, at: str) -> api.ObjectStatus | None:
    """The status with every condition's transition at `at`; None for an object that is forgotten."""
    match status:
        case GatewayClassStatus():
            return api.GatewayClassStatus(
                conditions=_conditions(status.conditions, at),
                supported_features=tuple(api.SupportedFeature(name=name) for name in status.features),
            )
        case GatewayStatus():
            return api.GatewayStatus(
                addresses=status.addresses,
                conditions=_conditions(status.conditions, at),
                listeners=tuple(
                    api.ListenerEntry(
                        name=one.name,
                        supported_kinds=one.supported_kinds,
                        attached_routes=one.attached_routes,
                        conditions=_conditions(one.conditions, at),
                    )
                    for one in status.listeners
                ),
            )
        case RouteStatus():
            return api.RouteStatus(
                parents=tuple(
                    api.ParentEntry(
                        parent_ref=one.parent_ref,
                        controller_name=controller_name,
                        conditions=_conditions(one.conditions, at),
                    )
                    for one in status.parents
                )
            )
        case PolicyStatus():
            return api.PolicyStatus(
                ancestors=tuple(
                    api.AncestorEntry(
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
