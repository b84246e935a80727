"""How conditions are made, and those of GatewayClasses."""

from fairlead.resources import GatewayClass
from fairlead.translate._objects import ref_of
from fairlead.translate._statuses import (
    ConditionStatus,
    ConditionType,
    GatewayClassStatus,
    Reason,
    StatusCondition,
)

GATEWAY_GROUP = "gateway.networking.k8s.io"


class Conditions:
    """Makes the conditions of one object, all with its generation."""

    def __init__(self, generation: int) -> None:
        self._generation = generation

    def true(self, kind: ConditionType, reason: Reason, message: str = "") -> StatusCondition:
        return StatusCondition(kind, ConditionStatus.TRUE, reason, message, self._generation)

    def false(self, kind: ConditionType, reason: Reason, message: str) -> StatusCondition:
        return StatusCondition(kind, ConditionStatus.FALSE, reason, message, self._generation)

    def unknown(self, kind: ConditionType, reason: Reason, message: str) -> StatusCondition:
        return StatusCondition(kind, ConditionStatus.UNKNOWN, reason, message, self._generation)


def class_status(item: GatewayClass) -> tuple[bool, GatewayClassStatus]:
    """Whether a GatewayClass of ours is accepted, and its status. We take no parameters."""
    make = Conditions(item.metadata.generation)
    accepted = item.spec.parameters_ref is None
    condition = (
        make.true(ConditionType.ACCEPTED, Reason.ACCEPTED)
        if accepted
        else make.false(
            ConditionType.ACCEPTED,
            Reason.INVALID_PARAMETERS,
            "spec.parametersRef is not supported: remove it",
        )
    )
    return accepted, GatewayClassStatus(ref=ref_of(item), uid=item.metadata.uid, conditions=(condition,))
