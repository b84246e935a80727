"""What is to go out, until it goes: resources, removals, statuses.

Laws:
1. What equals what went out before does not go out again.
2. While held, only what is harmless early goes: new Endpoints and Backends. Binds, Listeners, Routes,
   removals and statuses wait until everything that belongs together is there.
3. What then goes at once may be much: it goes in parts of at most `part` items, one per `take`, so that nobody has
   to do more at a time than a part. They are cut off as they go. Nothing may be put or removed until the last
   one has gone.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
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
        self._stages = _stages()
        self._statuses: dict[tuple[Kind, Ref], ObjectStatus] = {}
        self._said: dict[tuple[Kind, Ref], ObjectStatus] = {}
        self._leaving: Iterator[Delta] = iter(())
        self._ahead: Delta | None = None
        """The next of those that leave."""

    @property
    def leaving(self) -> bool:
        """Whether parts are on their way (law 3)."""
        return self._ahead is not None

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
        if self._ahead is None:
            self._leaving = self._pieces(held=held)
            self._ahead = next(self._leaving, None)
        if self._ahead is None:
            return Delta(findings=findings) if findings else None
        piece, self._ahead = self._ahead, next(self._leaving, None)
        self._went(piece)
        return msgspec.structs.replace(piece, findings=findings) if findings else piece

    def _pieces(self, *, held: bool) -> Iterator[Delta]:
        """All that may go now, taken from the stages at once, and cut when it is asked for."""
        if held:
            early = _taken(self._stages[kind] for kind in _EARLY)
            return iter((Delta(upserts=early),) if early else ())
        late = sum(len(self._stages[kind].upserts) for kind in _LATE)
        removals = sum(len(stage.removals) for stage in self._stages.values())
        stages, self._stages = self._stages, _stages()
        statuses, self._statuses = self._statuses, {}
        if late + removals + len(statuses) <= self._part:
            return _small(stages, statuses)
        return self._big(stages, statuses)

    def _big(
        self, stages: dict[snapshot.Kind, _Stage], statuses: dict[tuple[Kind, Ref], ObjectStatus]
    ) -> Iterator[Delta]:
        early = _taken(stages[kind] for kind in _EARLY)
        if early:
            yield Delta(upserts=early)
        upserts = chain.from_iterable(stages[kind].upserts.values() for kind in _LATE)
        removals = chain.from_iterable(stages[kind].removals for kind in reversed(snapshot.Kind))
        before: Delta | None = None
        for part in chain(
            (Delta(part=Part.MORE, upserts=some) for some in self._cut(upserts)),
            (Delta(part=Part.MORE, removals=some) for some in self._cut(removals)),
        ):
            if before is not None:
                yield before
            before = part
        if before is not None:
            yield msgspec.structs.replace(before, part=Part.LAST)
        for some in self._cut(statuses.values()):
            yield Delta(statuses=some)

    def _cut(self, items: Iterable[_T]) -> Iterator[tuple[_T, ...]]:
        rest = iter(items)
        while some := tuple(islice(rest, self._part)):
            yield some

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
        if self.leaving or self._statuses:
            return True
        return any(stage.upserts or stage.removals for stage in self._stages.values())


def _stages() -> dict[snapshot.Kind, _Stage]:
    return {kind: _Stage() for kind in snapshot.Kind}


def _taken(stages: Iterable[_Stage]) -> tuple[Encoded, ...]:
    """The upserts, taken out of their stages."""
    found: list[Encoded] = []
    for stage in stages:
        found += stage.upserts.values()
        stage.upserts.clear()
    return tuple(found)


def _small(
    stages: dict[snapshot.Kind, _Stage], statuses: dict[tuple[Kind, Ref], ObjectStatus]
) -> Iterator[Delta]:
    upserts = tuple(chain.from_iterable(stages[kind].upserts.values() for kind in snapshot.Kind))
    removals = tuple(chain.from_iterable(stages[kind].removals for kind in reversed(snapshot.Kind)))
    if upserts or removals or statuses:
        yield Delta(upserts=upserts, removals=removals, statuses=tuple(statuses.values()))
