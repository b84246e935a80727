"""One HTTPRoute: which Listeners it attaches to, its resource, its conditions per parent.

Laws (Gateway API, RouteStatus):
1. Listeners are narrowed in order: sectionName and port, allowedRoutes, hostname; the step that leaves
   none gives the reason.
2. A Route is accepted if at least one of its rules is valid; with others it is PartiallyInvalid.
3. attachedRoutes counts accepted Routes per Listener, even of Listeners that are not served.
4. Only parents of ours get a status.
"""

from collections.abc import Callable

import msgspec

from fairlead import snapshot
from fairlead.resources import HTTPRoute, HTTPRouteRule, Kind, ParentReference, Ref, parse_time
from fairlead.translate._conditions import GATEWAY_GROUP, Conditions
from fairlead.translate._gateways import listener_key
from fairlead.translate._graph import BackendId, Name
from fairlead.translate._hostnames import intersect, is_hostname
from fairlead.translate._listeners import ListenerPlan, Namespaces
from fairlead.translate._objects import Objects, ref_of
from fairlead.translate._references import resolve_backend, target_service
from fairlead.translate._rules import RuleResult, translate_rule
from fairlead.translate._statuses import ConditionType, ParentStatus, Reason, RouteStatus, StatusCondition

ListenersOf = Callable[[Ref], tuple[ListenerPlan, ...] | None]
"""The Listeners of a Gateway of ours; None for any other."""

_DEFAULT_RULES = (HTTPRouteRule(),)
"""The CRD's default: one rule for every request, without backends."""


class Attached(msgspec.Struct, frozen=True, gc=False):
    """A parent's Listeners that a Route attached to, or why it did not."""

    listeners: tuple[ListenerPlan, ...] = ()
    hostnames: tuple[tuple[str, ...], ...] = ()
    refusal: tuple[Reason, str] | None = None


class _Asking(msgspec.Struct, frozen=True, gc=False):
    """What Listeners ask of a Route."""

    namespace: str
    labels: dict[str, str] | None
    """The namespace's; None where it is not known."""
    hostnames: tuple[str, ...]


