"""Status as Kubernetes writes it: what goes into the API, and what `fairlead get -o yaml` shows."""

import msgspec

from fairlead.resources import Condition, GatewayStatusAddress, ParentReference, RouteGroupKind


class _Status(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A `status` in Kubernetes' JSON, or a part of it."""


class SupportedFeature(_Status, frozen=True, kw_only=True, rename="camel"):
    """A feature of the Gateway API, by the name that its conformance tests give it."""

    name: str


class GatewayClassStatus(_Status, frozen=True, kw_only=True, rename="camel"):
    conditions: tuple[Condition, ...] = ()
    supported_features: tuple[SupportedFeature, ...] = ()
    """By name."""


class ListenerEntry(_Status, frozen=True, kw_only=True, rename="camel"):
    """ListenerStatus: one entry of a Gateway's `status.listeners`."""

    name: str
    supported_kinds: tuple[RouteGroupKind, ...] = ()
    attached_routes: int = 0
    conditions: tuple[Condition, ...] = ()


class GatewayStatus(_Status, frozen=True, kw_only=True, rename="camel"):
    addresses: tuple[GatewayStatusAddress, ...] = ()
    conditions: tuple[Condition, ...] = ()
    listeners: tuple[ListenerEntry, ...] = ()


class ParentEntry(_Status, frozen=True, kw_only=True, rename="camel"):
    """RouteParentStatus: one entry of a Route's `status.parents`."""

    parent_ref: ParentReference
    controller_name: str
    conditions: tuple[Condition, ...] = ()


class RouteStatus(_Status, frozen=True, kw_only=True, rename="camel"):
    parents: tuple[ParentEntry, ...] = ()


class AncestorEntry(_Status, frozen=True, kw_only=True, rename="camel"):
    """PolicyAncestorStatus: one entry of a policy's `status.ancestors`."""

    ancestor_ref: ParentReference
    controller_name: str
    conditions: tuple[Condition, ...] = ()


class PolicyStatus(_Status, frozen=True, kw_only=True, rename="camel"):
    ancestors: tuple[AncestorEntry, ...] = ()


ObjectStatus = GatewayClassStatus | GatewayStatus | RouteStatus | PolicyStatus
"""The `status` of any of our objects."""
