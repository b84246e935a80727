"""Objects made briefly, a translator fed with them, and a model of a proxy that applies its Deltas."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from fairlead import resources as k8s
from fairlead import snapshot
from fairlead.resources import Kind, Object, Ref, kind_of
from fairlead.snapshot import Key
from fairlead.sources import Change, Finding, Removed, Synced, Upserted
from fairlead.translate import (
    CONTROLLER_NAME,
    AddressBook,
    ConditionType,
    Delta,
    Forgotten,
    GatewayStatus,
    ObjectStatus,
    Part,
    PolicyStatus,
    RouteStatus,
    StatusCondition,
    TranslateSettings,
    Translator,
    Validate,
)

NS = "shop"
T = TypeVar("T")


def meta(
    name: str,
    namespace: str = NS,
    *,
    generation: int = 1,
    created: int = 0,
    labels: dict[str, str] | None = None,
    uid: str = "",
) -> k8s.ObjectMeta:
    return k8s.ObjectMeta(
        name=name,
        namespace=namespace,
        uid=uid or f"uid-{namespace}-{name}",
        generation=generation,
        creation_timestamp=f"2026-01-01T00:00:{created:02d}Z",
        labels=labels,
    )


def namespace(name: str, **labels: str) -> k8s.Namespace:
    return k8s.Namespace(metadata=meta(name, "", labels={"kubernetes.io/metadata.name": name, **labels}))


def gateway_class(name: str = "fairlead", controller: str = CONTROLLER_NAME) -> k8s.GatewayClass:
    return k8s.GatewayClass(metadata=meta(name, ""), spec=k8s.GatewayClassSpec(controller_name=controller))


def listener(
    name: str = "http",
    port: int = 8080,
    *,
    protocol: str = "HTTP",
    hostname: str | None = None,
    namespaces: str | None = None,
    selector: dict[str, str] | None = None,
    kinds: Sequence[str] | None = None,
) -> k8s.Listener:
    allowed = None
    if namespaces is not None or kinds is not None:
        allowed = k8s.AllowedRoutes(
            namespaces=None
            if namespaces is None
            else k8s.RouteNamespaces(
                from_=namespaces,
                selector=None if selector is None else k8s.LabelSelector(match_labels=selector),
            ),
            kinds=None if kinds is None else tuple(k8s.RouteGroupKind(kind=kind) for kind in kinds),
        )
    return k8s.Listener(name=name, port=port, protocol=protocol, hostname=hostname, allowed_routes=allowed)


def gateway(
    name: str = "gw",
    *listeners: k8s.Listener,
    ns: str = NS,
    class_name: str = "fairlead",
    addresses: Sequence[tuple[str, str]] | None = None,
    recorded: str | None = None,
    **kw: int,
) -> k8s.Gateway:
    return k8s.Gateway(
        metadata=meta(name, ns, **kw),  # type: ignore[arg-type]
        spec=k8s.GatewaySpec(
            gateway_class_name=class_name,
            listeners=listeners or (listener(),),
            addresses=None
            if addresses is None
            else tuple(k8s.GatewayAddress(type=kind, value=value) for kind, value in addresses),
        ),
        status=None
        if recorded is None
        else k8s.GatewayStatus(addresses=(k8s.GatewayStatusAddress(type="IPAddress", value=recorded),)),
    )


def parent(
    name: str = "gw", *, ns: str | None = None, section: str | None = None, port: int | None = None
) -> k8s.ParentReference:
    return k8s.ParentReference(name=name, namespace=ns, section_name=section, port=port)


def backend_ref(name: str = "web", port: int | None = 80, **kw: T) -> k8s.BackendRef:
    return k8s.BackendRef(name=name, port=port, **kw)  # type: ignore[arg-type]


def match(path: str | None = None, kind: str = "PathPrefix", **kw: T) -> k8s.HTTPRouteMatch:
    value = None if path is None else k8s.HTTPPathMatch(type=kind, value=path)
    return k8s.HTTPRouteMatch(path=value, **kw)  # type: ignore[arg-type]


def rule(
    *refs: k8s.BackendRef, matches: Sequence[k8s.HTTPRouteMatch] | None = None, **kw: T
) -> k8s.HTTPRouteRule:
    return k8s.HTTPRouteRule(
        backend_refs=refs,
        matches=None if matches is None else tuple(matches),
        **kw,  # type: ignore[arg-type]
    )


def route(
    name: str = "route",
    *rules: k8s.HTTPRouteRule,
    ns: str = NS,
    parents: Sequence[k8s.ParentReference] = (parent(),),
    hostnames: Sequence[str] | None = None,
    **kw: int,
) -> k8s.HTTPRoute:
    return k8s.HTTPRoute(
        metadata=meta(name, ns, **kw),  # type: ignore[arg-type]
        spec=k8s.HTTPRouteSpec(
            parent_refs=tuple(parents),
            hostnames=None if hostnames is None else tuple(hostnames),
            rules=rules or (rule(backend_ref()),),
        ),
    )


def service(
    name: str = "web",
    *ports: k8s.ServicePort,
    ns: str = NS,
    kind: str = "ClusterIP",
    families: Sequence[str] | None = None,
    uid: str = "",
) -> k8s.Service:
    return k8s.Service(
        metadata=meta(name, ns, uid=uid),
        spec=k8s.ServiceSpec(
            type=kind,
            ports=ports or (k8s.ServicePort(port=80, name="http"),),
            ip_families=None if families is None else tuple(families),
        ),
    )


def endpoint(
    address: str = "10.0.0.1",
    *,
    pod: str | None = "pod-1",
    ready: bool | None = None,
    serving: bool | None = None,
    terminating: bool | None = None,
    zone: str | None = None,
    node: str | None = None,
    for_zones: Sequence[str] | None = None,
    for_nodes: Sequence[str] | None = None,
) -> k8s.Endpoint:
    hints = None
    if for_zones is not None or for_nodes is not None:
        hints = k8s.EndpointHints(
            for_zones=tuple(k8s.ForZone(name=name) for name in for_zones or ()) or None,
            for_nodes=tuple(k8s.ForNode(name=name) for name in for_nodes or ()) or None,
        )
    return k8s.Endpoint(
        addresses=(address,),
        conditions=k8s.EndpointConditions(ready=ready, serving=serving, terminating=terminating),
        target_ref=None
        if pod is None
        else k8s.ObjectReference(kind="Pod", namespace=NS, name=pod, uid=f"uid-{pod}"),
        zone=zone,
        node_name=node,
        hints=hints,
    )


def slice_(
    name: str,
    *endpoints: k8s.Endpoint,
    of: str = "web",
    ns: str = NS,
    port: int | None = 8080,
    port_name: str | None = "http",
    ports: Sequence[k8s.EndpointPort] | None = None,
    family: str = "IPv4",
) -> k8s.EndpointSlice:
    return k8s.EndpointSlice(
        metadata=meta(name, ns, labels={"kubernetes.io/service-name": of}),
        address_type=family,
        endpoints=endpoints,
        ports=(k8s.EndpointPort(name=port_name, port=port, protocol="TCP"),)
        if ports is None
        else tuple(ports),
    )


def grant(
    name: str, ns: str, from_ns: str, *, to: str | None = None, kind: str = "HTTPRoute"
) -> k8s.ReferenceGrant:
    return k8s.ReferenceGrant(
        metadata=meta(name, ns),
        spec=k8s.ReferenceGrantSpec(
            from_=(k8s.ReferenceGrantFrom(group="gateway.networking.k8s.io", kind=kind, namespace=from_ns),),
            to=(k8s.ReferenceGrantTo(group="", kind="Service", name=to),),
        ),
    )


def policy(
    name: str = "policy",
    *targets: tuple[str, str | None],
    lb: str | None = "RoundRobin",
    hashing: k8s.ConsistentHashSpec | None = None,
    max_connections: int | None = None,
    attempts: int | None = None,
    ns: str = NS,
    created: int = 0,
) -> k8s.BackendPolicy:
    return k8s.BackendPolicy(
        metadata=meta(name, ns, created=created),
        spec=k8s.BackendPolicySpec(
            target_refs=tuple(
                k8s.PolicyTargetRef(group="", kind="Service", name=target, section_name=section)
                for target, section in targets or (("web", None),)
            ),
            load_balancer=None if lb is None else k8s.LoadBalancerSpec(type=lb, consistent_hash=hashing),
            circuit_breaker=None
            if max_connections is None
            else k8s.CircuitBreakerSpec(per_endpoint=k8s.PerEndpointSpec(max_connections=max_connections)),
            retry=None if attempts is None else k8s.RetrySpec(attempts=attempts),
        ),
    )


def basics() -> list[Object]:
    """A class, a namespace, a Gateway, a Service with one ready Pod: what a Route needs to work."""
    return [gateway_class(), namespace(NS), gateway(), service(), slice_("web-1", endpoint())]


class ProxyModel:
    """What a proxy holds after applying Deltas, with the checks that it would make."""

    def __init__(self, validate: Validate | None = None) -> None:
        self._validate = validate
        self.resources: dict[Key, snapshot.Resource] = {}
        self.hashes: dict[Key, str] = {}
        self.statuses: dict[tuple[Kind, Ref], ObjectStatus] = {}
        self.findings: dict[tuple[str, str], Finding] = {}
        self.tentative: set[Key] = set()
        self.amidst = False
        """Between the parts of a Delta."""

    def apply(self, delta: Delta) -> None:
        for item in delta.upserts:
            assert snapshot.content_hash(item.body) == item.hash
            if self._validate is not None and self._validate(item.key, item.body) is not None:
                continue
            self.resources[item.key] = snapshot.decode_resource(item.key.kind, item.body)
            self.hashes[item.key] = item.hash
            (self.tentative.add if item.tentative else self.tentative.discard)(item.key)
        for change in delta.endpoints:
            self._apply_endpoints(change)
        for key in delta.removals:
            if self._validate is None or key in self.resources:
                del self.resources[key], self.hashes[key]
            self.tentative.discard(key)
        for status in delta.statuses:
            if isinstance(status, Forgotten):
                self.statuses.pop((status.kind, status.ref), None)
            else:
                self.statuses[status.kind, status.ref] = status
        for finding in delta.findings:
            if finding.resolved:
                self.findings.pop((finding.code, finding.where), None)
            else:
                self.findings[finding.code, finding.where] = finding
        self.amidst = delta.part is Part.MORE or (self.amidst and delta.part is Part.WHOLE)
        if self.amidst:
            assert not delta.statuses
        else:
            self.check()

    def _apply_endpoints(self, change: snapshot.EndpointsDelta) -> None:
        key = Key(snapshot.Kind.ENDPOINTS, change.name)
        before = self.resources[key]
        assert isinstance(before, snapshot.Endpoints)
        assert self.hashes[key] == change.base, "a delta is based on the version before"
        members = {item.id: item for item in before.endpoints}
        for identity in change.removals:
            del members[identity]
        members.update((item.id, item) for item in change.upserts)
        after = snapshot.Endpoints(endpoints=tuple(members[identity] for identity in sorted(members)))
        assert snapshot.endpoints_hash(after) == change.hash
        self.resources[key], self.hashes[key] = after, change.hash

    def check(self) -> None:
        """A Route finds everything that it names."""
        for key, resource in self.resources.items():
            if isinstance(resource, snapshot.Listener):
                assert Key(snapshot.Kind.BIND, resource.bind) in self.resources
            if isinstance(resource, snapshot.Backend):
                assert Key(snapshot.Kind.ENDPOINTS, key.name) in self.resources
            if isinstance(resource, snapshot.Route):
                for attachment in resource.attachments:
                    assert Key(snapshot.Kind.LISTENER, attachment.listener) in self.resources
                for target in (target for item in resource.rules for target in item.targets):
                    if target.backend is not None:
                        assert Key(snapshot.Kind.BACKEND, target.backend) in self.resources

    def of(self, kind: type[T]) -> dict[str, T]:
        """All resources of a type, by name."""
        return {key.name: item for key, item in self.resources.items() if isinstance(item, kind)}


class Lab:
    """A translator, the objects that it was told, and a proxy."""

    def __init__(
        self,
        *objects: Object,
        settings: TranslateSettings | None = None,
        book: AddressBook | None = None,
        validate: Validate | None = None,
        synced: Iterable[Kind] = Kind,
        part: int = 256,
    ) -> None:
        self.book = book or AddressBook()
        self.translator = Translator(settings or TranslateSettings(), self.book, validate, part=part)
        self.proxy = ProxyModel(validate)
        self.deltas: list[Delta] = []
        self.apply(*(Upserted(kind_of(item), item, 0.0) for item in objects))
        self.apply(*(Synced(kind) for kind in synced))
        self.settle()

    def apply(self, *changes: Change) -> None:
        self.translator.apply(changes)

    def put(self, *objects: Object, at: float = 0.0) -> "Lab":
        self.apply(*(Upserted(kind_of(item), item, at) for item in objects))
        return self.settle()

    def remove(self, *objects: Object, at: float = 0.0) -> "Lab":
        self.apply(*(Removed(kind_of(item), item, at) for item in objects))
        return self.settle()

    def settle(self, within: Callable[[], bool] = lambda: True) -> "Lab":
        """Works until idle."""
        self.deltas = []
        for _ in range(100_000):
            for delta in (self.translator.endpoints_lane(), self.translator.configuration_lane(within)):
                if delta is not None:
                    self.proxy.apply(delta)
                    self.deltas.append(delta)
            if self.translator.idle or not self.translator.ready:
                break
        else:
            raise AssertionError("translation does not come to rest")
        return self

    @property
    def touched(self) -> set[str]:
        """The resources that the last changes touched, as `KIND/NAME`."""
        names = set()
        for delta in self.deltas:
            names |= {f"{item.key.kind}/{item.key.name}" for item in delta.upserts}
            names |= {f"endpoints/{item.name}" for item in delta.endpoints}
            names |= {f"{key.kind}/{key.name}" for key in delta.removals}
        return names

    @property
    def said(self) -> set[str]:
        """The objects whose status was told after the last changes."""
        return {f"{item.kind.value} {item.ref}" for delta in self.deltas for item in delta.statuses}

    def endpoints(self, name: str = f"Service/{NS}/web/80") -> tuple[snapshot.Endpoint, ...]:
        return self.proxy.of(snapshot.Endpoints)[name].endpoints

    def addresses(self, name: str = f"Service/{NS}/web/80") -> list[str]:
        return [f"{item.address}:{item.port}" for item in self.endpoints(name)]

    def route(self, name: str = "route", ns: str = NS) -> snapshot.Route | None:
        return self.proxy.of(snapshot.Route).get(f"HTTPRoute/{ns}/{name}")

    def gateway_status(self, name: str = "gw", ns: str = NS) -> GatewayStatus:
        status = self.proxy.statuses[Kind.GATEWAY, Ref(ns, name)]
        assert isinstance(status, GatewayStatus)
        return status

    def route_status(self, name: str = "route", ns: str = NS) -> RouteStatus:
        status = self.proxy.statuses[Kind.HTTP_ROUTE, Ref(ns, name)]
        assert isinstance(status, RouteStatus)
        return status

    def policy_status(self, name: str = "policy", ns: str = NS) -> PolicyStatus:
        status = self.proxy.statuses[Kind.BACKEND_POLICY, Ref(ns, name)]
        assert isinstance(status, PolicyStatus)
        return status

    def route_condition(self, kind: ConditionType, name: str = "route", ns: str = NS) -> tuple[str, str]:
        """Status and reason of a condition at the Route's only parent of ours."""
        (entry,) = self.route_status(name, ns).parents
        return condition(entry.conditions, kind)

    def attached(self, name: str = "gw", ns: str = NS) -> dict[str, int]:
        return {item.name: item.attached_routes for item in self.gateway_status(name, ns).listeners}

    def assert_full_agrees(self) -> None:
        """What all Deltas added up to is what translation from nothing gives."""
        full = self.translator.full()
        assert {key: item.hash for key, item in full.resources.items()} == self.proxy.hashes
        assert full.statuses == self.proxy.statuses
        assert full.findings == self.proxy.findings
        assert {key for key, item in full.resources.items() if item.tentative} == self.proxy.tentative


def condition(conditions: Iterable[StatusCondition], kind: ConditionType) -> tuple[str, str]:
    """Status and reason; empty strings where there is none of that type."""
    return next(
        ((item.status.value, item.reason.value) for item in conditions if item.type is kind), ("", "")
    )
