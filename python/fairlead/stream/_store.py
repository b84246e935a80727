"""The current Snapshot: what every proxy should have.

Laws:
1. A resource enters only if the proxy's own code finds it valid; a refused one leaves its last good version
   in force, is reported until it is mended or removed, and holds nothing else up.
2. Nothing is streamed before `open()`: the runtime opens when every required kind has been listed and
   translated once.
3. While a resource is tentative (computed without a kind that could not be listed yet), Backends and
   Endpoints that the Snapshot no longer names are not taken from a proxy: what it kept may need them.
4. `generation` counts commits that changed something.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Protocol

from fairlead.snapshot import (
    Endpoints,
    EndpointsDelta,
    Key,
    Kind,
    Rejection,
    encode_resource,
)
from fairlead.stream._endpoints import BaseUnknownError, EndpointSet
from fairlead.translate import Delta, Encoded

Validate = Callable[[Key, bytes], Rejection | None]
"""The verdict of the proxy's code on one encoded resource."""


class Version(Protocol):
    """The version of a resource that is in force."""

    @property
    def hash(self) -> str: ...

    @property
    def body(self) -> bytes: ...


class Store:
    """The Snapshot by key, fed by translation, read by the sessions."""

    def __init__(self, validate: Validate) -> None:
        self._validate = validate
        self._versions: dict[Key, Encoded | EndpointSet] = {}
        self._tentative: set[Key] = set()
        self._refused: dict[Key, Rejection] = {}
        self._refused_endpoints: dict[Key, EndpointSet] = {}
        self.generation = 0
        self.is_open = False

    def open(self) -> None:
        """Lets sessions stream from now on."""
        self.is_open = True

    def __contains__(self, key: Key) -> bool:
        return key in self._versions

    def __iter__(self) -> Iterator[Key]:
        return iter(self._versions)

    def __len__(self) -> int:
        return len(self._versions)

    def get(self, key: Key) -> Version | None:
        """The version in force."""
        return self._versions.get(key)

    def endpoints_since(self, key: Key, base: str) -> EndpointsDelta | None:
        """The way from version `base` of these Endpoints to now, where it is known."""
        version = self._versions.get(key)
        return version.since(base) if isinstance(version, EndpointSet) else None

    def is_tentative(self, key: Key) -> bool:
        """Whether a proxy that has any version of it keeps that one (law 3)."""
        return key in self._tentative

    def keeps_unnamed(self, kind: Kind) -> bool:
        """Whether resources of this kind stay with a proxy though the Snapshot does not name them (law 3)."""
        return bool(self._tentative) and kind in (Kind.BACKEND, Kind.ENDPOINTS)

    @property
    def refused(self) -> Mapping[Key, Rejection]:
        """What was not let in, with the reason."""
        return MappingProxyType(self._refused)

    def commit(self, delta: Delta) -> frozenset[Key]:
        """Takes one consistent piece of translation; returns the keys that a session must look at."""
        changed: set[Key] = set()
        for encoded in delta.upserts:
            if self._upsert(encoded):
                changed.add(encoded.key)
        for endpoints in delta.endpoints:
            if self._apply(endpoints):
                changed.add(Key(Kind.ENDPOINTS, endpoints.name))
        for key in delta.removals:
            self._refused.pop(key, None)
            self._refused_endpoints.pop(key, None)
            self._tentative.discard(key)
            if self._versions.pop(key, None) is not None:
                changed.add(key)
        if changed:
            self.generation += 1
        return frozenset(changed)

    def _upsert(self, encoded: Encoded) -> bool:
        key = encoded.key
        changed = (key in self._tentative) != encoded.tentative
        (self._tentative.add if encoded.tentative else self._tentative.discard)(key)
        held = self._versions.get(key)
        if held is not None and held.hash == encoded.hash:
            self._refused.pop(key, None)
            self._refused_endpoints.pop(key, None)
            return changed
        rejection = self._validate(key, encoded.body)
        if rejection is not None:
            self._refused[key] = rejection
            if key.kind is Kind.ENDPOINTS:
                self._refused_endpoints[key] = EndpointSet(encoded.hash, encoded.body)
            return changed and held is not None
        is_set = key.kind is Kind.ENDPOINTS
        self._admit(key, EndpointSet(encoded.hash, encoded.body) if is_set else encoded)
        return True

    def _apply(self, delta: EndpointsDelta) -> bool:
        key = Key(Kind.ENDPOINTS, delta.name)
        refused = self._refused_endpoints.get(key)
        if refused is not None:
            refused.apply(delta)
            rejection = self._validate(key, refused.body)
            if rejection is None:
                self._admit(key, refused)
                return True
            self._refused[key] = rejection
            return False
        held = self._versions.get(key)
        if not isinstance(held, EndpointSet):
            raise BaseUnknownError(f"endpoints of {delta.name}: a change, but never sent whole")
        news = Endpoints(endpoints=tuple(sorted(delta.upserts, key=lambda endpoint: endpoint.id)))
        rejection = self._validate(key, encode_resource(news)) if delta.upserts else None
        if rejection is not None:
            wanted = EndpointSet(held.hash, held.body)
            wanted.apply(delta)
            self._refused_endpoints[key] = wanted
            self._refused[key] = rejection
            return False
        held.apply(delta)
        return True

    def _admit(self, key: Key, version: Encoded | EndpointSet) -> None:
        self._versions[key] = version
        self._refused.pop(key, None)
        self._refused_endpoints.pop(key, None)
