"""A proxy as the contract describes it: applies frames, keeps resources, acks. For tests."""

import struct
from collections.abc import Iterable

import msgspec

from fairlead.snapshot import (
    SCHEMA,
    Ack,
    Endpoint,
    Endpoints,
    FromProxy,
    Hello,
    Key,
    Kind,
    Position,
    Rejection,
    Resource,
    Route,
    Rule,
    Stats,
    Subscribe,
    ToProxy,
    Update,
    content_hash,
    decode_resource,
    encode_resource,
)
from fairlead.translate import Delta, Encoded

_decoder: msgspec.msgpack.Decoder[ToProxy] = msgspec.msgpack.Decoder(ToProxy)


def decoded(frame: bytes) -> ToProxy:
    (length,) = struct.unpack(">I", frame[:4])
    assert length == len(frame) - 4
    return _decoder.decode(frame[4:])


def endpoint(name: str, *, ready: bool = True) -> Endpoint:
    return Endpoint(id=f"{name}|10.0.0.1|80|TCP", address="10.0.0.1", port=80, ready=ready)


def endpoints(*items: Endpoint) -> Endpoints:
    return Endpoints(endpoints=tuple(sorted(items, key=lambda item: item.id)))


def route(name: str, *, padding: int = 0, backend: str | None = None) -> Route:
    return Route(
        namespace="default",
        name=name,
        created_s=padding,
        attachments=(),
        rules=(Rule(matches=(), targets=(), name=backend or "x" * padding),),
    )


def encoded(kind: Kind, name: str, resource: Resource, *, tentative: bool = False) -> Encoded:
    body = encode_resource(resource)
    return Encoded(key=Key(kind, name), hash=content_hash(body), body=body, tentative=tentative)


def upserts(*items: Encoded) -> Delta:
    return Delta(upserts=items)


class ModelProxy:
    """Keeps what the frames say.

    `refuses` are hashes of versions that it cannot use yet; one that is taken off the set is used from the next
    update on, without being sent again.
    """

    def __init__(self, *, scope: str = "", refuses: Iterable[str] = ()) -> None:
        self.scope = scope
        self.refuses = set(refuses)
        self.bodies: dict[Key, bytes] = {}
        self.rejected: dict[Key, Rejection] = {}
        self.position: Position | None = None
        self._waiting: dict[Key, bytes] = {}
        self.updates: list[Update] = []
        self.stats: list[Stats] = []
        self._parts: list[Update] = []

    def hello(self) -> Hello:
        have = {f"{key.kind}/{key.name}": content_hash(body) for key, body in self.bodies.items()}
        return Hello(schema=SCHEMA, instance="model", scope=self.scope, position=self.position, have=have)

    def disconnect(self) -> None:
        """A transaction that did not end is as if it had never begun."""
        self._parts = []

    def take(self, frame: bytes) -> FromProxy | None:
        """The answer to a frame, if it has one."""
        update = decoded(frame)
        if isinstance(update, Stats):
            assert not self._parts, "in the middle of a transaction"
            self.stats.append(update)
            return None
        if isinstance(update, Subscribe):
            return None
        self._parts.append(update)
        if update.more:
            return None
        parts, self._parts = self._parts, []
        self.updates.extend(parts)
        assert {part.position for part in parts} == {update.position}
        return self._apply(parts)

    def _apply(self, parts: list[Update]) -> Ack:
        if parts[0].full:
            self.rejected.clear()
            self._waiting.clear()
        named: set[Key] = set()
        for part in parts:
            for item in part.upserts:
                key = Key(item.kind, item.name)
                named.add(key)
                if item.body is None:
                    assert part.full, "a version may be kept only in a full update"
                    assert content_hash(self.bodies[key]) == item.hash
                elif item.hash in self.refuses:
                    self._reject(key, "Refused")
                    self._waiting[key] = item.body
                else:
                    assert content_hash(item.body) == item.hash
                    self._use(key, item.body)
            for delta in part.endpoints:
                key = Key(Kind.ENDPOINTS, delta.name)
                held = self.bodies.get(key)
                if held is None or content_hash(held) != delta.base:
                    self._reject(key, "StaleBase")
                    continue
                resource = decode_resource(Kind.ENDPOINTS, held)
                assert isinstance(resource, Endpoints)
                by_id = {item.id: item for item in resource.endpoints}
                by_id.update({item.id: item for item in delta.upserts})
                for gone in delta.removals:
                    by_id.pop(gone, None)
                body = encode_resource(endpoints(*by_id.values()))
                assert content_hash(body) == delta.hash
                self._use(key, body)
        for part in parts:
            for removal in part.removals:
                key = Key(removal.kind, removal.name)
                self.bodies.pop(key, None)
                self.rejected.pop(key, None)
                self._waiting.pop(key, None)
        if parts[0].full:
            self.bodies = {key: body for key, body in self.bodies.items() if key in named}
        for key, body in list(self._waiting.items()):
            if content_hash(body) not in self.refuses:
                self._use(key, body)
        self.position = parts[0].position
        return Ack(position=parts[0].position, rejected=tuple(self.rejected.values()))

    def _use(self, key: Key, body: bytes) -> None:
        self.bodies[key] = body
        self.rejected.pop(key, None)
        self._waiting.pop(key, None)

    def _reject(self, key: Key, reason: str) -> None:
        self.rejected[key] = Rejection(
            kind=key.kind, name=key.name, reason=reason, message="the model refuses it"
        )
