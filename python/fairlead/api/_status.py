"""Status as Kubernetes shapes it: what is written into the API, and what `fairlead get -o yaml` shows.

`lastTransitionTime` is set by whoever keeps a status (see `resources.Condition`).
"""

import msgspec

from fairlead.resources import Condition, GatewayStatusAddress, ParentReference, RouteGroupKind


class _Status(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A `status` or a part of it."""


class GatewayClassStatus(_Status, frozen=True, kw_only=True):
    conditions: tuple[Condition, ...] = ()


class ListenerStatus(_Status, frozen=True, kw_only=True, omit_defaults=False):
    """One entry of a Gateway's `status.listeners`."""

    name: str
    supported_kinds: tuple[RouteGroupKind, ...] = ()
    attached_routes: int = 0
    conditions: tuple[Condition, ...] = ()


class GatewayStatus(_Status, frozen=True, kw_only=True):
    addresses: tuple[GatewayStatusAddress, ...] = ()
    conditions: tuple[Condition, ...] = ()
    listeners: tuple[ListenerStatus, ...] = ()


class ParentStatus(_Status, frozen=True, kw_only=True):
    """One entry of a Route's `status.parents`."""

    parent_ref: ParentReference
    controller_name: str
    conditions: tuple[Condition, ...] = ()


class RouteStatus(_Status, frozen=True, kw_only=True, omit_defaults=False):
    parents: tuple[ParentStatus, ...] = ()


class AncestorStatus(_Status, frozen=True, kw_only=True):
    """One entry of a policy's `status.ancestors`."""

    ancestor_ref: ParentReference
    controller_name: str
    conditions: tuple[Condition, ...] = ()


class PolicyStatus(_Status, frozen=True, kw_only=True, omit_defaults=False):
    ancestors: tuple[AncestorStatus, ...] = ()


ObjectStatus = GatewayClassStatus | GatewayStatus | RouteStatus | PolicyStatus
"""The `status` of any of our objects."""
