"""What `fairlead get` lists: Kubernetes objects with their status, and Fairlead's own views in that shape."""

from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from fairlead.api._status import GatewayStatus, RouteStatus
from fairlead.resources import GatewaySpec, HTTPRouteSpec, ObjectMeta

FAIRLEAD_API = "fairlead.dev/v1alpha1"
GATEWAY_API = "gateway.networking.k8s.io/v1"


class _View(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=False):
    """A part of an object; every field is shown."""


class Collection(StrEnum):
    """What can be listed; the values are the words of the command line and of the paths."""

    GATEWAYS = "gateways"
    ROUTES = "routes"
    BACKENDS = "backends"
    ENDPOINTS = "endpoints"
    FINDINGS = "findings"

    @property
    def namespaced(self) -> bool:
        """Whether its items are in namespaces."""
        return self is not Collection.FINDINGS


class Gateway(_View, frozen=True, kw_only=True):
    """A Gateway of ours. `spec` holds the fields that Fairlead reads."""

    api_version: str = GATEWAY_API
    kind: str = "Gateway"
    metadata: ObjectMeta
    spec: GatewaySpec
    status: GatewayStatus = GatewayStatus()


class Route(_View, frozen=True, kw_only=True):
    """An HTTPRoute with a parent of ours. `spec` holds the fields that Fairlead reads."""

    api_version: str = GATEWAY_API
    kind: str = "HTTPRoute"
    metadata: ObjectMeta
    spec: HTTPRouteSpec
    status: RouteStatus = RouteStatus()


class ConsistentHash(_View, frozen=True, kw_only=True):
    """What requests are hashed by, and the slots of the table."""

    type: str
    header: str | None = None
    table_size: int


class BackendSpec(_View, frozen=True, kw_only=True):
    """The effective settings of a Backend."""

    service: str
    port: int
    protocol: str
    load_balancer: str
    consistent_hash: ConsistentHash | None = None
    """Where `load_balancer` is ConsistentHash."""
    max_connections_per_endpoint: int | None = None
    """Of each proxy; without a limit if absent."""
    retry_attempts: int
    origins: dict[str, str]
    """Setting to the object that made it, as `KIND/NAMESPACE/NAME`; what is absent is Fairlead's default."""


class Traffic(_View, frozen=True, kw_only=True):
    """Requests to one or more endpoints, over all connected proxies.

    Rates are over the last `window_s` seconds, or with 0 since the proxies' start.
    """

    requests: int = 0
    """Since the proxies' start."""
    in_flight: int = 0
    connections: int = 0
    window_s: float = 0.0
    requests_per_second: float | None = None
    """Only over a window."""
    success_rate: float | None = None
    """0 to 1; unknown without requests."""
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    """Since the proxies' start; of several proxies or endpoints the highest."""


class BackendStatus(_View, frozen=True, kw_only=True):
    """How a Backend is doing."""

    endpoints: int
    ready: int
    traffic: Traffic | None = None
    """Absent while no proxy has told."""


class Backend(_View, frozen=True, kw_only=True):
    """A Service port that a Route leads to; named `SERVICE:PORT`."""

    api_version: str = FAIRLEAD_API
    kind: str = "Backend"
    metadata: ObjectMeta
    spec: BackendSpec
    status: BackendStatus


class EndpointSpec(_View, frozen=True, kw_only=True):
    """Where an Endpoint is."""

    id: str
    backend: str
    """`SERVICE:PORT`."""
    address: str
    port: int
    weight: int
    pod: str | None = None
    node: str | None = None
    zone: str | None = None


class EndpointStatus(_View, frozen=True, kw_only=True):
    """How an Endpoint is doing."""

    state: str
    """`ready`, `fallback` (serving and terminating), `draining`, `not-ready` or `suspect`."""
    reason: str = ""
    """Why it is not ready, or its last failure."""
    share: float | None = None
    """Its part of the Backend's requests, 0 to 1, over the window that `traffic` names."""
    latency_ms: float | None = None
    """The moving average that balancing uses."""
    traffic: Traffic | None = None
    """Absent while no proxy has told."""


class Endpoint(_View, frozen=True, kw_only=True):
    """One Pod address and port of a Backend; named `SERVICE:PORT/ADDRESS:PORT`."""

    api_version: str = FAIRLEAD_API
    kind: str = "Endpoint"
    metadata: ObjectMeta
    spec: EndpointSpec
    status: EndpointStatus


class FindingSpec(_View, frozen=True, kw_only=True):
    """What is wrong, and where."""

    where: str
    """`FILE:LINE`, or `KIND NAMESPACE/NAME`."""
    code: str
    message: str


class Finding(_View, frozen=True, kw_only=True):
    """Something that a user should mend; named `WHERE/CODE`, in no namespace."""

    api_version: str = FAIRLEAD_API
    kind: str = "Finding"
    metadata: ObjectMeta
    spec: FindingSpec


Item = Gateway | Route | Backend | Endpoint | Finding

ItemT = TypeVar("ItemT", Gateway, Route, Backend, Endpoint, Finding)


class ItemList(_View, Generic[ItemT], frozen=True, kw_only=True):
    """The items of a collection, by namespace and name."""

    api_version: str = "v1"
    kind: str = "List"
    items: tuple[ItemT, ...]
    elsewhere: int = 0
    """How many more there are in other namespaces than the one asked for."""


class WatchType(StrEnum):
    """What happened to an item."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"
    """Nothing; the connection is alive, and all that there was at the start has been told."""


class WatchEvent(_View, Generic[ItemT], frozen=True, kw_only=True):
    """One line of a watch."""

    type: WatchType
    object: ItemT | None = None


ITEM_TYPES: dict[Collection, type[Item]] = {
    Collection.GATEWAYS: Gateway,
    Collection.ROUTES: Route,
    Collection.BACKENDS: Backend,
    Collection.ENDPOINTS: Endpoint,
    Collection.FINDINGS: Finding,
}
"""What each collection holds."""
