"""The local copy of one collection and its rules: what a list or an event does to it.

Laws:
1. An older form of an object, or an older object of the same name, never overwrites a newer one, except by a list of the newest state,
   which is the truth also where versions went backwards. Such a list is compared by content: an etcd restored
   from a backup gives the same versions again to other contents.
2. Objects vanish by a DELETED event or because a whole list lacks them: never by an error, a part of a list, or
   a list with an item whose name cannot be read.
3. A removal carries the last form that was known, not what the event brought.
4. An object that does not decode keeps its last good form, as long as it is the same object (UID).
"""

from typing import Generic, TypeVar

from fairlead.kube._decode import Broken
from fairlead.kube._effects import Deleted, Mended, Put, StoreChange, Undecodable
from fairlead.kube._store import HasMetadata, Store, ref_of
from fairlead.kube._versions import compare_versions
from fairlead.resources import Ref

T = TypeVar("T", bound=HasMetadata)


class LocalCopy(Generic[T]):
    """A store with the rules above; every method returns the changes to tell."""

    def __init__(self, store: Store[T]) -> None:
        self.store = store
        self._broken: dict[Ref | None, Broken] = {}
        self._seen: set[Ref] = set()
        self._all_named = True
        self._truth = False

    def begin_list(self, *, truth: bool) -> None:
        """A list begins; `truth`: it was asked for the newest state."""
        self._seen.clear()
        self._all_named = True
        self._truth = truth

    def list_item(self, item: T | Broken) -> list[StoreChange[T]]:
        """One item of the list."""
        if isinstance(item, Broken):
            if item.ref is None:
                self._all_named = False
            else:
                self._seen.add(item.ref)
            return self._break(item)
        ref = ref_of(item)
        self._seen.add(ref)
        return self._put(ref, item, force=self._truth)

    def end_list(self) -> list[StoreChange[T]]:
        """The list is whole: what it lacks is gone."""
        changes: list[StoreChange[T]] = []
        if self._all_named:
            changes += self._mend(None)
            for ref in [ref for ref in self.store.refs() if ref not in self._seen]:
                changes += self.delete(ref)
            for named in [ref for ref in self._broken if ref is not None and ref not in self._seen]:
                changes += self._mend(named)
        self._seen.clear()
        return changes

    def put(self, item: T | Broken) -> list[StoreChange[T]]:
        """An ADDED or MODIFIED event."""
        return self._break(item) if isinstance(item, Broken) else self._put(ref_of(item), item, force=False)

    def delete(self, ref: Ref) -> list[StoreChange[T]]:
        """The object of that name is gone."""
        changes = self._mend(ref)
        last = self.store.remove(ref)
        if last is not None:
            changes.append(Deleted(last))
        return changes

    def is_known(self, ref: Ref | None, uid: str, version: str) -> bool:
        """Whether exactly this form of this object is what the copy holds or has refused."""
        if (broken := self._broken.get(ref)) is not None:
            return broken.uid == uid and broken.version == version
        held = self.store.get(ref) if ref is not None else None
        return held is not None and held.metadata.uid == uid and held.metadata.resource_version == version

    def _put(self, ref: Ref, item: T, *, force: bool) -> list[StoreChange[T]]:
        held = self.store.get(ref)
        if held is None:
            self.store.put(item)
            return [*self._mend(ref), Put(item)]
        order = compare_versions(item.metadata.resource_version, held.metadata.resource_version)
        if order == -1 and not force:
            return []
        if held.metadata.uid != item.metadata.uid:
            # Deleted and made anew, unseen: consumers keep state per object, so they are told both.
            self.store.put(item)
            return [*self._mend(ref), Deleted(held), Put(item)]
        if order == 0 and not (force and held != item):
            return self._mend(ref)
        self.store.put(item)
        return [*self._mend(ref), Put(item)]

    def _break(self, broken: Broken) -> list[StoreChange[T]]:
        changes: list[StoreChange[T]] = []
        if broken.ref is not None:
            held = self.store.get(broken.ref)
            if held is not None and held.metadata.uid != broken.uid:
                self.store.remove(broken.ref)
                changes.append(Deleted(held))
        known = self._broken.get(broken.ref)
        self._broken[broken.ref] = broken
        if known is None or known.error != broken.error:
            changes.append(Undecodable(broken.ref, broken.error))
        return changes

    def _mend(self, ref: Ref | None) -> list[StoreChange[T]]:
        return [Mended(ref)] if self._broken.pop(ref, None) is not None else []
