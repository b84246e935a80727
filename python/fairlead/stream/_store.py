"""The current Snapshot: what every proxy should have.

Laws:
1. A resource enters only if the proxy's own code finds it valid; a refused one leaves its last good version
   in force, is reported until it is mended or removed, and holds nothing else up.
2. Nothing is streamed before `open()`: the runtime opens when every required kind has been listed and
   translated once.
3. While a resource is tentative (computed without a kind that could not be listed yet), Backends and
   Endpoints that the Snapshot no longer names are not taken from a proxy: what it kept may need them.
4. `generation` counts commits that changed something.
5. The parts of a Delta are staged: nothing of them is in force before the last, which moves the edition and costs
   no more than any other part. Endpoints may change meanwhile; no part brings any.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from fairlead.snapshot import (
    Endpoints,
    EndpointsDelta,
    Key,
    Kind,
    Rejection,
    encode_resource,
)
from fairlead.stream._editions import Editions, Version, View
from fairlead.stream._endpoints import BaseUnknownError, EndpointSet
from fairlead.stream._keys import Keys
from fairlead.translate import Delta, Encoded, Part

_FREED = 512
"""Versions that nobody needs any more, and that are freed at a time."""

Validate = Callable[[Key, bytes], Rejection | None]
"""The verdict of the proxy's code on one encoded resource."""


class _Stage:
    """What a Delta changes beside the versions, in parts or at once, before it is in force."""

    def __init__(self) -> None:
        self.changed = Keys()
        self.refused: dict[Key, Rejection] = {}
        self.refused_endpoints: dict[Key, EndpointSet] = {}
        self.mended: list[Key] = []


class Store:
    """The Snapshot by key, fed by translation, read by the sessions."""

    def __init__(self, validate: Validate) -> None:
        self._validate = validate
        self._editions = Editions()
        self._refused: dict[Key, Rejection] = {}
        self._refused_endpoints: dict[Key, EndpointSet] = {}
        self._stage = _Stage()
        self._staging = False
        self.generation = 0
        self.is_open = False

    def open(self) -> None:
        """Lets sessions stream from now on."""
        self.is_open = True

    def __contains__(self, key: Key) -> bool:
        return self.get(key) is not None

    def __iter__(self) -> Iterator[Key]:
        return iter(self._editions)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def get(self, key: Key) -> Version | None:
        """The version in force."""
        return self._editions.get(key, self._editions.edition)

    @property
    def edition(self) -> int:
        """Rises whenever anything but single Endpoints changes."""
        return self._editions.edition

    def view(self) -> View:
        """What is in force now, to be read later."""
        return self._editions.view()

    @property
    def refused(self) -> Mapping[Key, Rejection]:
        """What was not let in, with the reason."""
        return MappingProxyType(self._refused)

    def commit(self, delta: Delta) -> Keys:
        """Takes what translation gives; returns the keys that a session must look at."""
        self.tidy()
        changed = Keys(Key(Kind.ENDPOINTS, item.name) for item in delta.endpoints if self._apply(item))
        if delta.part is not Part.WHOLE or delta.upserts or delta.removals:
            changed = self._take(delta, changed)
        if changed:
            self.generation += 1
        return changed

    def tidy(self) -> bool:
        """Frees some of what nobody needs any more; whether there is more of it."""
        return self._editions.tidy(_FREED)

    def _take(self, delta: Delta, changed: Keys) -> Keys:
        if self._staging and delta.part is Part.WHOLE:
            raise ValueError("between the parts of a Delta only Endpoints may change")
        for encoded in delta.upserts:
            self._stage_upsert(encoded)
        for key in delta.removals:
            self._stage_removal(key)
        self._staging = delta.part is Part.MORE
        return changed if self._staging else self._enforce(changed)

    def _stage_upsert(self, encoded: Encoded) -> None:
        key, stage, editions = encoded.key, self._stage, self._editions
        held = version = self.get(key)
        if held is None or held.hash != encoded.hash:
            made = EndpointSet(encoded.hash, encoded.body) if key.kind is Kind.ENDPOINTS else encoded
            rejection = self._validate(key, encoded.body)
            if rejection is None:
                version = made
            else:
                stage.refused[key] = rejection
                if isinstance(made, EndpointSet):
                    stage.refused_endpoints[key] = made
        if version is not held or editions.is_tentative(key, editions.edition) != encoded.tentative:
            editions.stage(key, version, tentative=encoded.tentative)
            if version is not None:
                stage.changed.add(key)
        if key in self._refused and key not in stage.refused:
            stage.mended.append(key)

    def _stage_removal(self, key: Key) -> None:
        editions = self._editions
        if key in self:
            self._stage.changed.add(key)
            editions.stage(key, None, tentative=False)
        elif editions.is_tentative(key, editions.edition):
            editions.stage(key, None, tentative=False)
        if key in self._refused:
            self._stage.mended.append(key)

    def _enforce(self, changed: Keys) -> Keys:
        """Puts into force what was staged; gives what that changed, together with `changed`."""
        stage, self._stage = self._stage, _Stage()
        self._editions.advance()
        for key in stage.mended:
            self._mended(key)
        for key in [key for key in self._refused_endpoints if key in stage.changed and key not in self]:
            self._mended(key)  # refused after its removal was staged
        self._refused.update(stage.refused)
        self._refused_endpoints.update(stage.refused_endpoints)
        stage.changed.update(changed)
        return stage.changed

    def _apply(self, delta: EndpointsDelta) -> bool:
        key = Key(Kind.ENDPOINTS, delta.name)
        refused = self._refused_endpoints.get(key)
        if refused is not None:
            refused.apply(delta)
            rejection = self._validate(key, refused.body)
            if rejection is None:
                self._editions.amend(key, refused)
                self._mended(key)
                return True
            self._refused[key] = rejection
            return False
        held = self.get(key)
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
