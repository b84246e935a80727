"""The objects as last told, with the indexes that translation reads.

Laws:
1. A removal is found by the object's own kind, namespace and name: what the event carries beside is not
   trusted (delete events may carry no labels).
2. `put` says what kind of change it was, so that what translation does not read (status, managed fields,
   resource versions) makes no work.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from fairlead.resources import (
    BackendPolicy,
    EndpointSlice,
    Gateway,
    GatewayClass,
    HTTPRoute,
    Kind,
    Namespace,
    Object,
    ObjectMeta,
    Ref,
    ReferenceGrant,
    Service,
)

_Outer = TypeVar("_Outer")
_Inner = TypeVar("_Inner")
_Value = TypeVar("_Value")


def ref_of(obj: Object) -> Ref:
    """The object's namespace and name."""
    return Ref(obj.metadata.namespace, obj.metadata.name)


class Objects:
    """All objects that translation knows of."""

    def __init__(self) -> None:
        self._all: dict[Kind, dict[Ref, Object]] = {kind: {} for kind in Kind}
        self._slices: dict[Ref, dict[str, EndpointSlice]] = {}
        self._grants: dict[str, dict[Ref, ReferenceGrant]] = {}
        self._policies: dict[Ref, dict[Ref, BackendPolicy]] = {}

    def put(self, kind: Kind, obj: Object) -> tuple[bool, Object | None]:
        """Stores the object; gives whether anything that translation reads differs, and the one before.

        An object that is broken raises, and leaves its last form in place.
        """
        ref = ref_of(obj)
        targets = policy_targets(obj) if isinstance(obj, BackendPolicy) else ()
        before = self._all[kind].get(ref)
        changed = before is None or not (before == obj or _reads_the_same(before, obj))
        self._all[kind][ref] = obj
        if before is not None and changed:
            self._unindex(before)
        self._index(obj, targets)
        return changed, before

    def remove(self, kind: Kind, ref: Ref) -> Object | None:
        """Forgets the object; gives its last state, or None if it was not known."""
        before = self._all[kind].pop(ref, None)
        if before is not None:
            self._unindex(before)
        return before

    def gateway_class(self, name: str) -> GatewayClass | None:
        return self._all[Kind.GATEWAY_CLASS].get(Ref("", name))  # type: ignore[return-value]

    def gateway_classes(self) -> Iterator[Ref]:
        yield from self._all[Kind.GATEWAY_CLASS]

    def gateway(self, ref: Ref) -> Gateway | None:
        return self._all[Kind.GATEWAY].get(ref)  # type: ignore[return-value]

    def gateways(self) -> Iterator[tuple[Ref, Gateway]]:
        yield from self._all[Kind.GATEWAY].items()  # type: ignore[misc]

    def route(self, ref: Ref) -> HTTPRoute | None:
        return self._all[Kind.HTTP_ROUTE].get(ref)  # type: ignore[return-value]

    def service(self, ref: Ref) -> Service | None:
        return self._all[Kind.SERVICE].get(ref)  # type: ignore[return-value]

    def policy(self, ref: Ref) -> BackendPolicy | None:
        return self._all[Kind.BACKEND_POLICY].get(ref)  # type: ignore[return-value]

    def namespace_labels(self, name: str) -> dict[str, str] | None:
        """The namespace's labels; None where the namespace is not known."""
        namespace = self._all[Kind.NAMESPACE].get(Ref("", name))
        return None if namespace is None else (namespace.metadata.labels or {})

    def slices_of(self, service: Ref) -> Mapping[str, EndpointSlice]:
        """All slices that carry the Service's name, by their own names."""
        return self._slices.get(service, {})

    def grants_in(self, namespace: str) -> Iterable[ReferenceGrant]:
        return self._grants.get(namespace, {}).values()

    def policies_for(self, service: Ref) -> Mapping[Ref, BackendPolicy]:
        """The policies that name the Service in a targetRef, whether or not it exists."""
        return self._policies.get(service, {})

    def everything(self) -> Iterator[tuple[Kind, Object]]:
        """All objects, in no particular order."""
        for kind, objects in self._all.items():
            for obj in objects.values():
                yield kind, obj

    def _index(self, obj: Object, targets: Iterable[Ref]) -> None:
        ref = ref_of(obj)
        if isinstance(obj, EndpointSlice):
            if obj.service:
                self._slices.setdefault(Ref(ref.namespace, obj.service), {})[ref.name] = obj
        elif isinstance(obj, ReferenceGrant):
            self._grants.setdefault(ref.namespace, {})[ref] = obj
        elif isinstance(obj, BackendPolicy):
            for target in targets:
                self._policies.setdefault(target, {})[ref] = obj

    def _unindex(self, obj: Object) -> None:
        ref = ref_of(obj)
        if isinstance(obj, EndpointSlice):
            if obj.service:
                _drop(self._slices, Ref(ref.namespace, obj.service), ref.name)
        elif isinstance(obj, ReferenceGrant):
            _drop(self._grants, ref.namespace, ref)
        elif isinstance(obj, BackendPolicy):
            for target in policy_targets(obj):
                _drop(self._policies, target, ref)


def policy_targets(policy: BackendPolicy) -> tuple[Ref, ...]:
    """The Services that a policy names, each once; targets of other kinds are not among them."""
    namespace = policy.metadata.namespace
    refs = (
        Ref(namespace, target.name)
        for target in policy.spec.target_refs
        if target.group == "" and target.kind == "Service"
    )
    return tuple(dict.fromkeys(refs))


def _drop(index: dict[_Outer, dict[_Inner, _Value]], outer: _Outer, inner: _Inner) -> None:
    members = index.get(outer)
    if members is not None:
        members.pop(inner, None)
        if not members:
            del index[outer]


def _reads_the_same(before: Object, after: Object) -> bool:
    """Whether two states of an object differ only in what translation does not read."""
    if _identity(before.metadata) != _identity(after.metadata):
        return False
    match before, after:
        case Namespace(), Namespace():
            return before.metadata.labels == after.metadata.labels
        case EndpointSlice(), EndpointSlice():
            return (
                before.endpoints == after.endpoints
                and before.ports == after.ports
                and before.address_type == after.address_type
                and before.service == after.service
            )
        case Gateway(), Gateway():
            return before.spec == after.spec and recorded_address(before) == recorded_address(after)
        case Service(), Service():
            return before.spec == after.spec
        case GatewayClass(), GatewayClass():
            return before.spec == after.spec
        case HTTPRoute(), HTTPRoute():
            return before.spec == after.spec
        case ReferenceGrant(), ReferenceGrant():
            return before.spec == after.spec
        case BackendPolicy(), BackendPolicy():
            return before.spec == after.spec
    return False


def _identity(meta: ObjectMeta) -> tuple[str, int, str | None]:
    return meta.uid, meta.generation, meta.creation_timestamp


def recorded_address(gateway: Gateway) -> str | None:
    """The first IP address in the Gateway's status: what it was given before."""
    addresses = (gateway.status and gateway.status.addresses) or ()
    return next((item.value for item in addresses if (item.type or "IPAddress") == "IPAddress"), None)
