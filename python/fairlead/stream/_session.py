"""One proxy's conversation with the controller, without I/O.

Laws:
1. The proxy speaks first: `Hello` with the number of the contract. Another number ends the conversation.
2. The first update is full: it names everything in scope, with bodies only where the proxy has another
   version. Later ones hold what has changed since the last update, by key: coalescing costs nothing.
3. At most one update is un-acked.
4. What the proxy refused is not sent again until it changes; a refused change of Endpoints, or a version
   that it says it has but cannot keep, is answered with the whole.
5. An ack carries all that is refused: what it no longer names has healed, and the version sent last serves.
6. A tentative resource replaces nothing that the proxy brought along (design: contract, rule 4).
"""

from collections.abc import Iterable, Iterator

import msgspec

from fairlead.base import ErrorSource, FairleadError
from fairlead.snapshot import (
    SCHEMA,
    Ack,
    BindFact,
    EndpointsDelta,
    Facts,
    FromProxy,
    Hello,
    Key,
    Kind,
    Position,
    Rejection,
    Removal,
    Subscribe,
    Telemetry,
    Update,
    Upsert,
    encode_frame,
)
from fairlead.stream._scope import Scope
from fairlead.stream._store import Store
from fairlead.stream._transaction import frames, key_of


class ProtocolError(FairleadError):
    """The proxy broke the contract; its connection is closed and it starts again with `Hello`."""

    code = "StreamProtocol"
    source = ErrorSource.PROXY
    retryable = True


class Greeted(msgspec.Struct, frozen=True):
    """A proxy has said hello."""

    proxy: str
    scope: str
    position: Position | None


class Adopted(msgspec.Struct, frozen=True):
    """All workers of a proxy serve `position`; `rejected` is all that it refuses at present."""

    proxy: str
    position: Position
    rejected: tuple[Rejection, ...]


class FactsLearnt(msgspec.Struct, frozen=True):
    """The state of a proxy's binds."""

    proxy: str
    binds: tuple[BindFact, ...]


class Measured(msgspec.Struct, frozen=True):
    """Counters that somebody subscribed to."""

    proxy: str
    telemetry: Telemetry


class Gone(msgspec.Struct, frozen=True):
    """The connection to a proxy has ended."""

    proxy: str


Event = Greeted | Adopted | FactsLearnt | Measured | Gone


class _InFlight(msgspec.Struct, frozen=True):
    position: Position
    by_delta: frozenset[Key]
    kept: frozenset[Key]
    """Named without a body."""