class RoutePlan(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of a Route."""

    resource: snapshot.Route | None
    status: RouteStatus
    attached: frozenset[tuple[Ref, str]] = frozenset()
    """The (Gateway, Listener name) pairs that count it."""
    backends: frozenset[BackendId] = frozenset()
    users: frozenset[tuple[Ref, Ref]] = frozenset()
    """(Service, Gateway) pairs: the Gateways that policies on the Service take effect at."""


def route_key(ref: Ref) -> snapshot.Key:
    return snapshot.Key(snapshot.Kind.ROUTE, f"HTTPRoute/{ref.namespace}/{ref.name}")


def parent_gateway(parent: ParentReference, namespace: str) -> Ref | None:
    """The Gateway that a parentRef names; None for another kind."""
    if parent.group not in (None, GATEWAY_GROUP) or parent.kind not in (None, "Gateway"):
        return None
    return Ref(parent.namespace or namespace, parent.name)


def route_names(route: HTTPRoute) -> tuple[set[Name], bool]:
    """Every name that a Route depends on, and whether it refers across namespaces."""
    namespace = route.metadata.namespace
    names: set[Name] = {Name(Kind.NAMESPACE, Ref("", namespace))}
    crosses = False
    for parent in route.spec.parent_refs or ():
        gateway = parent_gateway(parent, namespace)
        if gateway is not None:
            names.add(Name(Kind.GATEWAY, gateway))
    for rule in route.spec.rules or ():
        for ref in rule.backend_refs or ():
            service = target_service(ref, namespace)
            if service is None:
                continue
            names.add(Name(Kind.SERVICE, service))
            if service.namespace != namespace:
                crosses = True
                names.add(Name(Kind.REFERENCE_GRANT, Ref(service.namespace, "")))
    return names, crosses


def plan_route(
    route: HTTPRoute, listeners_of: ListenersOf, objects: Objects, *, tentative: bool
) -> RoutePlan:
    """Plans a Route."""
    ref = ref_of(route)
    ours = [
        (parent, gateway, plans)
        for parent in route.spec.parent_refs or ()
        if (gateway := parent_gateway(parent, ref.namespace)) is not None
        and (plans := listeners_of(gateway)) is not None
    ]
    if not ours:
        return RoutePlan(
            resource=None,
            status=RouteStatus(ref=ref, uid=route.metadata.uid, parents=(), key=route_key(ref)),
        )
    asking = _Asking(
        ref.namespace,
        objects.namespace_labels(ref.namespace),
        tuple(name.lower() for name in route.spec.hostnames or ()),
    )
    results = tuple(
        translate_rule(rule, lambda item: resolve_backend(item, ref.namespace, objects))
        for rule in route.spec.rules or _DEFAULT_RULES
    )
    rules = _Rules(results, _route_fault(asking.hostnames))
    parents: list[ParentStatus] = []
    attachments: dict[str, tuple[str, ...]] = {}
    attached: set[tuple[Ref, str]] = set()
    gateways: set[Ref] = set()
    make = Conditions(route.metadata.generation)
    for parent, gateway, plans in ours:
        outcome = _attach(parent, gateway, plans, asking)
        refusal = outcome.refusal or rules.refusal
        parents.append(ParentStatus(parent_ref=parent, conditions=rules.conditions(make, refusal)))
        if refusal is not None:
            continue
        gateways.add(gateway)
        for plan, hosts in zip(outcome.listeners, outcome.hostnames, strict=True):
            attached.add((gateway, plan.name))
            if plan.served:
                attachments[listener_key(gateway, plan.name).name] = hosts
    return RoutePlan(
        resource=_resource(route, attachments, rules),
        status=RouteStatus(
            ref=ref, uid=route.metadata.uid, parents=tuple(parents), key=route_key(ref), tentative=tentative
        ),
        attached=frozenset(attached),
        backends=rules.backends if attachments else frozenset(),
        users=frozenset((service, gateway) for service in _services(route, rules) for gateway in gateways),
    )


class _Rules:
    """The rules of a Route taken together."""

    def __init__(self, results: tuple[RuleResult, ...], fault: str | None) -> None:
        self.results = results
        self.valid = [result for result in results if not result.faults]
        self.faults = [
            f"rule {number}: {'; '.join(result.faults)}"
            for number, result in enumerate(results)
            if result.faults
        ]
        self.ref_faults = [item for result in results for item in result.ref_faults]
        self.backends = frozenset(item for result in self.valid for item in result.backends)
        self.refusal: tuple[Reason, str] | None = None
        if fault is not None:
            self.refusal = (Reason.UNSUPPORTED_VALUE, fault)
        elif results and not self.valid:
            self.refusal = (Reason.UNSUPPORTED_VALUE, _clip("; ".join(self.faults)))

    def conditions(self, make: Conditions, refusal: tuple[Reason, str] | None) -> tuple[StatusCondition, ...]:
        conditions = [
            make.true(ConditionType.ACCEPTED, Reason.ACCEPTED)
            if refusal is None
            else make.false(ConditionType.ACCEPTED, *refusal),
            make.true(ConditionType.RESOLVED_REFS, Reason.RESOLVED_REFS)
            if not self.ref_faults
            else make.false(
                ConditionType.RESOLVED_REFS,
                Reason(self.ref_faults[0].error.value),
                _clip("; ".join(dict.fromkeys(fault.message for fault in self.ref_faults))),
            ),
        ]
        if refusal is None and self.faults:
            conditions.append(
                make.true(
                    ConditionType.PARTIALLY_INVALID,
                    Reason.UNSUPPORTED_VALUE,
                    _clip(f"Dropped Rule(s), whose requests are answered 500: {'; '.join(self.faults)}"),
                )
            )
        return tuple(conditions)


def _route_fault(hostnames: tuple[str, ...]) -> str | None:
    """What is wrong with a Route as a whole."""
    wrong = [name for name in hostnames if not is_hostname(name)]
    return f"not a hostname: {', '.join(wrong)}" if wrong else None


def _attach(
    parent: ParentReference, gateway: Ref, plans: tuple[ListenerPlan, ...], asking: _Asking
) -> Attached:
    selected = [
        plan
        for plan in plans
        if parent.section_name in (None, "", plan.name) and parent.port in (None, plan.port)
    ]
    if not selected:
        return Attached(refusal=(Reason.NO_MATCHING_PARENT, f"Gateway {gateway} has no such listener"))
    allowed = [plan for plan in selected if plan.takes_http_routes and _allows(plan, gateway, asking)]
    if not allowed:
        return Attached(
            refusal=(
                Reason.NOT_ALLOWED_BY_LISTENERS,
                f"no selected listener of {gateway} allows HTTPRoutes of namespace {asking.namespace}",
            )
        )
    common = [
        (plan, hosts) for plan in allowed if (hosts := intersect(plan.hostname, asking.hostnames)) is not None
    ]
    if not common:
        return Attached(
            refusal=(
                Reason.NO_MATCHING_LISTENER_HOSTNAME,
                f"no hostname in common with the selected listeners of Gateway {gateway}",
            )
        )
    return Attached(tuple(plan for plan, _ in common), tuple(hosts for _, hosts in common))


def _allows(plan: ListenerPlan, gateway: Ref, asking: _Asking) -> bool:
    source = plan.namespaces.from_ or Namespaces.SAME
    if source == Namespaces.ALL:
        return True
    if source == Namespaces.SAME:
        return asking.namespace == gateway.namespace
    if source == Namespaces.SELECTOR and asking.labels is not None and plan.namespaces.selector is not None:
        return plan.namespaces.selector.matches(asking.labels)
    return False


def _resource(
    route: HTTPRoute, attachments: dict[str, tuple[str, ...]], rules: _Rules
) -> snapshot.Route | None:
    made = tuple(result.rule for result in rules.results if result.rule is not None)
    if not attachments or not made:
        return None
    return snapshot.Route(
        namespace=route.metadata.namespace,
        name=route.metadata.name,
        created_s=parse_time(route.metadata.creation_timestamp),
        attachments=tuple(
            snapshot.Attachment(listener=name, hostnames=hosts) for name, hosts in sorted(attachments.items())
        ),
        rules=made,
    )


def _services(route: HTTPRoute, rules: _Rules) -> set[Ref]:
    """The Services that the Route names and may name, whether or not they exist."""
    namespace = route.metadata.namespace
    services = {backend.service for backend in rules.backends}
    for rule in route.spec.rules or ():
        for ref in rule.backend_refs or ():
            service = target_service(ref, namespace)
            if service is not None and service.namespace == namespace:
                services.add(service)
    return services


def _clip(message: str) -> str:
    """Condition messages have at most 32,768 characters; ours stay readable."""
    return message if len(message) <= 1024 else message[:1021] + "..."
