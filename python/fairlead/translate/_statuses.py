"""The statuses of our objects, as translation sees them.

Laws:
1. Conditions are given as if every proxy had acknowledged the resources: `Programmed=True` means that the
   configuration was made. The status layer waits for the acknowledgement of `keys`, and turns
   conditions False for what was refused or could not be bound.
2. A status is complete: what it does not name (a parent, an ancestor, a listener) has no entry of ours.
3. Conditions carry no time; who writes them keeps `lastTransitionTime` while the status stays.
"""

from enum import StrEnum

import msgspec

from fairlead import snapshot
from fairlead.resources import GatewayStatusAddress, Kind, ParentReference, Ref, RouteGroupKind


class ConditionType(StrEnum):
    """Condition types of the Gateway API."""

    ACCEPTED = "Accepted"
    PROGRAMMED = "Programmed"
    RESOLVED_REFS = "ResolvedRefs"
    CONFLICTED = "Conflicted"
    PARTIALLY_INVALID = "PartiallyInvalid"
    SUPPORTED_VERSION = "SupportedVersion"


class ConditionStatus(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Reason(StrEnum):
    """Reasons of the Gateway API, for all kinds; which go with which type is in the API's documentation."""

    ACCEPTED = "Accepted"
    PROGRAMMED = "Programmed"
    RESOLVED_REFS = "ResolvedRefs"
    NO_CONFLICTS = "NoConflicts"
    PENDING = "Pending"
    INVALID = "Invalid"
    INVALID_PARAMETERS = "InvalidParameters"
    UNSUPPORTED_VALUE = "UnsupportedValue"
    # GatewayClass
    SUPPORTED_VERSION = "SupportedVersion"
    UNSUPPORTED_VERSION = "UnsupportedVersion"
    # Gateway
    LISTENERS_NOT_VALID = "ListenersNotValid"
    LISTENERS_NOT_RESOLVED = "ListenersNotResolved"
    UNSUPPORTED_ADDRESS = "UnsupportedAddress"
    ADDRESS_NOT_ASSIGNED = "AddressNotAssigned"
    ADDRESS_NOT_USABLE = "AddressNotUsable"
    # Listener
    UNSUPPORTED_PROTOCOL = "UnsupportedProtocol"
    PORT_UNAVAILABLE = "PortUnavailable"
    INVALID_ROUTE_KINDS = "InvalidRouteKinds"
    HOSTNAME_CONFLICT = "HostnameConflict"
    PROTOCOL_CONFLICT = "ProtocolConflict"
    # Route
    NO_MATCHING_PARENT = "NoMatchingParent"
    NOT_ALLOWED_BY_LISTENERS = "NotAllowedByListeners"
    NO_MATCHING_LISTENER_HOSTNAME = "NoMatchingListenerHostname"
    BACKEND_NOT_FOUND = "BackendNotFound"
    REF_NOT_PERMITTED = "RefNotPermitted"
    INVALID_KIND = "InvalidKind"
    # Policy
    CONFLICTED = "Conflicted"
    TARGET_NOT_FOUND = "TargetNotFound"
    # Any: translation failed, the object is quarantined
    INTERNAL = "Internal"


class StatusCondition(msgspec.Struct, frozen=True, gc=False):
    """A condition without its time."""

    type: ConditionType
    status: ConditionStatus
    reason: Reason
    message: str
    observed_generation: int


class ListenerStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One entry of a Gateway's `status.listeners`."""

    name: str
    supported_kinds: tuple[RouteGroupKind, ...]
    attached_routes: int
    conditions: tuple[StatusCondition, ...]
    keys: tuple[snapshot.Key, ...] = ()
    """Its Listener and Binds; none where it generates no configuration."""


class GatewayClassStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    ref: Ref
    uid: str
    conditions: tuple[StatusCondition, ...]
    features: tuple[str, ...]
    """Sorted."""

    kind = Kind.GATEWAY_CLASS


class GatewayStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    ref: Ref
    uid: str
    conditions: tuple[StatusCondition, ...]
    addresses: tuple[GatewayStatusAddress, ...]
    listeners: tuple[ListenerStatus, ...]

    kind = Kind.GATEWAY


class ParentStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One entry of a Route's `status.parents`."""

    parent_ref: ParentReference
    """As the Route writes it."""
    conditions: tuple[StatusCondition, ...]


class RouteStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A Route's parents that are ours; none means that our entries go."""

    ref: Ref
    uid: str
    parents: tuple[ParentStatus, ...]
    key: snapshot.Key
    """The Route's resource, whether or not it was made."""
    tentative: bool = False
    """Computed while a kind that it depends on could not be read."""

    kind = Kind.HTTP_ROUTE


class AncestorStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One entry of a policy's `status.ancestors`."""

    ancestor_ref: ParentReference
    conditions: tuple[StatusCondition, ...]


class PolicyStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A policy's ancestors that are ours; none means that our entries go."""

    ref: Ref
    uid: str
    ancestors: tuple[AncestorStatus, ...]

    kind = Kind.BACKEND_POLICY


class Forgotten(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The object is gone or no longer ours: nothing is to be said on it any more."""

    kind: Kind
    ref: Ref


ObjectStatus = GatewayClassStatus | GatewayStatus | RouteStatus | PolicyStatus | Forgotten
"""The status of one object; `kind` and `ref` name it."""
