"""What is to go out, until it goes: resources, removals, statuses.

Laws:
1. What equals what went out before does not go out again.
2. While held, only what is harmless early goes: new Endpoints and Backends. Binds, Listeners, Routes,
   removals and statuses wait until everything that belongs together is there.
"""

from collections.abc import Callable, Iterable
from itertools import chain

from fairlead import snapshot
from fairlead.resources import Kind, Ref
from fairlead.sources import Finding
from fairlead.translate._model import Delta, Encoded
from fairlead.translate._statuses import Forgotten, ObjectStatus

Validate = Callable[[snapshot.Key, bytes], snapshot.Rejection | None]
"""Checks an encoded resource as the proxy will."""

_EARLY = (snapshot.Kind.ENDPOINTS, snapshot.Kind.BACKEND)

_Version = tuple[str, bool, snapshot.Key]
"""Hash, whether it is tentative, and the key itself: one object per key makes whole-dict updates fast."""


class _Stage:
    """What waits of one kind of resource."""

    def __init__(self) -> None:
        self.upserts: dict[snapshot.Key, Encoded] = {}
        self.versions: dict[snapshot.Key, _Version] = {}
        self.removals: dict[snapshot.Key, None] = {}


class Outbox:
    """Collects what changed and gives it out in consistent pieces."""

    def __init__(self, validate: Validate | None) -> None:
        self._validate = validate
        self._sent: dict[snapshot.Key, _Version] = {}
        self._stages = {kind: _Stage() for kind in snapshot.Kind}
        self._statuses: dict[tuple[Kind, Ref], ObjectStatus] = {}
        self._said: dict[tuple[Kind, Ref], ObjectStatus] = {}
        self._forgotten: dict[tuple[Kind, Ref], None] = {}

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
                stage.versions.pop(key, None)
                return self._verdict(key, body)
        stage.upserts[key] = Encoded(key, version, body, tentative)
        stage.versions[key] = (version, tentative, key)
        return self._verdict(key, body)

    def remove(self, key: snapshot.Key) -> None:
        """Has a resource removed."""
        stage = self._stages[key.kind]
        stage.upserts.pop(key, None)
        stage.versions.pop(key, None)
        if key in self._sent:
            stage.removals[key] = None

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
            if isinstance(status, Forgotten):
                self._forgotten[name] = None

    def version(self, key: snapshot.Key) -> str | None:
        """The version that is out; None for none."""
        sent = self._sent.get(key)
        return None if sent is None else sent[0]

    def take(self, *, held: bool, findings: tuple[Finding, ...]) -> Delta | None:
        """What may go now; None if that is nothing."""
        # Ten thousand resources may wait here: everything is done by whole dicts, nothing one by one.
        stages = [stage for kind, stage in self._stages.items() if not held or kind in _EARLY]
        upserts = tuple(chain.from_iterable(stage.upserts.values() for stage in stages))
        removals: tuple[snapshot.Key, ...] = ()
        statuses: tuple[ObjectStatus, ...] = ()
        for stage in stages:
            self._sent.update(stage.versions)
            stage.upserts.clear()
            stage.versions.clear()
        if not held:
            removals = tuple(chain.from_iterable(stage.removals for stage in reversed(stages)))
            statuses = tuple(self._statuses.values())
            self._settle(removals)
        if not (upserts or removals or statuses or findings):
            return None
        return Delta(upserts=upserts, removals=removals, statuses=statuses, findings=findings)

    def _settle(self, removals: Iterable[snapshot.Key]) -> None:
        for key in removals:
            del self._sent[key]
        for stage in self._stages.values():
            stage.removals.clear()
        self._said.update(self._statuses)
        self._statuses.clear()
        for name in self._forgotten:
            if isinstance(self._said.get(name), Forgotten):
                del self._said[name]
        self._forgotten.clear()

    def _verdict(self, key: snapshot.Key, body: bytes) -> snapshot.Rejection | None:
        return None if self._validate is None else self._validate(key, body)

    def __bool__(self) -> bool:
        return bool(self._statuses) or any(stage.upserts or stage.removals for stage in self._stages.values())
