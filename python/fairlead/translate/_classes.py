"""GatewayClasses of ours."""

from fairlead.resources import GatewayClass
from fairlead.translate._conditions import Conditions
from fairlead.translate._gateway_api import FEATURES, GatewayAPI, version_condition
from fairlead.translate._objects import ref_of
from fairlead.translate._statuses import ConditionType, GatewayClassStatus, Reason


def is_accepted(item: GatewayClass) -> bool:
    """Whether Gateways of the class are served. We take no parameters."""
    return item.spec.parameters_ref is None


def class_status(item: GatewayClass, gateway_api: GatewayAPI) -> GatewayClassStatus:
    """The status of a GatewayClass of ours."""
    make = Conditions(item.metadata.generation)
    accepted = (
        make.true(ConditionType.ACCEPTED, Reason.ACCEPTED)
        if is_accepted(item)
        else make.false(
            ConditionType.ACCEPTED,
            Reason.INVALID_PARAMETERS,
            "spec.parametersRef is not supported: remove it",
        )
    )
    return GatewayClassStatus(
        ref=ref_of(item),
        uid=item.metadata.uid,
        conditions=(accepted, version_condition(make, gateway_api)),
        features=FEATURES,
    )
