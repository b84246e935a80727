"""BackendPolicy: which one takes effect on a Backend, and the status of each.

Laws (GEP-713, Direct policy):
1. A policy applies whole: one that names the port by sectionName over one that names the Service.
2. Of several with the same target the oldest wins, then namespace/name; the others are Conflicted there.
3. A policy that is not valid takes part in no contest.
4. There is one status entry per Gateway that sends requests to a target, at most 16.
"""

from collections.abc import Callable, Collection, Mapping

from fairlead import snapshot
from fairlead.resources import BackendPolicy, BackendPolicySpec, Kind, ParentReference, Ref, parse_time
from fairlead.sources import Finding
from fairlead.translate._conditions import GATEWAY_GROUP, Conditions
from fairlead.translate._graph import Name
from fairlead.translate._hashing import consistent_hash, hashing_problem
from fairlead.translate._objects import Objects, policy_targets, ref_of
from fairlead.translate._statuses import (
    AncestorStatus,
    ConditionType,
    PolicyStatus,
    Reason,
    StatusCondition,
)

MAX_ANCESTORS = 16
MAX_CONNECTIONS = 2**31 - 1
MAX_RETRY_ATTEMPTS = 1

GatewaysOf = Callable[[Ref], Collection[Ref]]
"""The Gateways that send requests to a Service."""


def effective_policy(service: Ref, port_name: str, policies: Mapping[Ref, BackendPolicy]) -> snapshot.Policy:
    """The policy of a Service's port, of those that name the Service."""
    ruling = _winner(service, port_name, policies) if port_name else None
    ruling = ruling or _winner(service, "", policies)
    if ruling is None:
        return snapshot.Policy()
    origin = f"{Kind.BACKEND_POLICY.value}/{ruling.metadata.namespace}/{ruling.metadata.name}"
    balancer = _load_balancer(ruling.spec)
    hashing = consistent_hash(ruling.spec.load_balancer)
    limit = _max_connections(ruling.spec)
    attempts = _attempts(ruling.spec)
    given = {
        "load_balancer": balancer,
        "consistent_hash": hashing,
        "max_connections_per_endpoint": limit,
        "retry_attempts": attempts,
    }
    default = snapshot.Policy()
    return snapshot.Policy(
        load_balancer=default.load_balancer if balancer is None else snapshot.LoadBalancer(balancer),
        consistent_hash=hashing,
        max_connections_per_endpoint=limit,
        retry_attempts=default.retry_attempts if attempts is None else attempts,
        origins={field: origin for field, value in given.items() if value is not None},
    )


def policy_names(policy: BackendPolicy) -> set[Name]:
    """Every name that the status of a policy depends on."""
    targets = policy_targets(policy)
    return {Name(kind, ref) for ref in targets for kind in (Kind.SERVICE, Kind.BACKEND_POLICY)}


def plan_policy(
    policy: BackendPolicy, objects: Objects, gateways_of: GatewaysOf
) -> tuple[PolicyStatus, list[Finding]]:
    """The status of a policy, and what a status has no place for."""
    make = Conditions(policy.metadata.generation)
    ref = ref_of(policy)
    where = f"{Kind.BACKEND_POLICY.value} {ref}"
    findings: list[Finding] = []
    strange = [target for target in policy.spec.target_refs if target.group or target.kind != "Service"]
    if strange:
        names = ", ".join(f"{target.group}/{target.kind} {target.name}" for target in strange)
        findings.append(Finding("InvalidTargetRef", f"only Services can be targets, not {names}", where))
    faults = {target: _fault(policy, target, objects) for target in policy_targets(policy)}
    gateways = sorted({gateway for target in faults for gateway in gateways_of(target)})
    if len(gateways) > MAX_ANCESTORS:
        left_out = ", ".join(map(str, gateways[MAX_ANCESTORS:]))
        findings.append(
            Finding("TooManyAncestors", f"the status has no place for the Gateways {left_out}", where)
        )
    ancestors = tuple(
        AncestorStatus(
            ancestor_ref=ParentReference(
                group=GATEWAY_GROUP, kind="Gateway", namespace=gateway.namespace, name=gateway.name
            ),
            conditions=(
                _accepted(make, [faults[target] for target in faults if gateway in gateways_of(target)]),
            ),
        )
        for gateway in gateways[:MAX_ANCESTORS]
    )
    return PolicyStatus(ref=ref, uid=policy.metadata.uid, ancestors=ancestors), findings


