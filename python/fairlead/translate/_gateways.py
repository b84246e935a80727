"""One Gateway: its address, its Listeners and Binds, its conditions.

Laws:
1. A Gateway with at least one Listener that can be served is accepted; the others are named in its conditions.
2. A Gateway without an address generates nothing; its Routes stay attached and come alive with the address.
3. attachedRoutes is a counter beside the plan: counting touches neither Listeners nor Routes.
"""

from collections.abc import Mapping

import msgspec

from fairlead import snapshot
from fairlead.resources import Gateway, GatewayStatusAddress, Ref
from fairlead.translate._addresses import AddressProblem, Assignment
from fairlead.translate._conditions import Conditions
from fairlead.translate._listeners import HTTP_ROUTE, ListenerPlan, ListenerVerdict, allowed_namespaces, judge
from fairlead.translate._objects import ref_of
from fairlead.translate._statuses import (
    ConditionType,
    GatewayStatus,
    ListenerStatus,
    Reason,
    StatusCondition,
)


class GatewayPlan(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of a Gateway."""

    listeners: tuple[ListenerPlan, ...]
    """What Routes depend on."""
    resources: dict[snapshot.Key, snapshot.Bind | snapshot.Listener]
    status: GatewayStatus
    """With no Route counted."""


def listener_key(gateway: Ref, listener: str) -> snapshot.Key:
    return snapshot.Key(snapshot.Kind.LISTENER, f"{gateway.namespace}/{gateway.name}/{listener}")


def bind_key(address: str, port: int) -> snapshot.Key:
    host = f"[{address}]" if ":" in address else address
    return snapshot.Key(snapshot.Kind.BIND, f"{host}:{port}")


def plan_gateway(gateway: Gateway, assignment: Assignment, *, class_accepted: bool) -> GatewayPlan:
    """Plans a Gateway of ours."""
    ref = ref_of(gateway)
    refusal = _refusal(gateway, assignment, class_accepted=class_accepted)
    verdicts = judge(gateway.spec.listeners)
    address = assignment.address if refusal is None else None
    resources: dict[snapshot.Key, snapshot.Bind | snapshot.Listener] = {}
    plans: list[ListenerPlan] = []
    statuses: list[ListenerStatus] = []
    for verdict in verdicts:
        keys: tuple[snapshot.Key, ...] = ()
        if address is not None and verdict.valid:
            keys = _generate(ref, verdict, address, resources)
        plans.append(
            ListenerPlan(
                name=verdict.listener.name,
                port=verdict.listener.port,
                hostname=verdict.hostname,
                takes_http_routes=HTTP_ROUTE in verdict.kinds,
                namespaces=allowed_namespaces(verdict.listener),
                served=bool(keys),
            )
        )
        statuses.append(_listener_status(gateway, verdict, keys, assignment, refusal))
    return GatewayPlan(
        listeners=tuple(plans),
        resources=resources,
        status=GatewayStatus(
            ref=ref,
            uid=gateway.metadata.uid,
            conditions=_conditions(gateway, verdicts, assignment, refusal),
            addresses=() if address is None else (GatewayStatusAddress(type="IPAddress", value=address),),
            listeners=tuple(statuses),
        ),
    )


def count_routes(status: GatewayStatus, attached: Mapping[str, int]) -> GatewayStatus:
    """The status with the number of attached Routes per Listener."""
    listeners = tuple(
        msgspec.structs.replace(listener, attached_routes=attached.get(listener.name, 0))
        for listener in status.listeners
    )
    return msgspec.structs.replace(status, listeners=listeners)


def _generate(
    gateway: Ref,
    verdict: ListenerVerdict,
    address: str,
    resources: dict[snapshot.Key, snapshot.Bind | snapshot.Listener],
) -> tuple[snapshot.Key, ...]:
    port = verdict.listener.port
    bind = bind_key(address, port)
    listener = listener_key(gateway, verdict.listener.name)
    resources[bind] = snapshot.Bind(address=address, port=port)
    resources[listener] = snapshot.Listener(
        bind=bind.name,
        gateway_namespace=gateway.namespace,
        gateway=gateway.name,
        listener=verdict.listener.name,
        port=port,
        hostname=verdict.hostname,
    )
    return (listener, bind)


def _refusal(gateway: Gateway, assignment: Assignment, *, class_accepted: bool) -> tuple[Reason, str] | None:
    """Why the Gateway as a whole is not accepted, Listeners apart."""
    if not class_accepted:
        return Reason.PENDING, f"GatewayClass {gateway.spec.gateway_class_name} is not accepted"
    infrastructure = gateway.spec.infrastructure
    if infrastructure is not None and infrastructure.parameters_ref is not None:
        return Reason.INVALID_PARAMETERS, "infrastructure.parametersRef is not supported: remove it"
    if assignment.problem is AddressProblem.UNSUPPORTED_ADDRESS:
        return Reason.UNSUPPORTED_ADDRESS, assignment.message
    return None


def _conditions(
    gateway: Gateway,
    verdicts: tuple[ListenerVerdict, ...],
    assignment: Assignment,
    refusal: tuple[Reason, str] | None,
) -> tuple[StatusCondition, ...]:
    make = Conditions(gateway.metadata.generation)
    accepted, programmed = ConditionType.ACCEPTED, ConditionType.PROGRAMMED
    if refusal is not None:
        reason, message = refusal
        first = make.unknown if reason is Reason.PENDING else make.false
        return (
            first(accepted, reason, message),
            make.false(programmed, Reason.PENDING if reason is Reason.PENDING else Reason.INVALID, message),
        )
    broken = [verdict for verdict in verdicts if not verdict.valid]
    served = [verdict for verdict in verdicts if verdict.valid]
    names = _names(broken)
    if not served:
        message = f"no listener can be served: {names}" if names else "there is no listener"
        return (
            make.false(accepted, Reason.LISTENERS_NOT_VALID, message),
            make.false(programmed, Reason.INVALID, message),
        )
    head = (
        make.true(accepted, Reason.LISTENERS_NOT_VALID, f"not valid: {names}; accepted: {_names(served)}")
        if broken
        else make.true(accepted, Reason.ACCEPTED)
    )
    if assignment.problem is not None:
        return head, make.false(programmed, Reason(assignment.problem.value), assignment.message)
    return head, make.true(programmed, Reason.PROGRAMMED)


def _names(verdicts: list[ListenerVerdict]) -> str:
    return ", ".join(verdict.listener.name for verdict in verdicts)


def _listener_status(
    gateway: Gateway,
    verdict: ListenerVerdict,
    keys: tuple[snapshot.Key, ...],
    assignment: Assignment,
    refusal: tuple[Reason, str] | None,
) -> ListenerStatus:
    make = Conditions(gateway.metadata.generation)
    conditions = [
        make.true(ConditionType.ACCEPTED, Reason.ACCEPTED)
        if verdict.fault is None
        else make.false(ConditionType.ACCEPTED, *verdict.fault)
    ]
    if verdict.fault is not None:
        reason = verdict.fault[0] if verdict.fault is verdict.conflict else Reason.INVALID
        conditions.append(make.false(ConditionType.PROGRAMMED, reason, verdict.fault[1]))
    elif not verdict.kinds:
        conditions.append(
            make.false(
                ConditionType.PROGRAMMED, Reason.INVALID, "none of the allowed Route kinds is supported"
            )
        )
    elif keys:
        conditions.append(make.true(ConditionType.PROGRAMMED, Reason.PROGRAMMED))
    else:
        message = refusal[1] if refusal is not None else assignment.message
        conditions.append(make.false(ConditionType.PROGRAMMED, Reason.PENDING, message))
    conditions.append(
        make.false(
            ConditionType.RESOLVED_REFS,
            Reason.INVALID_ROUTE_KINDS,
            f"not supported here: {verdict.invalid_kinds}",
        )
        if verdict.invalid_kinds
        else make.true(ConditionType.RESOLVED_REFS, Reason.RESOLVED_REFS)
    )
    conditions.append(
        make.false(ConditionType.CONFLICTED, Reason.NO_CONFLICTS, "")
        if verdict.conflict is None
        else make.true(ConditionType.CONFLICTED, *verdict.conflict)
    )
    return ListenerStatus(
        name=verdict.listener.name,
        supported_kinds=verdict.kinds,
        attached_routes=0,
        conditions=tuple(conditions),
        keys=keys,
    )