class Session:
    """Frames of one proxy in, frames for it out; `take_events` tells what was learnt."""

    def __init__(self, store: Store, *, epoch: int, number: int) -> None:
        """`epoch`: milliseconds since the Unix epoch at the controller's start; `number`: of the connection."""
        self._store = store
        self._epoch = epoch
        self._number = number
        self._proxy = ""
        self._scope: Scope | None = None
        self._full_due = True
        self._visible: frozenset[Key] | None = None
        self._known: dict[Key, str] = {}
        self._own_tentative: set[Key] = set()
        self._refused: dict[Key, tuple[str, Rejection]] = {}
        self._unnamed: set[Key] = set()
        self._dirty: set[Key] = set()
        self._event_ms: int | None = None
        self._in_flight: _InFlight | None = None
        self._adopted: Position | None = None
        self._subscribe: Subscribe | None = None
        self._events: list[Event] = []

    @property
    def proxy(self) -> str:
        """The proxy's name for people, unique among connections; empty before its hello."""
        return self._proxy

    def take_events(self) -> list[Event]:
        """What was learnt since the last call."""
        events, self._events = self._events, []
        return events

    def touch(self, keys: Iterable[Key], event_ms: int | None = None) -> None:
        """These keys of the Store may have changed; `event_ms` is the Unix time of the endpoint event."""
        if self._full_due:
            return
        self._dirty.update(keys)
        if event_ms is not None:
            self._event_ms = event_ms if self._event_ms is None else min(event_ms, self._event_ms)

    def subscribe(self, subscribe: Subscribe) -> None:
        """Asks for telemetry; the last wish counts."""
        self._subscribe = subscribe

    def receive(self, frame: FromProxy) -> None:
        """Takes a frame from the proxy. Raises ProtocolError."""
        if self._scope is None and not isinstance(frame, Hello):
            raise ProtocolError(f"{type(frame).__name__} before Hello")
        match frame:
            case Hello():
                self._hello(frame)
            case Ack():
                self._ack(frame)
            case Facts():
                self._events.append(FactsLearnt(self._proxy, frame.binds))
            case Telemetry():
                self._events.append(Measured(self._proxy, frame))

    def poll(self) -> Iterator[bytes] | None:
        """Frames to be written now; all of them before the next call. None: nothing to say."""
        if self._scope is None:
            return None
        if self._subscribe is not None:
            frame, self._subscribe = encode_frame(self._subscribe), None
            return iter((frame,))
        if self._in_flight is not None or not self._store.is_open:
            return None
        return self._full() if self._full_due else self._changes()

    def _hello(self, hello: Hello) -> None:
        if self._scope is not None:
            raise ProtocolError("a second Hello")
        if hello.schema != SCHEMA:
            raise ProtocolError(
                f"proxy {hello.instance} speaks contract {hello.schema}, this controller {SCHEMA}",
                code="SchemaMismatch",
                hint="run the same version of both",
            )
        self._proxy = f"{hello.instance}#{self._number}"
        self._scope = Scope(hello.scope)
        for text, version in hello.have.items():
            key = key_of(text)
            if key is not None:
                self._known[key] = version
        self._events.append(Greeted(self._proxy, hello.scope, hello.position))

    def _ack(self, ack: Ack) -> None:
        sent = self._in_flight
        if sent is None or ack.position != sent.position:
            raise ProtocolError(f"an ack of {ack.position}, which is not awaited")
        self._in_flight = None
        before, self._refused = self._refused, {}
        for rejection in ack.rejected:
            key = Key(rejection.kind, rejection.name)
            if key in sent.kept:
                self._known.pop(key, None)
                self._dirty.add(key)
                continue
            version = before[key][0] if key in before else self._known.get(key)
            if version is None:
                continue
            self._known[key] = ""  # some version, if any
            if key in sent.by_delta:
                self._dirty.add(key)
            else:
                self._refused[key] = (version, rejection)
        for key, (version, _) in before.items():
            if key not in self._refused and self._known.get(key) == "":
                self._known[key] = version
        self._adopt(ack.position)

    def _adopt(self, position: Position) -> None:
        self._adopted = position
        rejected = tuple(rejection for _, rejection in self._refused.values())
        self._events.append(Adopted(self._proxy, position, rejected))

    def _position(self) -> Position:
        return Position(epoch=self._epoch, generation=self._store.generation)

    def _sees(self, key: Key) -> bool:
        return self._visible is None or key in self._visible

    def _look(self) -> None:
        """In a scope, a change of one resource may bring others into view or out of it."""
        before = self._visible
        self._visible = self._scope.visible(self._store) if self._scope is not None else None
        if before is not None and self._visible is not None:
            self._dirty |= before ^ self._visible

    def _full(self) -> Iterator[bytes]:
        self._look()
        store, had, known = self._store, self._known, {}
        upserts: list[Upsert] = []
        kept: set[Key] = set()
        for key in store if self._visible is None else self._visible:
            version = store.get(key)
            if version is None:
                continue
            have = had.get(key)
            if have is not None and (have == version.hash or store.is_tentative(key)):
                upserts.append(Upsert(kind=key.kind, name=key.name, hash=have))
                known[key] = have
                kept.add(key)
            else:
                upserts.append(Upsert(kind=key.kind, name=key.name, hash=version.hash, body=version.body))
                known[key] = version.hash
                if store.is_tentative(key):
                    self._own_tentative.add(key)
        for key, have in had.items():
            if key not in known and store.keeps_unnamed(key.kind):
                upserts.append(Upsert(kind=key.kind, name=key.name, hash=have))
                known[key] = have
                kept.add(key)
                self._unnamed.add(key)
        self._known = known
        self._full_due = False
        return self._launch(Update(position=self._position(), full=True, upserts=tuple(upserts)), kept)

    def _changes(self) -> Iterator[bytes] | None:
        if self._dirty:
            self._look()
        upserts: list[Upsert] = []
        endpoints: list[EndpointsDelta] = []
        removals: list[Removal] = []
        dirty, self._dirty, unnamed, self._unnamed = self._dirty, set(), self._unnamed, set()
        for key in (*dirty, *(unnamed - dirty)):
            item = self._item(key)
            match item:
                case Upsert():
                    upserts.append(item)
                case EndpointsDelta():
                    endpoints.append(item)
                case Removal():
                    removals.append(item)
        if upserts or endpoints or removals:
            update = Update(
                position=self._position(),
                upserts=tuple(upserts),
                endpoints=tuple(endpoints),
                removals=tuple(removals),
                event_ms=self._event_ms,
            )
            return self._launch(update)
        self._event_ms = None
        if self._adopted is not None and self._adopted != self._position():
            # What changed is not for this proxy: it serves the position without being told.
            self._adopt(self._position())
        return None

    def _item(self, key: Key) -> Upsert | EndpointsDelta | Removal | None:
        """What brings the proxy's version of `key` up to date."""
        store, have = self._store, self._known.get(key)
        version = store.get(key) if self._sees(key) else None
        if version is None:
            if have is None:
                return None
            if store.keeps_unnamed(key.kind):
                self._unnamed.add(key)
                return None
            del self._known[key]
            self._refused.pop(key, None)
            self._own_tentative.discard(key)
            return Removal(kind=key.kind, name=key.name)
        refused = self._refused.get(key)
        if have == version.hash or (refused is not None and refused[0] == version.hash):
            return None
        if have is not None and store.is_tentative(key) and key not in self._own_tentative:
            return None
        if have and (delta := store.endpoints_since(key, have)) is not None:
            self._refused.pop(key, None)
            self._known[key] = delta.hash
            return delta
        self._refused.pop(key, None)
        self._known[key] = version.hash
        (self._own_tentative.add if store.is_tentative(key) else self._own_tentative.discard)(key)
        return Upsert(kind=key.kind, name=key.name, hash=version.hash, body=version.body)

    def _launch(self, update: Update, kept: Iterable[Key] = ()) -> Iterator[bytes]:
        by_delta = frozenset(Key(Kind.ENDPOINTS, item.name) for item in update.endpoints)
        self._in_flight = _InFlight(update.position, by_delta, frozenset(kept))
        self._event_ms = None
        return frames(update)
