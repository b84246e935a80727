"""The simplest StatusBook: the last status that translation gave for each object, as if it were served."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from fairlead import api
from fairlead.resources import Condition, Kind, Ref
from fairlead.snapshot import BindFact, Position, Rejection
from fairlead.translate import (
    Forgotten,
    GatewayClassStatus,
    GatewayStatus,
    ObjectStatus,
    PolicyStatus,
    RouteStatus,
    StatusCondition,
)


class LastStatuses:
    """Keeps statuses by kind and name."""

    def __init__(self, controller_name: str, wall: Callable[[], float]) -> None:
        """`wall` gives seconds since the Unix epoch, for `lastTransitionTime`."""
        self._controller_name = controller_name
        self._wall = wall
        self._statuses: dict[tuple[Kind, Ref], api.ObjectStatus] = {}

    def update(self, statuses: Sequence[ObjectStatus], position: Position) -> None:  # noqa: ARG002 - see the head
        now = datetime.fromtimestamp(self._wall(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for status in statuses:
            if isinstance(status, Forgotten):
                self._statuses.pop((status.kind, status.ref), None)
            else:
                self._statuses[status.kind, status.ref] = self._shaped(status, now)

    def acked(self, proxy: str, position: Position) -> None: ...

    def rejected(self, proxy: str, rejections: Sequence[Rejection]) -> None: ...

    def facts(self, proxy: str, binds: Sequence[BindFact]) -> None: ...

    def gone(self, proxy: str) -> None: ...

    def status_of(self, kind: Kind, ref: Ref) -> api.ObjectStatus | None:
        return self._statuses.get((kind, ref))

    def _shaped(
        self, status: GatewayClassStatus | GatewayStatus | RouteStatus | PolicyStatus, now: str
    ) -> api.ObjectStatus:
        match status:
            case GatewayClassStatus():
                return api.GatewayClassStatus(conditions=_conditions(status.conditions, now))
            case GatewayStatus():
                return api.GatewayStatus(
                    addresses=status.addresses,
                    conditions=_conditions(status.conditions, now),
                    listeners=tuple(
                        api.ListenerStatus(
                            name=listener.name,
                            supported_kinds=listener.supported_kinds,
                            attached_routes=listener.attached_routes,
                            conditions=_conditions(listener.conditions, now),
                        )
                        for listener in status.listeners
                    ),
                )
            case RouteStatus():
                return api.RouteStatus(
                    parents=tuple(
                        api.ParentStatus(
                            parent_ref=parent.parent_ref,
                            controller_name=self._controller_name,
                            conditions=_conditions(parent.conditions, now),
                        )
                        for parent in status.parents
                    )
                )
            case PolicyStatus():
                return api.PolicyStatus(
                    ancestors=tuple(
                        api.AncestorStatus(
                            ancestor_ref=ancestor.ancestor_ref,
                            controller_name=self._controller_name,
                            conditions=_conditions(ancestor.conditions, now),
                        )
                        for ancestor in status.ancestors
                    )
                )


def _conditions(conditions: Sequence[StatusCondition], now: str) -> tuple[Condition, ...]:
    return tuple(
        Condition(
            type=condition.type,
            status=condition.status,
            reason=condition.reason,
            message=condition.message,
            last_transition_time=now,
            observed_generation=condition.observed_generation,
        )
        for condition in conditions
    )
