"""The current Snapshot: what every proxy should have.

Laws:
1. A resource enters only if the proxy's own code finds it valid; a refused one leaves its last good version
   in force, is reported until it is mended or removed, and holds nothing else up.
2. Nothing is streamed before `open()`: the runtime opens when every required kind has been listed and
   translated once.
3. While a resource is tentative (computed without a kind that could not be listed yet), Backends and
   Endpoints that the Snapshot no longer names are not taken from a proxy: what it kept may need them.
4. `generation` counts commits that changed something.
5. The parts of a Delta are staged: nothing of them is in force before the last, which costs whole-dict operations
   only. Endpoints may change meanwhile; no part brings any.
"""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
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
from fairlead.translate import Delta, Encoded, Part

_FREED = 1024
"""Removed resources that one commit frees."""

Validate = Callable[[Key, bytes], Rejection | None]
"""The verdict of the proxy's code on one encoded resource."""


class Version(Protocol):
    """The version of a resource that is in force."""

    @property
    def hash(self) -> str: ...

    @property
    def body(self) -> bytes: ...


class View:
    """What is in force at one time. Only Endpoints go on: they are as they are when they are read."""

    def __init__(self, versions: Mapping[Key, Encoded | EndpointSet], tentative: AbstractSet[Key]) -> None:
        self._versions = versions
        self._tentative = tentative

    @property
    def keys(self) -> AbstractSet[Key]:
        """What is in force."""
        return self._versions.keys()

    def get(self, key: Key) -> Version | None:
        """The version in force."""
        return self._versions.get(key)

    def endpoints_since(self, key: Key, base: str) -> EndpointsDelta | None:
        """The way from version `base` of these Endpoints to now, where it is known."""
        version = self._versions.get(key)
        return version.since(base) if isinstance(version, EndpointSet) else None

    def is_tentative(self, key: Key) -> bool:
        """Whether a proxy that has any version of it keeps that one (law 3 of the Store)."""
        return key in self._tentative

    def keeps_unnamed(self, kind: Kind) -> bool:
        """Whether resources of this kind stay with a proxy though they are not named (law 3 of the Store)."""
        return bool(self._tentative) and kind in (Kind.BACKEND, Kind.ENDPOINTS)


class _Stage:
    """What a Delta changes, in parts or at once, before it is in force."""

    def __init__(self) -> None:
        self.versions: dict[Key, Encoded | EndpointSet] = {}
        self.tentative: dict[Key, bool] = {}
        self.refused: dict[Key, Rejection] = {}
        self.refused_endpoints: dict[Key, EndpointSet] = {}
        self.mended: list[Key] = []
        self.removals: dict[Key, None] = {}
        self.absent: list[Key] = []
        """Removals of what is not in force, but may be refused."""
        self.touched: list[Key] = []
        """Same version, but tentative or no longer."""


class Store:
    """The Snapshot by key, fed by translation, read by the sessions."""

    def __init__(self, validate: Validate) -> None:
        self._validate = validate
        self._versions: dict[Key, Encoded | EndpointSet] = {}
        self._tentative: set[Key] = set()
        self._refused: dict[Key, Rejection] = {}
        self._refused_endpoints: dict[Key, EndpointSet] = {}
        self._stage = _Stage()
        self._gone: list[Version | None] = []
        """What was removed; to free ten thousand at once takes long, so each commit frees some."""
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

    def view(self, keys: AbstractSet[Key] | None = None) -> View:
        """What is in force now; of all keys, or at least of those given."""
        if keys is not None and len(keys) * 8 < len(self._versions):
            some = {key: version for key in keys if (version := self._versions.get(key)) is not None}
            return View(some, self._tentative.copy())
        return View(self._versions.copy(), self._tentative.copy())

    @property
    def refused(self) -> Mapping[Key, Rejection]:
        """What was not let in, with the reason."""
        return MappingProxyType(self._refused)

    def commit(self, delta: Delta) -> AbstractSet[Key]:
        """Takes what translation gives; returns the keys that a session must look at."""
        del self._gone[-_FREED:]
        changed = {Key(Kind.ENDPOINTS, item.name) for item in delta.endpoints if self._apply(item)}
        stage = _Stage() if delta.part is Part.WHOLE else self._stage
        for encoded in delta.upserts:
            self._prepare(encoded, stage)
        stage.absent.extend(key for key in delta.removals if key not in self._versions)
        stage.removals.update((key, None) for key in delta.removals if key in self._versions)
        if delta.part is Part.LAST:
            self._stage = _Stage()
        if delta.part is not Part.MORE:
            self._enforce(stage, changed)
        if changed:
            self.generation += 1
        return changed

    def _prepare(self, encoded: Encoded, stage: _Stage) -> None:
        key = encoded.key
        retouched = (key in self._tentative) != encoded.tentative
        if retouched:
            stage.tentative[key] = encoded.tentative
        held = self._versions.get(key)
        if held is None or held.hash != encoded.hash:
            is_set = key.kind is Kind.ENDPOINTS
            version = EndpointSet(encoded.hash, encoded.body) if is_set else encoded
            rejection = self._validate(key, encoded.body)
            if rejection is None:
                stage.versions[key] = version
            else:
                stage.refused[key] = rejection
                if isinstance(version, EndpointSet):
                    stage.refused_endpoints[key] = version
        if held is not None and retouched:
            stage.touched.append(key)
        if key in self._refused and key not in stage.refused:
            stage.mended.append(key)

    def _enforce(self, stage: _Stage, changed: set[Key]) -> None:
        """Puts into force what was staged, and adds what that changed."""
        for key, tentative in stage.tentative.items():
            (self._tentative.add if tentative else self._tentative.discard)(key)
        for key in stage.mended:
            self._mended(key)
        self._refused.update(stage.refused)
        self._refused_endpoints.update(stage.refused_endpoints)
        self._versions.update(stage.versions)
        changed.update(stage.versions)
        changed.update(stage.touched)
        changed.update(stage.removals)
        self._gone += [self._versions.pop(key, None) for key in stage.removals]
        if self._refused or self._tentative:
            for key in (*stage.removals, *stage.absent):
                self._mended(key)
                self._tentative.discard(key)

    def _apply(self, delta: EndpointsDelta) -> bool:
        key = Key(Kind.ENDPOINTS, delta.name)
        refused = self._refused_endpoints.get(key)
        if refused is not None:
            refused.apply(delta)
            rejection = self._validate(key, refused.body)
            if rejection is None:
                self._versions[key] = refused
                self._mended(key)
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

    def _mended(self, key: Key) -> None:
        self._refused.pop(key, None)
        self._refused_endpoints.pop(key, None)
