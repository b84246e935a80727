"""An inventory with something in it, for tests of the admin API and of the commands."""

from collections.abc import Mapping

from fairlead import admin, api, snapshot, stream
from fairlead.base import Clock, VirtualClock
from fairlead.resources import (
    Condition,
    Gateway,
    GatewaySpec,
    GatewayStatusAddress,
    HTTPRoute,
    HTTPRouteRule,
    HTTPRouteSpec,
    Kind,
    Listener,
    Object,
    ObjectMeta,
    ParentReference,
    Ref,
)
from fairlead.sources import Removed, Upserted
from fairlead.translate import Delta, Encoded

FAIRLEAD = "fairlead.dev/gateway-controller"
BACKEND = "Service/default/web/80"


def condition(kind: str, status: str = "True", reason: str = "", message: str = "") -> Condition:
    return Condition(type=kind, status=status, reason=reason or kind, message=message)


def gateway(name: str, namespace: str = "default") -> Gateway:
    return Gateway(
        metadata=ObjectMeta(name=name, namespace=namespace, generation=3),
        spec=GatewaySpec(
            gateway_class_name="fairlead", listeners=(Listener(name="http", port=8080, protocol="HTTP"),)
        ),
    )


def gateway_status(programmed: str = "True") -> api.GatewayStatus:
    return api.GatewayStatus(
        addresses=(GatewayStatusAddress(type="IPAddress", value="127.1.2.3"),),
        conditions=(condition("Accepted"), condition("Programmed", programmed)),
        listeners=(api.ListenerEntry(name="http", attached_routes=2, conditions=(condition("Programmed"),)),),
    )


def route(name: str, namespace: str = "default") -> HTTPRoute:
    return HTTPRoute(
        metadata=ObjectMeta(name=name, namespace=namespace),
        spec=HTTPRouteSpec(hostnames=("a.example.com", "b.example.com"), rules=(HTTPRouteRule(),)),
    )


def route_status(*conditions: Condition) -> api.RouteStatus:
    entry = api.ParentEntry(
        parent_ref=ParentReference(name="edge"), controller_name=FAIRLEAD, conditions=conditions
    )
    return api.RouteStatus(parents=(entry,))


def endpoint(port: int, *, ready: bool = True, terminating: bool = False) -> snapshot.Endpoint:
    return snapshot.Endpoint(
        id=f"uid{port}|10.0.0.1|{port}|TCP",
        address="10.0.0.1",
        port=port,
        ready=ready,
        terminating=terminating,
        pod=f"default/web-{port}",
        node="n1",
    )


def stats(port: int, requests: int, *, failures: int = 0, state: str = "ready") -> snapshot.EndpointStats:
    return snapshot.EndpointStats(
        id=endpoint(port).id,
        backend=BACKEND,
        state=state,
        in_flight=1,
        connections=2,
        requests=requests,
        success=requests - failures,
        failures=failures,
        latency_ewma_us=2000,
        latency_p50_us=1500,
        latency_p99_us=9000,
    )


class Statuses:
    """What the status layer would say."""

    def __init__(self, known: Mapping[tuple[Kind, Ref], api.ObjectStatus]) -> None:
        self.known = dict(known)

    def status_of(self, kind: Kind, ref: Ref) -> api.ObjectStatus | None:
        return self.known.get((kind, ref))


class Rig:
    """An inventory over a Store, a scripted status layer and telemetry."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or VirtualClock()
        self.ready = True
        self.store = stream.Store(lambda _key, _body: None)
        self.statuses = Statuses({})
        self.telemetry = admin.TelemetryBook()
        self.inventory = admin.Inventory(self.store, self.statuses, self.telemetry)
        self.subscriptions: list[snapshot.Subscribe] = []
        self.looking = admin.Looking(
            self.telemetry,
            subscribe=self.subscriptions.append,
            proxies=list,
            clock=self.clock,
        )

    def server(self) -> admin.AdminServer:
        return admin.AdminServer(self.inventory, self.looking, instance=self.about, clock=self.clock)

    def about(self) -> api.Instance:
        return api.Instance(
            name="test",
            version="1",
            pid=1,
            source="somewhere",
            ready=self.ready,
            epoch=1,
            generation=self.store.generation,
            kinds=self.inventory.kinds,
            rejected=self.inventory.refused,
            proxies=self.inventory.proxies,
        )

    def put(self, kind: Kind, item: Object, status: api.ObjectStatus | None) -> None:
        if status is not None:
            self.statuses.known[kind, Ref(item.metadata.namespace, item.metadata.name)] = status
        self.inventory.apply([Upserted(kind, item, 0.0)])

    def remove(self, kind: Kind, item: Object) -> None:
        self.inventory.apply([Removed(kind, item, 0.0)])

    def serve(self, *endpoints: snapshot.Endpoint, policy: snapshot.Policy | None = None) -> None:
        """The Backend web:80 with these endpoints."""
        backend = snapshot.Backend(
            namespace="default", service="web", port=80, policy=policy or snapshot.Policy()
        )
        found = snapshot.Endpoints(endpoints=tuple(sorted(endpoints, key=lambda item: item.id)))
        self.store.commit(
            Delta(
                upserts=(
                    _encoded(snapshot.Kind.ENDPOINTS, found),
                    _encoded(snapshot.Kind.BACKEND, backend),
                )
            )
        )

    def measure(self, *endpoints: snapshot.EndpointStats, proxy: str = "p#1", at: float = 0.0) -> None:
        self.telemetry.measured(proxy, snapshot.Telemetry(at_ms=0, endpoints=endpoints), at)

    def fill(self) -> None:
        """A Gateway in two namespaces each, a Route, a Backend of two endpoints with traffic."""
        for namespace in ("default", "shop"):
            self.put(Kind.GATEWAY, gateway("edge", namespace), gateway_status())
        bad = condition("ResolvedRefs", "False", "BackendNotFound", "Service default/api is missing")
        self.put(Kind.HTTP_ROUTE, route("api"), route_status(condition("Accepted"), bad))
        self.serve(endpoint(8001), endpoint(8002, ready=False))
        self.measure(stats(8001, 30, failures=3), stats(8002, 10))


def _encoded(kind: snapshot.Kind, resource: snapshot.Resource) -> Encoded:
    body = snapshot.encode_resource(resource)
    return Encoded(key=snapshot.Key(kind, BACKEND), hash=snapshot.content_hash(body), body=body)
