"""Translation: Kubernetes objects in; resources of the Snapshot, conditions and findings out.

Laws:
1. Pure: no clock, no input or output, no tasks. The same objects and addresses give the same result,
   in whatever order their changes came.
2. Incremental by a graph of references to names; an endpoint event touches its Backends only.
3. One bad object harms itself only.
"""

from fairlead.translate._addresses import AddressBook, AddressProblem, Assignment
from fairlead.translate._gateway_api import FEATURES, GatewayAPI
from fairlead.translate._model import CONTROLLER_NAME, Delta, Encoded, Origin, Part, TranslateSettings
from fairlead.translate._outbox import Validate
from fairlead.translate._statuses import (
    AncestorStatus,
    ConditionStatus,
    ConditionType,
    Forgotten,
    GatewayClassStatus,
    GatewayStatus,
    ListenerStatus,
    ObjectStatus,
    ParentStatus,
    PolicyStatus,
    Reason,
    RouteStatus,
    StatusCondition,
)
from fairlead.translate._translator import Full, Translator

__all__ = [
    "CONTROLLER_NAME",
    "FEATURES",
    "AddressBook",
    "AddressProblem",
    "AncestorStatus",
    "Assignment",
    "ConditionStatus",
    "ConditionType",
    "Delta",
    "Encoded",
    "Forgotten",
    "Full",
    "GatewayAPI",
    "GatewayClassStatus",
    "GatewayStatus",
    "ListenerStatus",
    "ObjectStatus",
    "Origin",
    "ParentStatus",
    "Part",
    "PolicyStatus",
    "Reason",
    "RouteStatus",
    "StatusCondition",
    "TranslateSettings",
    "Translator",
    "Validate",
]
