"""The admin API's Structs, shared with the command line.

Laws:
1. Gateways and Routes are the Kubernetes objects with their status; Backends, Endpoints and Findings are
   Fairlead's own views in the same shape.
2. Nothing here imports more than msgspec and the resources: the command line starts fast.
"""

from fairlead.api._instance import (
    BindState,
    Instance,
    KindState,
    Problem,
    ProxyState,
    Rejected,
    Version,
)
from fairlead.api._objects import (
    ITEM_TYPES,
    Backend,
    BackendSpec,
    BackendStatus,
    Collection,
    ConsistentHash,
    Endpoint,
    EndpointSpec,
    EndpointStatus,
    Finding,
    FindingSpec,
    Gateway,
    Item,
    ItemList,
    ItemT,
    Route,
    Traffic,
    WatchEvent,
    WatchType,
)
from fairlead.api._status import (
    AncestorEntry,
    GatewayClassStatus,
    GatewayStatus,
    ListenerEntry,
    ObjectStatus,
    ParentEntry,
    PolicyStatus,
    RouteStatus,
    SupportedFeature,
)

__all__ = [
    "ITEM_TYPES",
    "AncestorEntry",
    "Backend",
    "BackendSpec",
    "BackendStatus",
    "BindState",
    "Collection",
    "ConsistentHash",
    "Endpoint",
    "EndpointSpec",
    "EndpointStatus",
    "Finding",
    "FindingSpec",
    "Gateway",
    "GatewayClassStatus",
    "GatewayStatus",
    "Instance",
    "Item",
    "ItemList",
    "ItemT",
    "KindState",
    "ListenerEntry",
    "ObjectStatus",
    "ParentEntry",
    "PolicyStatus",
    "Problem",
    "ProxyState",
    "Rejected",
    "Route",
    "RouteStatus",
    "SupportedFeature",
    "Traffic",
    "Version",
    "WatchEvent",
    "WatchType",
]
