"""Gateway API kinds, v1 (ReferenceGrant v1beta1: its storage version)."""

from typing import Any

import msgspec

from fairlead.resources._meta import Condition, KubeStruct, LabelSelector, ObjectMeta


class GatewayClassSpec(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    controller_name: str = ""
    parameters_ref: dict[str, Any] | None = None


class GatewayClassStatus(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    conditions: tuple[Condition, ...] | None = None


class GatewayClass(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    metadata: ObjectMeta
    spec: GatewayClassSpec = GatewayClassSpec()
    status: GatewayClassStatus | None = None


class RouteGroupKind(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    kind: str
    group: str | None = None


class RouteNamespaces(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    from_: str | None = msgspec.field(default=None, name="from")
    """All, Selector, Same or None; absent means Same."""
    selector: LabelSelector | None = None


class AllowedRoutes(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    namespaces: RouteNamespaces | None = None
    kinds: tuple[RouteGroupKind, ...] | None = None


class Listener(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    name: str
    port: int
    protocol: str
    hostname: str | None = None
    tls: dict[str, Any] | None = None
    allowed_routes: AllowedRoutes | None = None


class GatewayAddress(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    type: str | None = None
    """IPAddress (the default), Hostname, or a domain-prefixed type."""
    value: str | None = None


class GatewayInfrastructure(
    KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True
):
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    parameters_ref: dict[str, Any] | None = None


class GatewaySpec(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    gateway_class_name: str = ""
    listeners: tuple[Listener, ...] = ()
    addresses: tuple[GatewayAddress, ...] | None = None
    infrastructure: GatewayInfrastructure | None = None


class GatewayStatusAddress(
    KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True
):
    type: str | None = None
    value: str = ""


class GatewayStatus(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    """Only what is read back: addresses once assigned stay."""

    addresses: tuple[GatewayStatusAddress, ...] | None = None


class Gateway(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    metadata: ObjectMeta
    spec: GatewaySpec = GatewaySpec()
    status: GatewayStatus | None = None


class ParentReference(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    name: str
    group: str | None = None
    kind: str | None = None
    namespace: str | None = None
    section_name: str | None = None
    port: int | None = None


class HTTPPathMatch(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    type: str | None = None
    """Exact, PathPrefix (the default) or RegularExpression."""
    value: str | None = None


class HeaderMatch(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    name: str
    value: str
    type: str | None = None


class QueryParamMatch(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    name: str
    value: str
    type: str | None = None


class HTTPRouteMatch(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    path: HTTPPathMatch | None = None
    headers: tuple[HeaderMatch, ...] | None = None
    query_params: tuple[QueryParamMatch, ...] | None = None
    method: str | None = None


class HTTPRouteFilter(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    """Only its type is read so far: a filter that is not honoured makes its rule invalid."""

    type: str


class BackendRef(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    name: str
    group: str | None = None
    kind: str | None = None
    namespace: str | None = None
    port: int | None = None
    weight: int | None = None
    """Absent means 1."""
    filters: tuple[HTTPRouteFilter, ...] | None = None


class HTTPRouteTimeouts(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    """Gateway API durations (GEP-2257), such as `10s`."""

    request: str | None = None
    backend_request: str | None = None


class HTTPRouteRule(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    name: str | None = None
    matches: tuple[HTTPRouteMatch, ...] | None = None
    filters: tuple[HTTPRouteFilter, ...] | None = None
    backend_refs: tuple[BackendRef, ...] | None = None
    timeouts: HTTPRouteTimeouts | None = None
    retry: dict[str, Any] | None = None
    session_persistence: dict[str, Any] | None = None


class HTTPRouteSpec(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    parent_refs: tuple[ParentReference, ...] | None = None
    hostnames: tuple[str, ...] | None = None
    rules: tuple[HTTPRouteRule, ...] | None = None


class StatusEntry(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    """One controller's entry in `status.parents` or `status.ancestors`: whose it is."""

    controller_name: str = ""


class HTTPRouteStatus(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    """Only whose entries it has: ours must go when no parent of ours is left."""

    parents: tuple[StatusEntry, ...] | None = None


class HTTPRoute(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    metadata: ObjectMeta
    spec: HTTPRouteSpec = HTTPRouteSpec()
    status: HTTPRouteStatus | None = None

    def has_entry_of(self, controller_name: str) -> bool:
        """Whether its status has an entry of this controller."""
        parents = (self.status and self.status.parents) or ()
        return any(entry.controller_name == controller_name for entry in parents)


class ReferenceGrantFrom(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    group: str
    kind: str
    namespace: str


class ReferenceGrantTo(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    group: str
    kind: str
    name: str | None = None


class ReferenceGrantSpec(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    from_: tuple[ReferenceGrantFrom, ...] = msgspec.field(default=(), name="from")
    to: tuple[ReferenceGrantTo, ...] = ()


class ReferenceGrant(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    metadata: ObjectMeta
    spec: ReferenceGrantSpec = ReferenceGrantSpec()
