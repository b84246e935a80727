"""What is to go out, until it goes: resources, removals, statuses.

Laws:
1. What equals what went out before does not go out again.
2. While held, only what is harmless early goes: new Endpoints and Backends. Binds, Listeners, Routes,
   removals and statuses wait until everything that belongs together is there.
"""

from collections.abc import Callable, Iterable

from fairlead import snapshot
from fairlead.resources import Kind, Ref
from fairlead.sources import Finding
from fairlead.translate._model import Delta, Encoded
from fairlead.translate._statuses import Forgotten, ObjectStatus

Validate = Callable[[snapshot.Key, bytes], str | None]
"""Checks an encoded resource as the proxy will; gives the reason of a refusal, or None."""

_ORDER = {kind: position for position, kind in enumerate(snapshot.Kind)}
_EARLY = (snapshot.Kind.ENDPOINTS, snapshot.Kind.BACKEND)


class Outbox:
    """Collects what changed and gives it out in consistent pieces."""

    def __init__(self, validate: Validate | None) -> None:
        self._validate = validate
        self._sent: dict[snapshot.Key, tuple[str, bool]] = {}
        self._upserts: dict[snapshot.Key, Encoded] = {}
        self._removals: dict[snapshot.Key, None] = {}
        self._statuses: dict[tuple[Kind, Ref], ObjectStatus] = {}
        self._said: dict[tuple[Kind, Ref], ObjectStatus] = {}

    def put(self, key: snapshot.Key, resource: snapshot.Resource, *, tentative: bool = False) -> str | None:
        """Has a resource go out if it changed; gives the reason if it is refused (and does not go out)."""
        body = snapshot.encode_resource(resource)
        if self._validate is not None:
            refusal = self._validate(key, body)
            if refusal is not None:
                return refusal
        self._removals.pop(key, None)
        version = snapshot.content_hash(body)
        if self._sent.get(key) == (version, tentative):
            self._upserts.pop(key, None)
        else:
            self._upserts[key] = Encoded(key, version, body, tentative)
        return None

    def remove(self, key: snapshot.Key) -> None:
        """Has a resource removed."""
        self._upserts.pop(key, None)
        if key in self._sent:
            self._removals[key] = None

    def keep(self, key: snapshot.Key) -> None:
        """Takes back a removal that has not gone out."""
        self._removals.pop(key, None)

    def moved(self, key: snapshot.Key, version: str) -> None:
        """Endpoints went from version to version in the endpoint lane."""
        self._sent[key] = (version, self._sent[key][1])

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

    def said(self, kind: Kind, ref: Ref) -> ObjectStatus | None:
        """The status last told of an object, or about to be."""
        return self._statuses.get((kind, ref)) or self._said.get((kind, ref))

    def take(self, *, held: bool, findings: tuple[Finding, ...]) -> Delta | None:
        """What may go now; None if that is nothing."""
        upserts = [item for item in self._upserts.values() if not held or item.key.kind in _EARLY]
        removals = [] if held else list(self._removals)
        statuses = () if held else tuple(self._statuses.values())
        if not (upserts or removals or statuses or findings):
            return None
        upserts.sort(key=lambda item: _ORDER[item.key.kind])
        removals.sort(key=lambda key: -_ORDER[key.kind])
        for item in upserts:
            del self._upserts[item.key]
            self._sent[item.key] = (item.hash, item.tentative)
        if not held:
            self._settle(removals)
        return Delta(upserts=tuple(upserts), removals=tuple(removals), statuses=statuses, findings=findings)

    def _settle(self, removals: Iterable[snapshot.Key]) -> None:
        for key in removals:
            del self._sent[key]
        self._removals.clear()
        for name, status in self._statuses.items():
            if isinstance(status, Forgotten):
                self._said.pop(name, None)
            else:
                self._said[name] = status
        self._statuses.clear()

    def __bool__(self) -> bool:
        return bool(self._upserts or self._removals or self._statuses)
