"""Core and discovery kinds: Namespace, Service, EndpointSlice."""

import msgspec

from fairlead.resources._meta import KubeStruct, ObjectMeta


class Namespace(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    metadata: ObjectMeta


class ServicePort(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    """One port of a Service."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str | None = None


class ServiceSpec(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    type: str = "ClusterIP"
    cluster_ip: str | None = msgspec.field(default=None, name="clusterIP")
    selector: dict[str, str] | None = None
    ports: tuple[ServicePort, ...] | None = None
    publish_not_ready_addresses: bool = False
    ip_families: tuple[str, ...] | None = None


class Service(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    metadata: ObjectMeta
    spec: ServiceSpec = ServiceSpec()


class ObjectReference(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""


class EndpointConditions(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    """Each may be unknown (None); `reference`: KEP-1672."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ForZone(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    name: str


class ForNode(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    name: str


class EndpointHints(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    for_zones: tuple[ForZone, ...] | None = None
    for_nodes: tuple[ForNode, ...] | None = None


class Endpoint(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    addresses: tuple[str, ...]
    """Fungible: the first one is used."""
    conditions: EndpointConditions | None = None
    hostname: str | None = None
    target_ref: ObjectReference | None = None
    node_name: str | None = None
    zone: str | None = None
    hints: EndpointHints | None = None


class EndpointPort(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    name: str | None = None
    """Matched against the Service port's name; None and empty both mean unnamed."""
    port: int | None = None
    protocol: str | None = None
    app_protocol: str | None = None


class EndpointSlice(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    metadata: ObjectMeta
    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] | None = None
    ports: tuple[EndpointPort, ...] | None = None

    @property
    def service(self) -> str:
        """The name of the Service that it belongs to; empty for none."""
        return (self.metadata.labels or {}).get("kubernetes.io/service-name", "")
