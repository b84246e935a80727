"""What backendRefs name, and whether they may.

Laws:
1. A reference into another namespace needs a ReferenceGrant there; without one nothing is said on whether
   the object exists.
2. ExternalName Services are never followed (CVE-2021-25740).
"""

from collections.abc import Iterable

from fairlead.resources import BackendRef, Ref, ReferenceGrant, Service, ServicePort
from fairlead.snapshot import TargetError
from fairlead.translate._conditions import GATEWAY_GROUP
from fairlead.translate._graph import BackendId
from fairlead.translate._objects import Objects
from fairlead.translate._rules import Fault

_HTTP_PROTOCOLS = frozenset(("", "http", "http/1.1", "ws", "kubernetes.io/ws"))
"""Values of appProtocol that speak HTTP/1.1 in the clear (KEP-3726, GEP-1911), in lower case."""


def target_service(ref: BackendRef, namespace: str) -> Ref | None:
    """The Service that a backendRef of a Route in `namespace` names; None for another kind."""
    if (ref.group or "") != "" or (ref.kind or "Service") != "Service":
        return None
    return Ref(ref.namespace or namespace, ref.name)


def resolve_backend(ref: BackendRef, namespace: str, objects: Objects) -> BackendId | Fault:
    """The Backend that a backendRef of an HTTPRoute in `namespace` names, or why it cannot be used."""
    service_ref = target_service(ref, namespace)
    if service_ref is None:
        return Fault(
            TargetError.INVALID_KIND, f"{ref.group or 'core'}/{ref.kind} {ref.name} is not supported"
        )
    if service_ref.namespace != namespace and not granted(
        objects.grants_in(service_ref.namespace), namespace, service_ref.name
    ):
        return Fault(
            TargetError.REF_NOT_PERMITTED,
            f"no ReferenceGrant in {service_ref.namespace} allows HTTPRoutes of {namespace} to use "
            f"Service {service_ref.name}",
        )
    service = objects.service(service_ref)
    if service is None:
        return Fault(TargetError.BACKEND_NOT_FOUND, f"Service {service_ref} does not exist")
    if service.spec.type == "ExternalName":
        return Fault(TargetError.INVALID_KIND, f"Service {service_ref} is an ExternalName, never followed")
    if ref.port is None:
        return Fault(TargetError.BACKEND_NOT_FOUND, f"backendRef {ref.name} names no port")
    port = find_port(service, ref.port)
    if port is None:
        return Fault(TargetError.BACKEND_NOT_FOUND, f"Service {service_ref} has no port {ref.port}")
    if port.protocol != "TCP" or (port.app_protocol or "").lower() not in _HTTP_PROTOCOLS:
        spoken = port.protocol if port.protocol != "TCP" else port.app_protocol
        return Fault(
            TargetError.UNSUPPORTED_PROTOCOL,
            f"port {ref.port} of Service {service_ref} speaks {spoken}, which is not supported yet",
        )
    return BackendId(service_ref, ref.port)


def find_port(service: Service, number: int) -> ServicePort | None:
    """The TCP port of that number; else one of another protocol; None if there is none."""
    ports = [port for port in service.spec.ports or () if port.port == number]
    return next((port for port in ports if port.protocol == "TCP"), ports[0] if ports else None)


def granted(grants: Iterable[ReferenceGrant], from_namespace: str, service: str) -> bool:
    """Whether any of the grants lets HTTPRoutes of `from_namespace` use the Service beside the grants."""
    return any(
        any(
            source.group == GATEWAY_GROUP
            and source.kind == "HTTPRoute"
            and source.namespace == from_namespace
            for source in grant.spec.from_
        )
        and any(
            target.group == "" and target.kind == "Service" and target.name in (None, "", service)
            for target in grant.spec.to
        )
        for grant in grants
    )
