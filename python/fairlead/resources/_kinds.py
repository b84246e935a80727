"""The table of kinds."""

from enum import StrEnum
from typing import NamedTuple

import msgspec

from fairlead.resources._core import EndpointSlice, Namespace, Service
from fairlead.resources._gateway import Gateway, GatewayClass, HTTPRoute, ReferenceGrant
from fairlead.resources._policy import BackendPolicy


class Kind(StrEnum):
    """Kinds that Fairlead watches."""

    NAMESPACE = "Namespace"
    SERVICE = "Service"
    ENDPOINT_SLICE = "EndpointSlice"
    GATEWAY_CLASS = "GatewayClass"
    GATEWAY = "Gateway"
    HTTP_ROUTE = "HTTPRoute"
    REFERENCE_GRANT = "ReferenceGrant"
    BACKEND_POLICY = "BackendPolicy"


class KindInfo(NamedTuple):
    """Where a kind lives in the API and what it decodes to."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    namespaced: bool
    type: type[msgspec.Struct]

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """The API path of the collection, of a namespace's part of it, or of one object."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        middle = f"/namespaces/{namespace}" if namespace else ""
        return f"{root}{middle}/{self.plural}" + (f"/{name}" if name else "")


_GATEWAY = "gateway.networking.k8s.io"

KINDS: dict[Kind, KindInfo] = {
    Kind.NAMESPACE: KindInfo("", "v1", "namespaces", namespaced=False, type=Namespace),
    Kind.SERVICE: KindInfo("", "v1", "services", namespaced=True, type=Service),
    Kind.ENDPOINT_SLICE: KindInfo(
        "discovery.k8s.io", "v1", "endpointslices", namespaced=True, type=EndpointSlice
    ),
    Kind.GATEWAY_CLASS: KindInfo(_GATEWAY, "v1", "gatewayclasses", namespaced=False, type=GatewayClass),
    Kind.GATEWAY: KindInfo(_GATEWAY, "v1", "gateways", namespaced=True, type=Gateway),
    Kind.HTTP_ROUTE: KindInfo(_GATEWAY, "v1", "httproutes", namespaced=True, type=HTTPRoute),
    Kind.REFERENCE_GRANT: KindInfo(
        _GATEWAY, "v1beta1", "referencegrants", namespaced=True, type=ReferenceGrant
    ),
    Kind.BACKEND_POLICY: KindInfo(
        "fairlead.dev", "v1alpha1", "backendpolicies", namespaced=True, type=BackendPolicy
    ),
}

_BY_TYPE = {info.type: kind for kind, info in KINDS.items()}


def kind_of(obj: msgspec.Struct) -> Kind:
    """The kind of a decoded object."""
    return _BY_TYPE[type(obj)]
