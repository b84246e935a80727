"""Whatever happens in whatever order, a proxy ends with the Store's Snapshot."""

from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fairlead.snapshot import (
    Attachment,
    Bind,
    EndpointsDelta,
    FromProxy,
    Key,
    Kind,
    Listener,
    Rejection,
    Resource,
    Route,
    Rule,
    Target,
    content_hash,
    encode_resource,
    endpoints_hash,
)
from fairlead.stream import Session, Store, _transaction
from fairlead.translate import Delta, Encoded, Part
from tests.stream.model import ModelProxy, endpoint, endpoints

GATEWAYS = ("one", "two")
BACKENDS = ("web", "shop")
PODS = ("p1", "p2", "p3", "p4")


def accept(key: Key, body: bytes) -> Rejection | None:
    return None


def encoded(key: Key, resource: Resource) -> Encoded:
    body = encode_resource(resource)
    return Encoded(key=key, hash=content_hash(body), body=body, tentative=False)


@pytest.fixture(autouse=True)
def small_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Updates of several frames, some of them empty, although there is little in them."""
    monkeypatch.setattr(_transaction, "FRAME_BYTES", 300)
    monkeypatch.setattr(_transaction, "LOOKS", 2)


class Link:
    """A proxy, its session if it is connected, and the bytes on their way."""

    def __init__(self, scope: str) -> None:
        self.proxy = ModelProxy(scope=scope)
        self.session: Session | None = None
        self.down: Iterator[bytes] = iter(())
        self.up: list[FromProxy] = []

    def connect(self, store: Store, number: int) -> None:
        self.session = Session(store, epoch=1, number=number)
        self.up = [self.proxy.hello()]

    def disconnect(self) -> None:
        self.session, self.down, self.up = None, iter(()), []
        self.proxy.disconnect()

    def step(self) -> bool:
        """Moves one frame; False when nothing is on its way."""
        if self.session is None:
            return False
        if self.up:
            self.session.receive(self.up.pop(0))
        elif (frame := next(self.down, None)) is not None:
            answer = self.proxy.take(frame) if frame else None
            if answer is not None:
                self.up.append(answer)
        elif (frames := self.session.poll()) is not None:
            self.down = frames
        else:
            return False
        return True


class Convergence(RuleBasedStateMachine):
    """Changes, frames one by one, disconnects in the middle of anything."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(accept)
        self.pods: dict[str, frozenset[str]] = {}
        self.links = [Link(""), Link("ns/one")]
        self.number = 0

    @initialize(opened=st.booleans(), connected=st.booleans())
    def begin(self, opened: bool, connected: bool) -> None:
        if opened:
            self.store.open()
        if connected:
            self.connect(0)
            self.connect(1)

    def commit(self, delta: Delta) -> None:
        keys = self.store.commit(delta)
        for link in self.links:
            if link.session is not None:
                link.session.touch(keys)

    @rule(
        names=st.lists(st.sampled_from(("r1", "r2", "r3")), unique=True, min_size=1),
        last=st.sampled_from(("r1", "r4")),
        created_s=st.integers(0, 3),
    )
    def parts(self, names: list[str], last: str, created_s: int) -> None:
        """A Delta in parts, between which the links move: they see nothing of it before the last."""
        for name in names:
            key = Key(Kind.ROUTE, f"HTTPRoute/parts/{name}")
            resource = Route(namespace="parts", name=name, created_s=created_s, attachments=(), rules=())
            before = self.store.get(key)
            self.commit(Delta(part=Part.MORE, upserts=(encoded(key, resource),)))
            assert self.store.get(key) is before
            for link in self.links:
                link.step()
        gone = Key(Kind.ROUTE, f"HTTPRoute/parts/{last}")
        removals = () if last in names else (gone,)
        self.commit(Delta(part=Part.LAST, removals=removals))

    @rule(gateway=st.sampled_from(GATEWAYS), port=st.integers(80, 82), there=st.booleans())
    def listener(self, gateway: str, port: int, there: bool) -> None:
        key = Key(Kind.LISTENER, f"ns/{gateway}/http")
        bind = Key(Kind.BIND, f"127.0.0.1:{port}")
        if not there:
            self.commit(Delta(removals=(key,)))
            return
        resource = Listener(
            bind=bind.name, gateway_namespace="ns", gateway=gateway, listener="http", port=port
        )
        self.commit(
            Delta(upserts=(encoded(bind, Bind(address="127.0.0.1", port=port)), encoded(key, resource)))
        )

    @rule(
        name=st.sampled_from(("r1", "r2")),
        gateways=st.sets(st.sampled_from(GATEWAYS)),
        backends=st.sets(st.sampled_from(BACKENDS), max_size=2),
        there=st.booleans(),
    )
    def route(self, name: str, gateways: set[str], backends: set[str], there: bool) -> None:
        key = Key(Kind.ROUTE, f"HTTPRoute/ns/{name}")
        if not there:
            self.commit(Delta(removals=(key,)))
            return
        targets = tuple(Target(weight=1, backend=item) for item in sorted(backends))
        resource = Route(
            namespace="ns",
            name=name,
            created_s=0,
            attachments=tuple(Attachment(listener=f"ns/{item}/http") for item in sorted(gateways)),
            rules=(Rule(matches=(), targets=targets),),
        )
        self.commit(Delta(upserts=(encoded(key, resource),)))

    @rule(backend=st.sampled_from(BACKENDS), pods=st.none() | st.frozensets(st.sampled_from(PODS)))
    def endpoints(self, backend: str, pods: frozenset[str] | None) -> None:
        key = Key(Kind.ENDPOINTS, backend)
        before = self.pods.get(backend)
        if pods is None:
            self.pods.pop(backend, None)
            self.commit(Delta(removals=(key,)))
            return
        self.pods[backend] = pods
        now = endpoints(*map(endpoint, pods))
        if before is None:
            self.commit(Delta(upserts=(encoded(key, now),)))
        elif before != pods:
            change = EndpointsDelta(
                name=backend,
                base=endpoints_hash(endpoints(*map(endpoint, before))),
                hash=endpoints_hash(now),
                upserts=tuple(map(endpoint, sorted(pods - before))),
                removals=tuple(endpoint(pod).id for pod in sorted(before - pods)),
            )
            self.commit(Delta(endpoints=(change,)))

    @precondition(lambda self: not self.store.is_open)
    @rule()
    def open(self) -> None:
        self.store.open()

    @rule(number=st.integers(0, 1))
    def connect(self, number: int) -> None:
        if self.links[number].session is None:
            self.number += 1
            self.links[number].connect(self.store, self.number)

    @rule(number=st.integers(0, 1))
    def settle(self, number: int) -> None:
        while self.links[number].step():
            pass

    @rule(number=st.integers(0, 1))
    def disconnect(self, number: int) -> None:
        self.links[number].disconnect()

    @rule(number=st.integers(0, 1), steps=st.integers(1, 6))
    def move(self, number: int, steps: int) -> None:
        for _ in range(steps):
            self.links[number].step()

    @invariant()
    def nothing_arrives_before_opening(self) -> None:
        if not self.store.is_open:
            assert all(link.proxy.bodies == {} for link in self.links)

    def teardown(self) -> None:
        self.store.open()
        for link in self.links:
            if link.session is None:
                self.number += 1
                link.connect(self.store, self.number)
            while link.step():
                pass
            assert link.proxy.bodies == self.expected(link.proxy.scope)

    def expected(self, scope: str) -> dict[Key, bytes]:
        every = {key: version.body for key in self.store if (version := self.store.get(key)) is not None}
        if not scope:
            return every
        listener = Key(Kind.LISTENER, f"{scope}/http")
        if listener not in every:
            return {}
        wanted = {listener}
        listeners = [key for key in every if key.kind is Kind.LISTENER]
        for key, body in every.items():
            if key == listener:
                wanted |= {bind for bind in every if bind.kind is Kind.BIND and bind.name.encode() in body}
            if key.kind is Kind.ROUTE and listener.name.encode() in body:
                wanted.add(key)
                wanted |= {
                    other for other in every if other.kind is Kind.ENDPOINTS and other.name.encode() in body
                }
        assert listeners
        return {key: body for key, body in every.items() if key in wanted}


Convergence.TestCase.settings = settings(max_examples=200, stateful_step_count=50)
TestConvergence = Convergence.TestCase
