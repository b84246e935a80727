"""Kubernetes objects that Fairlead reads: only the fields that are used.

Laws:
1. Structs are frozen projections; what is not listed here is not decoded and not kept.
2. Absent and null mean the same and become the default; the CRDs' own defaults are applied by the API
   server, and by the directory source where there is none.
3. `KINDS` is the only table of kinds: paths, groups, scopes.
"""

from fairlead.resources._core import (
    Endpoint,
    EndpointConditions,
    EndpointHints,
    EndpointPort,
    EndpointSlice,
    ForNode,
    ForZone,
    Namespace,
    ObjectReference,
    Service,
    ServicePort,
    ServiceSpec,
)
from fairlead.resources._gateway import (
    AllowedRoutes,
    BackendRef,
    Gateway,
    GatewayAddress,
    GatewayClass,
    GatewayClassSpec,
    GatewayInfrastructure,
    GatewaySpec,
    GatewayStatus,
    GatewayStatusAddress,
    HeaderMatch,
    HTTPPathMatch,
    HTTPRoute,
    HTTPRouteFilter,
    HTTPRouteMatch,
    HTTPRouteRule,
    HTTPRouteSpec,
    HTTPRouteStatus,
    HTTPRouteTimeouts,
    Listener,
    ParentReference,
    QueryParamMatch,
    ReferenceGrant,
    ReferenceGrantFrom,
    ReferenceGrantSpec,
    ReferenceGrantTo,
    RouteGroupKind,
    RouteNamespaces,
    StatusEntry,
)
from fairlead.resources._kinds import KINDS, Kind, KindInfo, kind_of
from fairlead.resources._meta import (
    Condition,
    LabelSelector,
    LabelSelectorRequirement,
    ObjectMeta,
    Ref,
    parse_time,
)
from fairlead.resources._policy import BackendPolicy, BackendPolicySpec, LoadBalancerSpec, PolicyTargetRef

Object = (
    Namespace | Service | EndpointSlice | GatewayClass | Gateway | HTTPRoute | ReferenceGrant | BackendPolicy
)
"""Any object of `KINDS`."""

__all__ = [
    "KINDS",
    "AllowedRoutes",
    "BackendPolicy",
    "BackendPolicySpec",
    "BackendRef",
    "Condition",
    "Endpoint",
    "EndpointConditions",
    "EndpointHints",
    "EndpointPort",
    "EndpointSlice",
    "ForNode",
    "ForZone",
    "Gateway",
    "GatewayAddress",
    "GatewayClass",
    "GatewayClassSpec",
    "GatewayInfrastructure",
    "GatewaySpec",
    "GatewayStatus",
    "GatewayStatusAddress",
    "HTTPPathMatch",
    "HTTPRoute",
    "HTTPRouteFilter",
    "HTTPRouteMatch",
    "HTTPRouteRule",
    "HTTPRouteSpec",
    "HTTPRouteStatus",
    "HTTPRouteTimeouts",
    "HeaderMatch",
    "Kind",
    "KindInfo",
    "LabelSelector",
    "LabelSelectorRequirement",
    "Listener",
    "LoadBalancerSpec",
    "Namespace",
    "Object",
    "ObjectMeta",
    "ObjectReference",
    "ParentReference",
    "PolicyTargetRef",
    "QueryParamMatch",
    "Ref",
    "ReferenceGrant",
    "ReferenceGrantFrom",
    "ReferenceGrantSpec",
    "ReferenceGrantTo",
    "RouteGroupKind",
    "RouteNamespaces",
    "Service",
    "ServicePort",
    "ServiceSpec",
    "StatusEntry",
    "kind_of",
    "parse_time",
]
