"""The resources of a Snapshot.

Names of resources:
    bind       "ADDRESS:PORT" ("[ADDRESS]:PORT" for IPv6)
    listener   "NAMESPACE/GATEWAY/LISTENER"
    route      "HTTPRoute/NAMESPACE/NAME"
    backend    "Service/NAMESPACE/NAME/PORT"  (the Service's port number)
    endpoints  the name of their backend
"""

from enum import StrEnum
from hashlib import blake2b
from typing import NamedTuple

import msgspec


class Kind(StrEnum):
    """Kinds of resources, in the order in which they are applied; removals go in reverse."""

    BIND = "bind"
    LISTENER = "listener"
    ENDPOINTS = "endpoints"
    BACKEND = "backend"
    ROUTE = "route"


class Key(NamedTuple):
    """The identity of a resource."""

    kind: Kind
    name: str


class _Struct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A map with string keys; fields that hold their default are left out."""


class Bind(_Struct, frozen=True, kw_only=True):
    """A socket's address and port, shared by the Listeners that name it."""

    address: str
    """An IP address without brackets."""
    port: int
    protocol: str = "HTTP"


class Listener(_Struct, frozen=True, kw_only=True):
    """A Gateway's Listener: the requests on `bind` whose host matches `hostname` best."""

    bind: str
    gateway_namespace: str
    gateway: str
    listener: str
    port: int
    """The port that users see, for forwarded fields; the bind's may differ."""
    hostname: str | None = None
    """Exact, or with a leading `*.` label; absent matches every host."""


class PathMatchType(StrEnum):
    EXACT = "Exact"
    PREFIX = "PathPrefix"


class MatchType(StrEnum):
    EXACT = "Exact"


class PathMatch(_Struct, frozen=True, kw_only=True):
    """A path predicate; PathPrefix matches whole segments."""

    type: PathMatchType
    value: str


class FieldMatch(_Struct, frozen=True, kw_only=True):
    """A header or query-parameter predicate. Header names compare without case, query names with it."""

    name: str
    value: str
    type: MatchType = MatchType.EXACT


class RouteMatch(_Struct, frozen=True, kw_only=True):
    """All given predicates hold; an absent one always does."""

    path: PathMatch = PathMatch(type=PathMatchType.PREFIX, value="/")
    method: str | None = None
    headers: tuple[FieldMatch, ...] = ()
    query: tuple[FieldMatch, ...] = ()


class TargetError(StrEnum):
    """Why a target cannot be used; its share of the requests is answered 500."""

    BACKEND_NOT_FOUND = "BackendNotFound"
    REF_NOT_PERMITTED = "RefNotPermitted"
    INVALID_KIND = "InvalidKind"
    UNSUPPORTED_PROTOCOL = "UnsupportedProtocol"
    UNSUPPORTED_VALUE = "UnsupportedValue"


class Target(_Struct, frozen=True, kw_only=True):
    """One weighted destination of a Rule: a Backend by name, or the reason why there is none."""

    weight: int
    """0 to 1,000,000."""
    backend: str | None = None
    error: TargetError | None = None


class Timeouts(_Struct, frozen=True, kw_only=True):
    """Milliseconds; 0 means no limit, absent means the proxy's default."""

    request_ms: int | None = None
    backend_request_ms: int | None = None


class Rule(_Struct, frozen=True, kw_only=True):
    """One rule: any of the matches, then one of the targets by weight.

    A rule without targets, or with a total weight of 0, answers 500 (HTTPRouteRule.backendRefs).
    """

    matches: tuple[RouteMatch, ...]
    targets: tuple[Target, ...]
    name: str | None = None
    timeouts: Timeouts | None = None


class Attachment(_Struct, frozen=True, kw_only=True):
    """A Listener that the Route attached to, with the hostnames effective there (none: every host)."""

    listener: str
    hostnames: tuple[str, ...] = ()


class Route(_Struct, frozen=True, kw_only=True):
    """One Kubernetes route."""

    namespace: str
    name: str
    created_s: int
    """creationTimestamp in seconds since the Unix epoch: the older Route wins a tie, then namespace/name."""
    attachments: tuple[Attachment, ...]
    rules: tuple[Rule, ...]


