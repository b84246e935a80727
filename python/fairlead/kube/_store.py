"""The local copy of one collection: typed projections by name, with one optional index.

Law: the store knows nothing of time or of the network; the reflector alone changes it, and only by what a list
or a watch has said.
"""

from collections.abc import Callable, Hashable, Iterator
from typing import Generic, Protocol, TypeVar

from fairlead.resources import EndpointSlice, ObjectMeta, Ref


class HasMetadata(Protocol):
    """Any Kubernetes object."""

    @property
    def metadata(self) -> ObjectMeta: ...


T = TypeVar("T", bound=HasMetadata)


def ref_of(obj: HasMetadata) -> Ref:
    """The object's namespace and name."""
    return Ref(obj.metadata.namespace, obj.metadata.name)


class Store(Generic[T]):
    """Objects by `Ref`; with `index`, also by what it returns (None: not indexed)."""

    def __init__(self, index: Callable[[T], Hashable | None] | None = None) -> None:
        self._objects: dict[Ref, T] = {}
        self._index = index
        self._indexed: dict[Hashable, dict[Ref, T]] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[T]:
        return iter(self._objects.values())

    def __contains__(self, ref: object) -> bool:
        return ref in self._objects

    def refs(self) -> list[Ref]:
        """The names of all objects, as a list of its own."""
        return list(self._objects)

    def get(self, ref: Ref) -> T | None:
        """The object of that name."""
        return self._objects.get(ref)

    def indexed(self, key: Hashable) -> tuple[T, ...]:
        """All objects with that index key, in no order."""
        return tuple(self._indexed.get(key, {}).values())

    def put(self, obj: T) -> None:
        """Adds or replaces."""
        ref = ref_of(obj)
        self._unindex(ref)
        self._objects[ref] = obj
        if self._index is not None and (key := self._index(obj)) is not None:
            self._indexed.setdefault(key, {})[ref] = obj

    def remove(self, ref: Ref) -> T | None:
        """Takes the object out and returns it, the last form that was known."""
        self._unindex(ref)
        return self._objects.pop(ref, None)

    def _unindex(self, ref: Ref) -> None:
        old = self._objects.get(ref)
        if old is None or self._index is None or (key := self._index(old)) is None:
            return
        group = self._indexed[key]
        del group[ref]
        if not group:
            del self._indexed[key]


def service_of_slice(endpoint_slice: EndpointSlice) -> Ref | None:
    """The index of EndpointSlices: the Service that a slice belongs to."""
    if not endpoint_slice.service:
        return None
    return Ref(endpoint_slice.metadata.namespace, endpoint_slice.service)
