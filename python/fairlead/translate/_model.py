"""What translation gives: resources as bytes, changes of endpoints, statuses, findings.

Laws:
1. A Delta is consistent by itself, a big one with all its parts: whoever applies all in order has a Snapshot after
   each one in which every Route finds the Listeners, Backends and Endpoints that it names.
2. Within a Delta upserts come first (Endpoints and Backends before Routes), then endpoints, then removals.
3. A resource whose content did not change is in no Delta.
4. Between the parts of a Delta whole ones of the endpoint lane may come. No part names Endpoints but to remove
   them, so neither needs what the other brings. The statuses of a Delta in parts come after its last part.
"""

from enum import Enum

import msgspec

from fairlead import snapshot
from fairlead.resources import Kind, Ref
from fairlead.sources import Finding
from fairlead.translate._statuses import ObjectStatus

CONTROLLER_NAME = "fairlead.dev/gateway-controller"


class TranslateSettings(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What translation must know of its installation."""

    controller_name: str = CONTROLLER_NAME
    """GatewayClasses with this `spec.controllerName` are ours."""
    gateway_class: str | None = None
    """A GatewayClass of this name is ours even while no object says so."""
    zone: str = ""
    """The zone that the proxies run in; empty: zone hints are passed over."""
    node: str = ""
    """The node that the proxies run on; empty: node hints are passed over."""
    loopback_endpoints_allowed: bool = False
    """Whether EndpointSlices may carry loopback addresses (the directory source only)."""


class Encoded(msgspec.Struct, frozen=True, gc=False):
    """A resource as it travels."""

    key: snapshot.Key
    hash: str
    body: bytes
    tentative: bool = False
    """Computed while a kind that it depends on could not be read: a proxy that has any version keeps it."""


class Part(Enum):
    """What a Delta is of the changes that go out together."""

    WHOLE = "whole"
    MORE = "more"
    """More parts follow, and nothing is in force before the last."""
    LAST = "last"


class Delta(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Changes that go out together, or a part of them."""

    part: Part = Part.WHOLE
    upserts: tuple[Encoded, ...] = ()
    """In the order of `snapshot.Kind`."""
    endpoints: tuple[snapshot.EndpointsDelta, ...] = ()
    removals: tuple[snapshot.Key, ...] = ()
    """In the reverse order of `snapshot.Kind`."""
    statuses: tuple[ObjectStatus, ...] = ()
    findings: tuple[Finding, ...] = ()
    event_at: float | None = None
    """Endpoint lane: when the oldest endpoint event in here was learnt of, by the monotonic clock."""


class Origin(msgspec.Struct, frozen=True, gc=False):
    """The object that a resource comes from."""

    kind: Kind
    ref: Ref
    section: str = ""
    """The Listener's name, for Listeners."""
