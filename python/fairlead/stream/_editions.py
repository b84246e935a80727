"""Versions of resources, each with the edition from which on it is in force.

Laws:
1. What is staged lies in its place, but nobody sees it: `advance` puts all of it into force at once, however much it
   is, because it only moves the edition.
2. A View reads one edition, whatever is staged or put into force meanwhile. It copies nothing.
3. What no View can see any more is let go of by `tidy`, a few at a time: to free ten thousand at once takes long.
"""

from collections import deque
from collections.abc import Iterator
from weakref import WeakSet

import msgspec

from fairlead.snapshot import EndpointsDelta, Key, Kind
from fairlead.stream._endpoints import EndpointSet
from fairlead.translate import Encoded

Version = Encoded | EndpointSet
"""Both have a `hash` and a `body`."""


class _Node(msgspec.Struct, gc=False):
    """One version of a resource, and the way to the one before it."""

    since: int
    version: Version | None
    """None: not in force, because it was removed or is refused."""
    tentative: bool
    before: "_Node | None"


class View:
    """What is in force in one edition. Only Endpoints go on: they are as they are when they are read."""

    __slots__ = ("__weakref__", "_editions", "_some_tentative", "edition")

    def __init__(self, editions: "Editions", edition: int, *, some_tentative: bool) -> None:
        self.edition = edition
        self._editions = editions
        self._some_tentative = some_tentative

    def candidates(self, kind: Kind) -> list[Key]:
        """All that is in force of a kind, and a few keys of which `get` knows nothing."""
        return self._editions.candidates(kind)

    def get(self, key: Key) -> Version | None:
        """The version in force."""
        return self._editions.get(key, self.edition)

    def endpoints_since(self, key: Key, base: str) -> EndpointsDelta | None:
        """The way from version `base` of these Endpoints to now, where it is known."""
        version = self.get(key)
        return version.since(base) if isinstance(version, EndpointSet) else None

    def is_tentative(self, key: Key) -> bool:
        """Whether a proxy that has any version of it keeps that one (law 3 of the Store)."""
        return self._editions.is_tentative(key, self.edition)

    def keeps_unnamed(self, kind: Kind) -> bool:
        """Whether resources of this kind stay with a proxy though they are not named (law 3 of the Store)."""
        return self._some_tentative and kind in (Kind.BACKEND, Kind.ENDPOINTS)


class Editions:
    """All versions that somebody may look at."""

    def __init__(self) -> None:
        self.edition = 0
        """What is in force."""
        self._tables: dict[Kind, dict[Key, _Node]] = {kind: {} for kind in Kind}
        self._tentative = 0
        self._tentative_next = 0
        self._views: WeakSet[View] = WeakSet()
        self._superseded: deque[tuple[int, Key]] = deque()
        """What `tidy` is to look at, with the edition from which on nobody needs what was before."""

    def __iter__(self) -> Iterator[Key]:
        for kind in Kind:
            for key in self.candidates(kind):
                if self.get(key, self.edition) is not None:
                    yield key

    def candidates(self, kind: Kind) -> list[Key]:
        """The keys of a kind of which there is a version in some edition."""
        return list(self._tables[kind])

    def get(self, key: Key, edition: int) -> Version | None:
        """The version in force in an edition."""
        node = self._node(key, edition)
        return None if node is None else node.version

    def is_tentative(self, key: Key, edition: int) -> bool:
        """Whether it was staged as tentative."""
        node = self._node(key, edition)
        return node is not None and node.tentative

    def view(self) -> View:
        """What is in force now."""
        view = View(self, self.edition, some_tentative=self._tentative > 0)
        self._views.add(view)
        return view

    def stage(self, key: Key, version: Version | None, *, tentative: bool) -> None:
        """Puts a version, or its absence, where the next edition will find it."""
        table, edition = self._tables[key.kind], self.edition + 1
        newest = table.get(key)
        self._tentative_next += tentative - (newest is not None and newest.tentative)
        if newest is not None and newest.since == edition:
            newest.version, newest.tentative = version, tentative
        else:
            table[key] = _Node(edition, version, tentative, newest)
        if newest is not None or version is None:
            self._superseded.append((edition, key))

    def advance(self) -> None:
        """Puts into force what was staged."""
        self.edition += 1
        self._tentative += self._tentative_next
        self._tentative_next = 0

    def amend(self, key: Key, version: Version) -> None:
        """Replaces the version in force for all who look at it, or puts a first one into force beside them."""
        table = self._tables[key.kind]
        later, node = None, table.get(key)
        while node is not None and node.since > self.edition:
            later, node = node, node.before
        if node is not None:
            node.version = version
            return
        made = _Node(self.edition, version, tentative=False, before=None)
        if later is None:
            table[key] = made
        else:
            later.before = made

    def tidy(self, most: int) -> bool:
        """Lets go of what nobody can see, `most` versions at the most; whether there is more of it."""
        oldest = min((view.edition for view in self._views), default=self.edition)
        for _ in range(most):
            if not self._superseded or self._superseded[0][0] > oldest:
                return False
            self._trim(self._superseded.popleft()[1], oldest)
        return bool(self._superseded) and self._superseded[0][0] <= oldest

    def _node(self, key: Key, edition: int) -> _Node | None:
        node = self._tables[key.kind].get(key)
        while node is not None and node.since > edition:
            node = node.before
        return node

    def _trim(self, key: Key, oldest: int) -> None:
        node = self._node(key, oldest)
        if node is None:
            return
        table = self._tables[key.kind]
        if node.version is None and not node.tentative and table[key] is node:
            del table[key]
        while node is not None:  # one by one: a long chain that is dropped as a whole is freed by recursion
            node.before, node = None, node.before
