"""The Endpoints of one Backend, kept up to date slice by slice.

Laws:
1. What it holds is what `merge` gives for all its slices; a property test says so.
2. A changed slice costs what changed in it, whatever the number of other endpoints. The exceptions are
   a change of the address family, and topology hints (a rule over all endpoints): they cost a merge.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import reduce

import msgspec

from fairlead import snapshot
from fairlead.translate._endpoints import (
    Candidate,
    SliceView,
    choose_family,
    combine,
    identity,
    merge,
    outranks,
)

_Target = tuple[str, int]


class Changes(msgspec.Struct, frozen=True, gc=False):
    """How a set differs from what it was."""

    upserts: tuple[snapshot.Endpoint, ...] = ()
    removals: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.upserts or self.removals)


class EndpointSet:
    """The union of a Backend's slices."""

    def __init__(self, *, zone: str = "", node: str = "") -> None:
        self._zone = zone
        self._node = node
        self._views: dict[str, SliceView] = {}
        self._family = ""
        # Tuples, because nearly all have one entry, and there may be tens of thousands.
        self._by_id: dict[str, tuple[tuple[str, Candidate], ...]] = {}
        """Per identity what each slice says of it, in the order of the slices' names."""
        self._by_target: dict[_Target, tuple[str, ...]] = {}
        """The identities that carry an address and port."""
        self._listed: dict[_Target, snapshot.Endpoint] = {}
        self._sorted: list[snapshot.Endpoint] = []

    @property
    def endpoints(self) -> tuple[snapshot.Endpoint, ...]:
        """All Endpoints, sorted by id."""
        return tuple(self._sorted)

    def update(self, views: Mapping[str, SliceView], families: Sequence[str]) -> Changes:
        """Takes all slices, by name; gives what changed. Views that are the same object did not change."""
        before, self._views = self._views, dict(views)
        family = choose_family((view.family for view in views.values() if view.candidates), families)
        hinted = self._hints_count(before) or self._hints_count(self._views)
        if hinted or (family != self._family and family is not None):
            self._family = family or ""
            return self._rebuild(families)
        touched: set[_Target] = set()
        for name in before.keys() | views.keys():
            old, new = before.get(name), views.get(name)
            if old is not new:
                self._replace(name, self._members(old), self._members(new), touched)
        return self._settle(touched)

    def _hints_count(self, views: Mapping[str, SliceView]) -> bool:
        return bool(self._zone or self._node) and any(view.hinted for view in views.values())

    def _rebuild(self, families: Sequence[str]) -> Changes:
        before = {endpoint.id: endpoint for endpoint in self._sorted}
        self._sorted = list(
            merge(
                (self._views[name] for name in sorted(self._views)),
                families,
                zone=self._zone,
                node=self._node,
            )
        )
        self._listed = {(item.address, item.port): item for item in self._sorted}
        self._by_id.clear()
        self._by_target.clear()
        for name, view in self._views.items():
            self._replace(name, {}, self._members(view), set())
        upserts = tuple(endpoint for endpoint in self._sorted if before.pop(endpoint.id, None) != endpoint)
        return Changes(upserts, tuple(sorted(before)))

    def _members(self, view: SliceView | None) -> dict[str, Candidate]:
        if view is None or view.family != self._family:
            return {}
        members: dict[str, Candidate] = {}
        for candidate in view.candidates:
            key = candidate.endpoint.id
            members[key] = combine(members[key], candidate) if key in members else candidate
        return members

    def _replace(
        self, name: str, old: dict[str, Candidate], new: dict[str, Candidate], touched: set[_Target]
    ) -> None:
        for key, candidate in old.items():
            if key not in new:
                self._say(key, name, None)
                touched.add(_target(candidate))
        for key, candidate in new.items():
            if old.get(key) != candidate:
                self._say(key, name, candidate)
                touched.add(_target(candidate))

    def _say(self, key: str, name: str, candidate: Candidate | None) -> None:
        """Notes what a slice says of an identity; None for nothing any more."""
        before = self._by_id.get(key, ())
        after = [entry for entry in before if entry[0] != name]
        if candidate is not None:
            after.append((name, candidate))
            after.sort(key=_slice_name)
        target = _target((after or before)[0][1])
        if after:
            self._by_id[key] = tuple(after)
            if not before:
                self._by_target[target] = (*self._by_target.get(target, ()), key)
        else:
            del self._by_id[key]
            left = tuple(other for other in self._by_target[target] if other != key)
            if left:
                self._by_target[target] = left
            else:
                del self._by_target[target]

    def _settle(self, touched: set[_Target]) -> Changes:
        upserts: list[snapshot.Endpoint] = []
        removals: list[str] = []
        for target in touched:
            winner, listed = self._winner(target), self._listed.get(target)
            if winner == listed:
                continue
            if listed is not None and (winner is None or winner.id != listed.id):
                del self._sorted[self._position(listed.id)]
                removals.append(listed.id)
            if winner is None:
                del self._listed[target]
            else:
                self._listed[target] = winner
                self._put(winner)
                upserts.append(winner)
        upserts.sort(key=identity)
        return Changes(tuple(upserts), tuple(sorted(removals)))

    def _winner(self, target: _Target) -> snapshot.Endpoint | None:
        """Which of the Pods that carry an address and port is behind it."""
        winner: snapshot.Endpoint | None = None
        for key in self._by_target.get(target, ()):
            candidate = reduce(combine, (candidate for _, candidate in self._by_id[key]))
            if winner is None or outranks(candidate.endpoint, winner):
                winner = candidate.endpoint
        return winner

    def _position(self, key: str) -> int:
        return bisect_left(self._sorted, key, key=identity)

    def _put(self, endpoint: snapshot.Endpoint) -> None:
        position = self._position(endpoint.id)
        if position < len(self._sorted) and self._sorted[position].id == endpoint.id:
            self._sorted[position] = endpoint
        else:
            self._sorted.insert(position, endpoint)


def _slice_name(entry: tuple[str, Candidate]) -> str:
    return entry[0]


def _target(candidate: Candidate) -> _Target:
    return candidate.endpoint.address, candidate.endpoint.port