def _accepted(make: Conditions, faults: list[tuple[Reason, str] | None]) -> StatusCondition:
    found = [fault for fault in faults if fault is not None]
    if not found:
        return make.true(ConditionType.ACCEPTED, Reason.ACCEPTED)
    return make.false(ConditionType.ACCEPTED, found[0][0], "; ".join(message for _, message in found))


def _fault(policy: BackendPolicy, service: Ref, objects: Objects) -> tuple[Reason, str] | None:
    """Why the policy does not take effect on (a part of) a target."""
    if problem := _problem(policy.spec):
        return Reason.INVALID, problem
    found = objects.service(service)
    if found is None:
        return Reason.TARGET_NOT_FOUND, f"Service {service} does not exist"
    ports = {port.name for port in found.spec.ports or () if port.name}
    policies = objects.policies_for(service)
    for section in _sections(policy, service):
        if section and section not in ports:
            return Reason.TARGET_NOT_FOUND, f"Service {service} has no port named {section!r}"
        winner = _winner(service, section, policies)
        if winner is not None and ref_of(winner) != ref_of(policy):
            part = f"port {section!r} of Service" if section else "Service"
            return Reason.CONFLICTED, f"{part} {service} has the older BackendPolicy {ref_of(winner)}"
    return None


def _winner(service: Ref, section: str, policies: Mapping[Ref, BackendPolicy]) -> BackendPolicy | None:
    rivals = [
        item for item in policies.values() if not _problem(item.spec) and section in _sections(item, service)
    ]
    return min(rivals, key=_age, default=None)


def _age(policy: BackendPolicy) -> tuple[int, str, str]:
    meta = policy.metadata
    return parse_time(meta.creation_timestamp), meta.namespace, meta.name


def _sections(policy: BackendPolicy, service: Ref) -> list[str]:
    """The port names that the policy gives for a Service; empty for the whole Service."""
    return [
        target.section_name or ""
        for target in policy.spec.target_refs
        if not target.group and target.kind == "Service" and target.name == service.name
    ]


def _problem(spec: BackendPolicySpec) -> str:
    """What is wrong with the values of a policy; empty if nothing is. A CRD of ours does not let such values in."""
    balancer = _load_balancer(spec)
    if balancer is not None and balancer not in set(snapshot.LoadBalancer):
        return f"loadBalancer.type {balancer!r} is not known"
    if spec.load_balancer is not None and (problem := hashing_problem(spec.load_balancer)):
        return problem
    limit = _max_connections(spec)
    if limit is not None and not 1 <= limit <= MAX_CONNECTIONS:
        return f"circuitBreaker.perEndpoint.maxConnections is not within 1 to {MAX_CONNECTIONS}: {limit}"
    attempts = _attempts(spec)
    if attempts is not None and not 0 <= attempts <= MAX_RETRY_ATTEMPTS:
        return f"retry.attempts is not within 0 to {MAX_RETRY_ATTEMPTS}: {attempts}"
    return ""


def _load_balancer(spec: BackendPolicySpec) -> str | None:
    return spec.load_balancer.type if spec.load_balancer is not None else None


def _max_connections(spec: BackendPolicySpec) -> int | None:
    per_endpoint = spec.circuit_breaker.per_endpoint if spec.circuit_breaker is not None else None
    return per_endpoint.max_connections if per_endpoint is not None else None


def _attempts(spec: BackendPolicySpec) -> int | None:
    return spec.retry.attempts if spec.retry is not None else None
