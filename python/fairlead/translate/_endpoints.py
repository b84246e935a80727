"""From EndpointSlices to the Endpoints of a Backend: pure functions, one per rule.

Laws:
1. The endpoints are the union over all slices of the Service (KEP-752), whatever their order.
2. An Endpoint's identity is the Pod's UID (the Service's where no Pod stands behind it), address, port and
   protocol. The same identity in two slices is one Endpoint: it is on its way from one slice to the other.
3. One address, port and protocol is listed once: of several Pods that carry it the one that serves and does
   not terminate wins.
4. Unknown conditions have their defaults: ready and serving true, terminating false (KEP-1672).
5. Nothing is dropped in silence: addresses that may not be dialled are reported.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

import msgspec

from fairlead import resources, snapshot
from fairlead.translate._hints import Hints, nearest

_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_COMMON_IPV4 = re.compile(rf"{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}")
"""Canonical IPv4: most addresses are told good by this and their first octet, ten times faster."""

_UNREADABLE = "not an IP address of the slice's family"


class PortSpec(msgspec.Struct, frozen=True, gc=False):
    """How a Service port is found in slices, and what stands for a missing Pod."""

    name: str
    protocol: str
    service_uid: str
    loopback_allowed: bool = False


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """One endpoint of one slice."""

    endpoint: snapshot.Endpoint
    hints: Hints | None = None


class SliceView(msgspec.Struct, frozen=True, gc=False):
    """What one slice says on one Service port."""

    family: str
    """`IPv4` or `IPv6`."""
    candidates: tuple[Candidate, ...] = ()
    hinted: bool = False
    """Whether any of them carries topology hints."""
    refused: tuple[tuple[str, str], ...] = ()
    """Addresses that may not be dialled, with the reason."""


def view_slice(item: resources.EndpointSlice, port: PortSpec) -> SliceView:
    """The endpoints that a slice gives for a Service port.

    The port is matched by name and protocol and its number is the slice's own: named target ports may
    differ from Pod to Pod. A slice without that port, or with a null number, gives nothing.
    """
    number = _port_number(item.ports, port)
    if item.address_type not in ("IPv4", "IPv6") or number is None:
        return SliceView(item.address_type)
    candidates: list[Candidate] = []
    refused: list[tuple[str, str]] = []
    namespace = item.metadata.namespace
    for entry in item.endpoints or ():
        if not entry.addresses:
            continue
        # Several addresses of one endpoint are fungible: the first one is used.
        address, fault = _usable_address(entry.addresses[0], item.address_type, port.loopback_allowed)
        if address is None:
            refused.append((entry.addresses[0], fault))
            continue
        candidates.append(Candidate(_endpoint(entry, namespace, address, number, port), _hints(entry)))
    hinted = any(candidate.hints is not None for candidate in candidates)
    return SliceView(item.address_type, tuple(candidates), hinted, tuple(refused))


def merge(
    views: Iterable[SliceView], families: Sequence[str] = (), *, zone: str = "", node: str = ""
) -> tuple[snapshot.Endpoint, ...]:
    """All Endpoints of a Service port, sorted by id. `views` come in the order of the slices' names."""
    present = [view for view in views if view.candidates]
    family = choose_family((view.family for view in present), families)
    by_id: dict[str, Candidate] = {}
    for view in present:
        if view.family == family:
            for candidate in view.candidates:
                key = candidate.endpoint.id
                by_id[key] = combine(by_id[key], candidate) if key in by_id else candidate
    by_target: dict[tuple[str, int], Candidate] = {}
    for candidate in by_id.values():
        target = (candidate.endpoint.address, candidate.endpoint.port)
        other = by_target.get(target)
        if other is None or outranks(candidate.endpoint, other.endpoint):
            by_target[target] = candidate
    kept: Iterable[Candidate] = by_target.values()
    if zone or node:
        kept = _nearest(list(kept), zone, node)
    return tuple(sorted((candidate.endpoint for candidate in kept), key=identity))


def choose_family(present: Iterable[str], families: Sequence[str]) -> str | None:
    """The one address family to use: the Service's first that has endpoints, else IPv4, else IPv6.

    In dual stack each Pod is listed once per family; using both would double its weight (KEP-563).
    """
    available = set(present)
    return next((family for family in (*families, "IPv4", "IPv6") if family in available), None)


