"""What is to go out, until it goes: resources, removals, statuses.

Laws:
1. What equals what went out before does not go out again.
2. While held, only what is harmless early goes: new Endpoints and Backends. Binds, Listeners, Routes,
   removals and statuses wait until everything that belongs together is there.
3. What then goes at once may be much: it goes in parts of at most `part` items, one per `take`, so that nobody has
   to do more at a time than a part. Nothing may be put or removed until the last part has gone.
"""

from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain
from typing import TypeVar

import msgspec

from fairlead import snapshot
from fairlead.resources import Kind, Ref
from fairlead.sources import Finding
from fairlead.translate._model import Delta, Encoded, Part
from fairlead.translate._statuses import Forgotten, ObjectStatus

Validate = Callable[[snapshot.Key, bytes], snapshot.Rejection | None]
"""Checks an encoded resource as the proxy will."""

_EARLY = (snapshot.Kind.ENDPOINTS, snapshot.Kind.BACKEND)
_LATE = tuple(kind for kind in snapshot.Kind if kind not in _EARLY)

_T = TypeVar("_T")

PART = 256
"""Items of a part: about a millisecond for each of those whose hands it goes through."""

_Version = tuple[str, bool, snapshot.Key]
"""Hash, whether it is tentative, and the key itself: one object per key makes whole-dict updates fast."""


class _Stage:
    """What waits of one kind of resource."""

    def __init__(self) -> None:
        self.upserts: dict[snapshot.Key, Encoded] = {}
        self.removals: dict[snapshot.Key, None] = {}


class Outbox:
    """Collects what changed and gives it out in consistent pieces."""

    def __init__(self, validate: Validate | None, *, part: int = PART) -> None:
        self._validate = validate
        self._part = part
        self._sent: dict[snapshot.Key, _Version] = {}
        self._stages = {kind: _Stage() for kind in snapshot.Kind}
        self._statuses: dict[tuple[Kind, Ref], ObjectStatus] = {}
        self._said: dict[tuple[Kind, Ref], ObjectStatus] = {}
        self._leaving: deque[Delta] = deque()

    @property
    def leaving(self) -> bool:
        """Whether parts are on their way (law 3)."""
        return bool(self._leaving)

    def put(
        self, key: snapshot.Key, resource: snapshot.Resource, *, tentative: bool = False
    ) -> snapshot.Rejection | None:
        """Has a resource go out if it changed; tells if proxies will refuse it.

        A refused one goes out all the same: who keeps the versions (stream) keeps the last good one in
        force and lists the refusal.
        """
        body = snapshot.encode_resource(resource)
        stage = self._stages[key.kind]
        stage.removals.pop(key, None)
        version = snapshot.content_hash(body)
        sent = self._sent.get(key)
        if sent is not None:
            key = sent[2]
            if sent[0] == version and sent[1] == tentative:
                stage.upserts.pop(key, None)
                return self._verdict(key, body)
        stage.upserts[key] = Encoded(key, version, body, tentative)
        return self._verdict(key, body)

    def remove(self, key: snapshot.Key) -> None:
        """Has a resource removed."""
        stage = self._stages[key.kind]
        stage.upserts.pop(key, None)
        sent = self._sent.get(key)
        if sent is not None:
            stage.removals[sent[2]] = None

    def keep(self, key: snapshot.Key) -> None:
        """Takes back a removal that has not gone out."""
        self._stages[key.kind].removals.pop(key, None)

    def moved(self, key: snapshot.Key, version: str) -> None:
        """Endpoints went from version to version in the endpoint lane."""
        _, tentative, known = self._sent[key]
        self._sent[known] = (version, tentative, known)

    def say(self, status: ObjectStatus) -> None:
        """Has a status told if it changed."""
        name = (status.kind, status.ref)
        known = self._said.get(name)
        if known == status or (known is None and isinstance(status, Forgotten)):
            self._statuses.pop(name, None)
        else:
            self._statuses[name] = status

    def version(self, key: snapshot.Key) -> str | None:
        """The version that is out; None for none."""
        sent = self._sent.get(key)
        return None if sent is None else sent[0]

    def take(self, *, held: bool, findings: tuple[Finding, ...]) -> Delta | None:
        """What may go now, or the next part of it; None if that is nothing."""
        if not self._leaving:
            self._leaving.extend(self._pieces(held=held))
        if not self._leaving:
            return Delta(findings=findings) if findings else None
        piece = self._leaving.popleft()
        self._went(piece)
        return msgspec.structs.replace(piece, findings=findings) if findings else piece

    def _pieces(self, *, held: bool) -> list[Delta]:
        """All that may go now, taken from the stages."""
        if held:
            early = self._upserts(_EARLY)
            return [Delta(upserts=early)] if early else []
        late = sum(len(self._stages[kind].upserts) for kind in _LATE)
        removals = tuple(chain.from_iterable(self._stages[kind].removals for kind in reversed(snapshot.Kind)))
        for stage in self._stages.values():
            stage.removals.clear()
        statuses = tuple(self._statuses.values())
        self._statuses.clear()
        if late + len(removals) + len(statuses) <= self._part:
            upserts = self._upserts(snapshot.Kind)
            if not (upserts or removals or statuses):
                return []
            return [Delta(upserts=upserts, removals=removals, statuses=statuses)]
        early = self._upserts(_EARLY)
        before = [Delta(upserts=early)] if early else []
        parts = [Delta(part=Part.MORE, upserts=some) for some in self._cut(self._upserts(_LATE))]
        parts += [Delta(part=Part.MORE, removals=some) for some in self._cut(removals)]
        if parts:
            parts[-1] = msgspec.structs.replace(parts[-1], part=Part.LAST)
        return [*before, *parts, *(Delta(statuses=some) for some in self._cut(statuses))]

    def _upserts(self, kinds: Iterable[snapshot.Kind]) -> tuple[Encoded, ...]:
        stages = [self._stages[kind] for kind in kinds]
        upserts = tuple(chain.from_iterable(stage.upserts.values() for stage in stages))
        for stage in stages:
            stage.upserts.clear()
        return upserts

    def _cut(self, items: tuple[_T, ...]) -> list[tuple[_T, ...]]:
        return [items[start : start + self._part] for start in range(0, len(items), self._part)]

    def _went(self, piece: Delta) -> None:
        """Notes what is out."""
        for item in piece.upserts:
            self._sent[item.key] = (item.hash, item.tentative, item.key)
        for key in piece.removals:
            del self._sent[key]
        for status in piece.statuses:
            name = (status.kind, status.ref)
            if isinstance(status, Forgotten):
                self._said.pop(name, None)
            else:
                self._said[name] = status

    def _verdict(self, key: snapshot.Key, body: bytes) -> snapshot.Rejection | None:
        return None if self._validate is None else self._validate(key, body)

    def __bool__(self) -> bool:
        waiting = self._leaving or self._statuses
        return bool(waiting) or any(stage.upserts or stage.removals for stage in self._stages.values())
