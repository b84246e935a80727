"""How conditions are made."""

from fairlead.translate._statuses import (
    ConditionStatus,
    ConditionType,
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