class LoadBalancer(StrEnum):
    PEAK_EWMA = "PeakEWMA"
    ROUND_ROBIN = "RoundRobin"
    CONSISTENT_HASH = "ConsistentHash"


class HashKey(StrEnum):
    """What the key of a request is made of."""

    SOURCE_IP = "SourceIP"
    HEADER = "Header"


class ConsistentHash(_Struct, frozen=True, kw_only=True):
    """How a request's key is made, and the table that it is looked up in."""

    type: HashKey
    header: str | None = None
    """The header's name, where it is one that makes the key; a request without it has a random key."""
    table_size: int = 65_537
    """Slots of the table: a prime of at most 5,000,011."""


class Policy(_Struct, frozen=True, kw_only=True):
    """The effective policy of a Backend; `origins` says which object set each field."""

    load_balancer: LoadBalancer = LoadBalancer.PEAK_EWMA
    consistent_hash: ConsistentHash | None = None
    """Present where `load_balancer` is ConsistentHash, and only there."""
    max_connections_per_endpoint: int | None = None
    """Connections to one endpoint over all workers of a proxy, 1 to 2^31-1; absent means no limit."""
    retry_attempts: int = 1
    """Repeats of a request that was sent and whose connection died before an answer: 0 or 1."""
    origins: dict[str, str] = {}
    """Field name to `KIND/NAMESPACE/NAME`; absent fields hold Fairlead's default."""


class Backend(_Struct, frozen=True, kw_only=True):
    """A Service port as a destination."""

    namespace: str
    service: str
    port: int
    protocol: str = "HTTP"
    policy: Policy = Policy()


class Endpoint(_Struct, frozen=True, kw_only=True):
    """One Pod address and port."""

    id: str
    """`UID|ADDRESS|PORT|PROTOCOL`: the Pod's UID, or the Service's where no Pod stands behind it."""
    address: str
    port: int
    ready: bool = True
    """Takes new requests."""
    serving: bool = True
    terminating: bool = False
    """Leaves: takes new requests only while it is serving and no endpoint is ready (KEP-1669)."""
    weight: int = 1
    pod: str | None = None
    """`NAMESPACE/NAME` of the Pod."""
    node: str | None = None
    zone: str | None = None
    subsets: tuple[str, ...] = ()
    drain_deadline_s: int | None = None
    """When it will be gone, in seconds since the Unix epoch."""


class Endpoints(_Struct, frozen=True, kw_only=True):
    """All endpoints of a Backend, sorted by id. Known and possibly empty; unknown ones are not sent."""

    endpoints: tuple[Endpoint, ...]


Resource = Bind | Listener | Endpoints | Backend | Route

_TYPES: dict[Kind, type[Resource]] = {
    Kind.BIND: Bind,
    Kind.LISTENER: Listener,
    Kind.ENDPOINTS: Endpoints,
    Kind.BACKEND: Backend,
    Kind.ROUTE: Route,
}

_encoder = msgspec.msgpack.Encoder(order="sorted")
_HASH_BYTES = 8


def backend_key(namespace: str, service: str, port: int) -> str:
    """The name of the Backend, and of its Endpoints, for a Service's port."""
    return f"Service/{namespace}/{service}/{port}"


def encode_resource(resource: Resource) -> bytes:
    """The canonical bytes of a resource."""
    return _encoder.encode(resource)


def decode_resource(kind: Kind, body: bytes) -> Resource:
    """The resource in `body`. Raises msgspec.ValidationError."""
    return msgspec.msgpack.decode(body, type=_TYPES[kind])


def content_hash(body: bytes) -> str:
    """The version of encoded bytes."""
    return blake2b(body, digest_size=_HASH_BYTES).hexdigest()


def endpoints_hash(endpoints: Endpoints) -> str:
    """The version of Endpoints: that of their encoded bytes, whichever deltas led there."""
    return content_hash(encode_resource(endpoints))