def _port_number(ports: Iterable[resources.EndpointPort] | None, wanted: PortSpec) -> int | None:
    for port in ports or ():
        if (port.name or "") == wanted.name and (port.protocol or "TCP") == wanted.protocol:
            return port.port if port.port is not None and 1 <= port.port <= 65535 else None
    return None


def _endpoint(
    entry: resources.Endpoint, namespace: str, address: str, number: int, port: PortSpec
) -> snapshot.Endpoint:
    conditions = entry.conditions
    ready = serving = True
    terminating = False
    if conditions is not None:
        # `ready` is looked at first and for itself: with publishNotReadyAddresses it is true while
        # `serving` is false, and such an endpoint takes requests.
        ready = conditions.ready is not False
        serving = conditions.serving is not False
        terminating = conditions.terminating is True
    pod = None
    uid = port.service_uid
    target = entry.target_ref
    if target is not None:
        uid = target.uid or uid
        if target.kind == "Pod":
            pod = f"{target.namespace or namespace}/{target.name}"
    return snapshot.Endpoint(
        id=f"{uid}|{address}|{number}|{port.protocol}",
        address=address,
        port=number,
        ready=ready,
        serving=serving,
        terminating=terminating,
        pod=pod,
        node=entry.node_name,
        zone=entry.zone,
    )


def _hints(entry: resources.Endpoint) -> Hints | None:
    hints = entry.hints
    if hints is None or not (hints.for_zones or hints.for_nodes):
        return None
    return Hints(
        zones=tuple(item.name for item in hints.for_zones or ()),
        nodes=tuple(item.name for item in hints.for_nodes or ()),
    )


def combine(first: Candidate, second: Candidate) -> Candidate:
    """One identity from two slices: ready if any says so; but a Pod that terminates never stops to."""
    left, right = first.endpoint, second.endpoint
    terminating = left.terminating or right.terminating
    views = [left, right] if left.terminating == right.terminating else [left if left.terminating else right]
    merged = msgspec.structs.replace(
        left,
        ready=any(view.ready for view in views),
        serving=any(view.serving for view in views),
        terminating=terminating,
    )
    return Candidate(merged, first.hints)


def outranks(one: snapshot.Endpoint, other: snapshot.Endpoint) -> bool:
    """Which of two Pods with one address is behind it: who serves and stays, then who is ready."""
    return _rank(one) > _rank(other)


def identity(endpoint: snapshot.Endpoint) -> str:
    """The Endpoint's id, for sorting."""
    return endpoint.id


def _rank(endpoint: snapshot.Endpoint) -> tuple[bool, bool, bool, str]:
    stays = endpoint.serving and not endpoint.terminating
    return (stays, endpoint.ready, endpoint.serving, endpoint.id)


def _nearest(candidates: list[Candidate], zone: str, node: str) -> Iterable[Candidate]:
    usable = [candidate for candidate in candidates if candidate.endpoint.ready]
    keep = nearest([candidate.hints for candidate in usable], zone=zone, node=node)
    if keep is None:
        return candidates
    return [candidate for candidate in candidates if candidate.hints is not None and keep(candidate.hints)]


@lru_cache(maxsize=1 << 15)
def _usable_address(text: str, family: str, loopback_allowed: bool) -> tuple[str | None, str]:  # noqa: FBT001
    """The canonical address, or None with the reason why it may not be dialled.

    The API server refuses the same in EndpointSlices (validateEndpoints, ValidateEndpointIP); manifests
    from a directory, and other senders, are not trusted to have asked it.
    """
    if family == "IPv4" and (octets := _COMMON_IPV4.fullmatch(text)) is not None:
        first = int(octets[1])
        if 0 < first < 224 and first not in (127, 169):
            return text, ""
    try:
        address: IPv4Address | IPv6Address = IPv4Address(text) if family == "IPv4" else IPv6Address(text)
    except AddressValueError:
        return None, _UNREADABLE
    if isinstance(address, IPv6Address) and (address.scope_id or address.ipv4_mapped):
        return None, "zone ids and IPv4-mapped addresses are refused"
    if address.is_unspecified:
        return None, "unspecified"
    if address.is_loopback and not loopback_allowed:
        return None, "loopback; allowed in the directory source only"
    if address.is_link_local:
        return None, "link-local"
    if address.is_multicast:
        return None, "multicast"
    return str(address), ""
