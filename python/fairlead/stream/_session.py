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
7. Stats wait for everything else, and are no part of a transaction.
8. An update shows the Store as it was when the update began, however long it takes to make: its frames are made one
   by one, when they are asked for. What changes meanwhile goes with the next one.
"""

from collections.abc import Collection, Iterator
from itertools import chain

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
    Stats,
    Subscribe,
    Telemetry,
    Upsert,
    encode_frame,
)
from fairlead.stream._editions import Version, View
from fairlead.stream._keys import Keys
from fairlead.stream._scope import Scope
from fairlead.stream._store import Store
from fairlead.stream._transaction import Item, frames, key_of


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


class _InFlight(msgspec.Struct):
    position: Position
    by_delta: set[Key] = msgspec.field(default_factory=set)
    kept: set[Key] = msgspec.field(default_factory=set)
    """Named without a body."""
    complete: bool = False
    """Whether its last frame was made."""


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
        self._unnamed = Keys()
        self._dirty = Keys()
        self._event_ms: int | None = None
        self._in_flight: _InFlight | None = None
        self._adopted: Position | None = None
        self._subscribe: Subscribe | None = None
        self._stats: Stats | None = None
        self._events: list[Event] = []

    @property
    def proxy(self) -> str:
        """The proxy's name for people, unique among connections; empty before its hello."""
        return self._proxy

    def take_events(self) -> list[Event]:
        """What was learnt since the last call."""
        events, self._events = self._events, []
        return events

    def touch(self, keys: Keys, event_ms: int | None = None) -> None:
        """These keys of the Store may have changed; `event_ms` is the Unix time of the endpoint event."""
        if self._full_due:
            return
        self._dirty.update(keys)
        if event_ms is not None:
            self._event_ms = event_ms if self._event_ms is None else min(event_ms, self._event_ms)

    def subscribe(self, subscribe: Subscribe) -> None:
        """Asks for telemetry; the last wish counts."""
        self._subscribe = subscribe

    def tell(self, stats: Stats) -> None:
        """Has the controller's counters sent; the last ones count."""
        self._stats = stats

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
        """Frames to be written now, but for empty ones; all of them before the next call. None: nothing to say."""
        if self._scope is None:
            return None
        if self._subscribe is not None:
            frame, self._subscribe = encode_frame(self._subscribe), None
            return iter((frame,))
        if self._in_flight is None and self._store.is_open:
            update = self._full() if self._full_due else self._changes()
            if update is not None:
                return update
        if self._stats is not None:
            frame, self._stats = encode_frame(self._stats), None
            return iter((frame,))
        return None

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
        if sent is None or not sent.complete or ack.position != sent.position:
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

    def _look(self) -> None:
        """In a scope, a change of one resource may bring others into view or out of it."""
        before = self._visible
        self._visible = self._scope.visible(self._store) if self._scope is not None else None
        if before is not None and self._visible is not None:
            for key in before ^ self._visible:
                self._dirty.add(key)

    def _full(self) -> Iterator[bytes] | None:
        self._look()
        had, self._known = self._known, {}
        self._full_due = False
        view, sent = self._store.view(), _InFlight(self._position())
        return self._launch(sent, self._everything(view, had, sent), full=True)

    def _everything(self, view: View, had: dict[Key, str], sent: _InFlight) -> Iterator[Item | None]:
        """All that the proxy should have."""
        known = self._known
        for kind in Kind:
            for key in self._all_of(view, kind):
                version = view.get(key)
                if version is None:
                    yield None
                    continue
                have = had.get(key)
                if have is not None and (have == version.hash or view.is_tentative(key)):
                    known[key] = have
                    sent.kept.add(key)
                    yield Upsert(kind=kind, name=key.name, hash=have)
                else:
                    known[key] = version.hash
                    if view.is_tentative(key):
                        self._own_tentative.add(key)
                    yield Upsert(kind=kind, name=key.name, hash=version.hash, body=version.body)
            unnamed = had.items() if view.keeps_unnamed(kind) else ()
            for key, have in unnamed:
                if key.kind is not kind or key in known:
                    yield None
                    continue
                known[key] = have
                sent.kept.add(key)
                self._unnamed.add(key)
                yield Upsert(kind=kind, name=key.name, hash=have)

    def _all_of(self, view: View, kind: Kind) -> Collection[Key]:
        """Keys among which are all of a kind that the proxy should have."""
        if self._visible is None:
            return view.candidates(kind)
        return [key for key in self._visible if key.kind is kind]

    def _changes(self) -> Iterator[bytes] | None:
        if self._dirty:
            self._look()
        keys, self._dirty = self._dirty, Keys()
        keys.update(self._unnamed)
        self._unnamed = Keys()
        view, sent = self._store.view(), _InFlight(self._position())
        return self._launch(sent, self._differences(view, keys, sent))

    def _differences(self, view: View, keys: Keys, sent: _InFlight) -> Iterator[Item | None]:
        """What brings the proxy's versions of `keys` up to date: upserts, Endpoints, removals."""
        deltas: list[EndpointsDelta] = []
        gone: dict[Kind, list[Key]] = {kind: [] for kind in Kind}
        for kind in Kind:
            for key in keys.of(kind):
                version = view.get(key) if self._visible is None or key in self._visible else None
                if version is None:
                    gone[kind].append(key)
                    yield None
                    continue
                item = self._news(view, key, version)
                if isinstance(item, EndpointsDelta):
                    sent.by_delta.add(key)
                    deltas.append(item)
                else:
                    yield item
        yield from deltas
        for kind in reversed(Kind):
            for key in gone[kind]:
                yield self._removal(view, key)

    def _news(self, view: View, key: Key, version: Version) -> Upsert | EndpointsDelta | None:
        have = self._known.get(key)
        refused = self._refused.get(key)
        if have == version.hash or (refused is not None and refused[0] == version.hash):
            return None
        if have is not None and view.is_tentative(key) and key not in self._own_tentative:
            return None
        if have and (delta := view.endpoints_since(key, have)) is not None:
            self._refused.pop(key, None)
            self._known[key] = delta.hash
            return delta
        self._refused.pop(key, None)
        self._known[key] = version.hash
        (self._own_tentative.add if view.is_tentative(key) else self._own_tentative.discard)(key)
        return Upsert(kind=key.kind, name=key.name, hash=version.hash, body=version.body)

    def _removal(self, view: View, key: Key) -> Removal | None:
        if key not in self._known:
            return None
        if view.keeps_unnamed(key.kind):
            self._unnamed.add(key)
            return None
        del self._known[key]
        self._refused.pop(key, None)
        self._own_tentative.discard(key)
        return Removal(kind=key.kind, name=key.name)

    def _launch(
        self, sent: _InFlight, items: Iterator[Item | None], *, full: bool = False
    ) -> Iterator[bytes] | None:
        """The frames of an update, of which the first is made now; None where there is nothing to say."""
        self._in_flight = sent
        event_ms, self._event_ms = self._event_ms, None

        def until_complete() -> Iterator[Item | None]:
            yield from items
            sent.complete = True

        def parts() -> Iterator[bytes]:
            some = False
            for frame in frames(until_complete(), position=sent.position, full=full, event_ms=event_ms):
                some = some or frame != b""
                yield frame
            if not some:
                self._in_flight = None
                if self._adopted is not None and self._adopted != sent.position:
                    # What changed is not for this proxy: it serves the position without being told.
                    self._adopt(sent.position)

        made = parts()
        first = next(made, None)
        return None if first is None else chain((first,), made)
