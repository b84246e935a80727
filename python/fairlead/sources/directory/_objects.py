"""A document to an object, with the identity that a directory gives it.

uid is a hash of kind, namespace and name; creationTimestamp is as written, else the epoch, so that ties go by
name; status and the fields that a server writes are not taken from files.
"""

import ipaddress
import re
from hashlib import sha256
from typing import Any, cast

import msgspec

from fairlead.resources import KINDS, EndpointSlice, Kind, Object, Ref
from fairlead.sources.directory._schema import problems, schema_for, served_versions, with_defaults

CONTROLLER_NAME = "fairlead.dev/gateway-controller"
DEFAULT_NAMESPACE = "default"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_MAX_ENDPOINTS = 1000
_MAX_PORTS = 20_000
_MAX_HINTS = 8


class Identity(msgspec.Struct, frozen=True, order=True):
    """What an object is found by."""

    kind: Kind
    ref: Ref

    def __str__(self) -> str:
        return f"{self.kind} {self.ref}"


class RefusedDocumentError(Exception):
    """A document that is not a usable object."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Parsed(msgspec.Struct, frozen=True):
    """A document that passed: its identity, and its canonical content with defaults."""

    identity: Identity
    content: dict[str, Any]


def identify(document: dict[str, Any]) -> Identity | None:
    """The identity that a document claims; None for a kind that Fairlead does not use. Raises RefusedDocumentError."""
    api_version, kind_name = document.get("apiVersion"), document.get("kind")
    if not isinstance(api_version, str) or not isinstance(kind_name, str):
        raise RefusedDocumentError("NotAnObject", "apiVersion and kind must be given, as strings")
    group, _, version = api_version.rpartition("/")
    try:
        kind = Kind(kind_name)
    except ValueError:
        return None
    info = KINDS[kind]
    if group != info.group:
        return None
    if version not in served_versions(kind):
        known = ", ".join(sorted(served_versions(kind)))
        raise RefusedDocumentError(
            "UnknownVersion", f"{kind} is not served at {api_version} (served: {known})"
        )
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(name := metadata.get("name"), str):
        raise RefusedDocumentError("NotAnObject", "metadata.name must be given, as a string")
    namespace = metadata.get("namespace") or DEFAULT_NAMESPACE
    if not isinstance(namespace, str):
        raise RefusedDocumentError("NotAnObject", "metadata.namespace must be a string")
    if not _NAME.fullmatch(name) or len(name) > 253:
        raise RefusedDocumentError("Invalid", f'metadata.name "{name}" is not a DNS subdomain name')
    if not _NAME.fullmatch(namespace) or len(namespace) > 63 or "." in namespace:
        raise RefusedDocumentError("Invalid", f'metadata.namespace "{namespace}" is not a DNS label')
    return Identity(kind, Ref(namespace if info.namespaced else "", name))


def parse(document: dict[str, Any], identity: Identity) -> Parsed:
    """The object in a document. Raises RefusedDocumentError."""
    content = {key: value for key, value in document.items() if key != "status"}
    version = str(content["apiVersion"]).rpartition("/")[2]
    schema = schema_for(identity.kind, version)
    if schema is not None:
        content = with_defaults(content, schema)
        found = problems(content, schema)
        if found:
            more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
            raise RefusedDocumentError("Invalid", "; ".join(found[:3]) + more)
    else:
        content = cast("dict[str, Any]", _without_nulls(content))
    parsed = Parsed(identity, content)
    obj = build(parsed, generation=1, resource_version="1")
    if isinstance(obj, EndpointSlice):
        _check_slice(obj)
    return parsed


def build(parsed: Parsed, *, generation: int, resource_version: str) -> Object:
    """The typed object. Raises RefusedDocumentError where a field has the wrong type."""
    kind, ref = parsed.identity.kind, parsed.identity.ref
    written = parsed.content.get("metadata") or {}
    metadata: dict[str, Any] = {
        "name": ref.name,
        "namespace": ref.namespace,
        "uid": uid_of(parsed.identity),
        "resourceVersion": resource_version,
        "generation": generation,
        "creationTimestamp": written.get("creationTimestamp"),
        "labels": written.get("labels"),
        "annotations": written.get("annotations"),
    }
    if kind is Kind.NAMESPACE:
        metadata["labels"] = {**(metadata["labels"] or {}), "kubernetes.io/metadata.name": ref.name}
    try:
        obj = msgspec.convert({**parsed.content, "metadata": metadata}, KINDS[kind].type)
    except msgspec.ValidationError as error:
        raise RefusedDocumentError("Invalid", str(error)) from None
    return cast("Object", obj)


def uid_of(identity: Identity) -> str:
    """A stable uid in the shape of a UUID."""
    digest = sha256(f"{identity.kind}\0{identity.ref.namespace}\0{identity.ref.name}".encode()).hexdigest()
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))


def implied(kind: Kind, name: str, *, controller_name: str = CONTROLLER_NAME) -> Parsed:
    """An object that exists although nobody wrote it: a used namespace, GatewayClass `fairlead`."""
    content: dict[str, Any] = {
        "apiVersion": KINDS[kind].api_version,
        "kind": kind.value,
        "metadata": {"name": name},
    }
    if kind is Kind.GATEWAY_CLASS:
        content["spec"] = {"controllerName": controller_name}
    return Parsed(Identity(kind, Ref("", name)), content)


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _check_slice(found: EndpointSlice) -> None:
    # The API server's rules (validateEndpoints), but that loopback addresses are allowed in a directory.
    if found.address_type not in ("IPv4", "IPv6", "FQDN"):
        raise RefusedDocumentError("Invalid", f'addressType "{found.address_type}" is not IPv4, IPv6 or FQDN')
    endpoints = found.endpoints or ()
    if len(endpoints) > _MAX_ENDPOINTS:
        raise RefusedDocumentError(
            "Invalid", f"endpoints: has {len(endpoints)} items, at most {_MAX_ENDPOINTS} are allowed"
        )
    ports = found.ports or ()
    if len(ports) > _MAX_PORTS:
        raise RefusedDocumentError(
            "Invalid", f"ports: has {len(ports)} items, at most {_MAX_PORTS} are allowed"
        )
    names = [port.name or "" for port in ports]
    if len(set(names)) != len(names):
        raise RefusedDocumentError("Invalid", "ports: the names must differ")
    for port in ports:
        if port.port is not None and not 1 <= port.port <= 65535:
            raise RefusedDocumentError("Invalid", f"ports: {port.port} is not a port number")
    for index, endpoint in enumerate(endpoints):
        if not 1 <= len(endpoint.addresses) <= 100:
            raise RefusedDocumentError(
                "Invalid", f"endpoints[{index}].addresses: 1 to 100 addresses must be given"
            )
        hints = endpoint.hints
        if hints is not None and max(len(hints.for_zones or ()), len(hints.for_nodes or ())) > _MAX_HINTS:
            raise RefusedDocumentError(
                "Invalid", f"endpoints[{index}].hints: at most {_MAX_HINTS} zones and nodes are allowed"
            )
        if found.address_type == "FQDN":
            continue
        for address in endpoint.addresses:
            _check_address(address, found.address_type, f"endpoints[{index}].addresses")


def _check_address(text: str, family: str, where: str) -> None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise RefusedDocumentError("Invalid", f'{where}: "{text}" is not an IP address') from None
    if f"IPv{address.version}" != family or getattr(address, "ipv4_mapped", None):
        raise RefusedDocumentError("Invalid", f'{where}: "{text}" is not an {family} address')
    if address.is_unspecified or address.is_link_local or address.is_multicast:
        raise RefusedDocumentError(
            "Invalid", f'{where}: "{text}" may not be unspecified, link-local or multicast'
        )
