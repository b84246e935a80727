"""Listeners of one Gateway: which can be served, and which Routes they take.

Laws (Gateway API, GatewaySpec.listeners):
1. Listeners that cannot be told apart are all Conflicted; none of them wins.
2. A Listener that cannot be served keeps its entry, its reason and its count of attached Routes.
3. What Routes depend on is in `ListenerPlan` and nowhere else, so that a change of anything else
   touches no Route.
"""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from fairlead.resources import Listener, RouteGroupKind, RouteNamespaces
from fairlead.translate._conditions import GATEWAY_GROUP
from fairlead.translate._hostnames import is_hostname
from fairlead.translate._statuses import Reason

HTTP_ROUTE = RouteGroupKind(group=GATEWAY_GROUP, kind="HTTPRoute")

_KINDS_BY_PROTOCOL: dict[str, tuple[RouteGroupKind, ...]] = {"HTTP": (HTTP_ROUTE,), "HTTPS": (HTTP_ROUTE,)}
_SERVED = ("HTTP",)
_SHARE_NO_PORT = ("HTTP", "HTTPS", "TLS")
"""Protocols that cannot share a port with each other."""


class Namespaces(StrEnum):
    """From which namespaces a Listener takes Routes."""

    ALL = "All"
    SAME = "Same"
    SELECTOR = "Selector"
    NONE = "None"


class ListenerPlan(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What Routes need to know of a Listener."""

    name: str
    port: int
    hostname: str | None
    takes_http_routes: bool
    namespaces: RouteNamespaces
    served: bool
    """Whether there is a Listener resource to attach to."""


class ListenerVerdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a Listener is judged by itself and beside its siblings."""

    listener: Listener
    hostname: str | None
    """In lower case; None matches every host."""
    kinds: tuple[RouteGroupKind, ...]
    fault: tuple[Reason, str] | None = None
    """Why it is not accepted."""
    conflict: tuple[Reason, str] | None = None
    invalid_kinds: str = ""
    """The kinds in allowedRoutes that are not supported here."""

    @property
    def valid(self) -> bool:
        """Whether it can be served at all."""
        return self.fault is None and bool(self.kinds)


def judge(listeners: Sequence[Listener]) -> tuple[ListenerVerdict, ...]:
    """The verdict on each Listener, one per name (a name given twice is a fault of its entry)."""
    names = Counter(listener.name for listener in listeners)
    hosts = Counter((item.port, item.protocol, _hostname(item)) for item in listeners)
    protocols: dict[int, set[str]] = {}
    for item in listeners:
        if item.protocol in _SHARE_NO_PORT:
            protocols.setdefault(item.port, set()).add(item.protocol)
    verdicts: dict[str, ListenerVerdict] = {}
    for item in listeners:
        if item.name in verdicts:
            continue
        conflict: tuple[Reason, str] | None = None
        if len(protocols.get(item.port, ())) > 1 and item.protocol in _SHARE_NO_PORT:
            others = ", ".join(sorted(protocols[item.port]))
            conflict = (Reason.PROTOCOL_CONFLICT, f"port {item.port} is asked for with protocols {others}")
        elif hosts[item.port, item.protocol, _hostname(item)] > 1:
            host = _hostname(item) or "no hostname"
            conflict = (
                Reason.HOSTNAME_CONFLICT,
                f"port {item.port} has several {item.protocol} listeners with {host}",
            )
        kinds, invalid = _kinds(item)
        verdicts[item.name] = ListenerVerdict(
            listener=item,
            hostname=_hostname(item),
            kinds=kinds,
            fault=_fault(item, twice=names[item.name] > 1) or conflict,
            conflict=conflict,
            invalid_kinds=invalid,
        )
    return tuple(verdicts.values())


def allowed_namespaces(listener: Listener) -> RouteNamespaces:
    """`allowedRoutes.namespaces`, by default those of the Gateway's own namespace."""
    allowed = listener.allowed_routes
    namespaces = allowed.namespaces if allowed is not None else None
    return namespaces or RouteNamespaces(from_=Namespaces.SAME)


def _hostname(listener: Listener) -> str | None:
    return listener.hostname.lower() if listener.hostname else None


def _fault(listener: Listener, *, twice: bool) -> tuple[Reason, str] | None:
    if listener.protocol not in _SERVED:
        return (
            Reason.UNSUPPORTED_PROTOCOL,
            f"protocol {listener.protocol!r} is not supported: use {', '.join(_SERVED)}",
        )
    if twice:
        return Reason.UNSUPPORTED_VALUE, f"several listeners are named {listener.name!r}"
    if not 1 <= listener.port <= 65535:
        return Reason.PORT_UNAVAILABLE, f"{listener.port} is not a port"
    hostname = _hostname(listener)
    if hostname is not None and not is_hostname(hostname):
        return Reason.UNSUPPORTED_VALUE, f"{hostname!r} is not a hostname"
    return None


def _kinds(listener: Listener) -> tuple[tuple[RouteGroupKind, ...], str]:
    """The Route kinds that it takes, and those that it was asked to take and cannot."""
    supported = _KINDS_BY_PROTOCOL.get(listener.protocol, ())
    wanted = listener.allowed_routes.kinds if listener.allowed_routes is not None else None
    if not wanted:
        return supported, ""
    named = [
        RouteGroupKind(group=GATEWAY_GROUP if item.group is None else item.group, kind=item.kind)
        for item in wanted
    ]
    valid = tuple(dict.fromkeys(item for item in named if item in supported))
    invalid = sorted({f"{item.group}/{item.kind}" for item in named if item not in supported})
    return valid, ", ".join(invalid)
