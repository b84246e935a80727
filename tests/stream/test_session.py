"""The conversation with one proxy: what is sent when."""

from collections.abc import Iterable

import pytest

from fairlead.snapshot import (
    SCHEMA,
    Ack,
    Attachment,
    Bind,
    EndpointsDelta,
    Hello,
    Key,
    Kind,
    Listener,
    Position,
    ReflectorStats,
    Rejection,
    Route,
    Rule,
    Stats,
    Subscribe,
    Target,
    Update,
    endpoints_hash,
)
from fairlead.stream import Adopted, Greeted, ProtocolError, Session, Store
from fairlead.translate import Delta, Encoded
from tests.stream.model import ModelProxy, decoded, encoded, endpoint, endpoints, route, upserts


def accept(key: Key, body: bytes) -> Rejection | None:
    return None


def opened(*items: Encoded) -> Store:
    store = Store(accept)
    store.commit(upserts(*items))
    store.open()
    return store


def connected(store: Store, proxy: ModelProxy | None = None, number: int = 1) -> Session:
    session = Session(store, epoch=7, number=number)
    session.receive((proxy or ModelProxy()).hello())
    return session


def sent(session: Session) -> list[Update]:
    frames = session.poll()
    updates = [decoded(frame) for frame in frames or () if frame]
    assert all(isinstance(update, Update) for update in updates)
    return [update for update in updates if isinstance(update, Update)]


def exchange(session: Session, proxy: ModelProxy) -> None:
    """Until both have nothing more to say."""
    while (frames := session.poll()) is not None:
        for frame in frames:
            answer = proxy.take(frame) if frame else None
            if answer is not None:
                session.receive(answer)


def change(store: Store, session: Session, delta: Delta, event_ms: int | None = None) -> None:
    session.touch(store.commit(delta), event_ms)


def names(update: Update) -> set[str]:
    return {item.name for item in update.upserts}


A = encoded(Kind.ROUTE, "a", route("a"))
A2 = encoded(Kind.ROUTE, "a", route("a", padding=1))
B = encoded(Kind.ROUTE, "b", route("b"))
B2 = encoded(Kind.ROUTE, "b", route("b", padding=1))


def whole(name: str, *pods: str) -> Encoded:
    return encoded(Kind.ENDPOINTS, name, endpoints(*map(endpoint, pods)))


def delta(name: str, before: Iterable[str], after: Iterable[str]) -> Delta:
    old, new = list(before), list(after)
    return Delta(
        endpoints=(
            EndpointsDelta(
                name=name,
                base=endpoints_hash(endpoints(*map(endpoint, old))),
                hash=endpoints_hash(endpoints(*map(endpoint, new))),
                upserts=tuple(endpoint(pod) for pod in new if pod not in old),
                removals=tuple(endpoint(pod).id for pod in old if pod not in new),
            ),
        )
    )


def test_nothing_is_sent_before_the_hello() -> None:
    session = Session(opened(A), epoch=7, number=1)
    assert session.poll() is None


def test_nothing_is_sent_before_the_store_opens() -> None:
    store = Store(accept)
    store.commit(upserts(A))
    session = connected(store)
    assert session.poll() is None
    store.open()
    assert [update.full for update in sent(session)] == [True]


def test_the_first_update_is_full_and_names_everything() -> None:
    (update,) = sent(connected(opened(A, B)))
    assert update.full
    assert not update.more
    assert update.position == Position(epoch=7, generation=1)
    assert {item.name: item.body for item in update.upserts} == {"a": A.body, "b": B.body}


def test_a_version_that_the_proxy_has_travels_without_body() -> None:
    proxy = ModelProxy()
    proxy.bodies = {A.key: A.body, Key(Kind.ROUTE, "gone"): B.body}
    (update,) = sent(connected(opened(A, B), proxy))
    assert {item.name: item.body for item in update.upserts} == {"a": None, "b": B.body}
    proxy = ModelProxy()
    proxy.bodies = {A.key: A.body, Key(Kind.ROUTE, "gone"): B.body}
    exchange(connected(opened(A, B), proxy), proxy)
    assert proxy.bodies == {A.key: A.body, B.key: B.body}


def test_at_most_one_update_is_unacked_and_later_changes_coalesce_by_key() -> None:
    store, proxy = opened(A), ModelProxy()
    session = connected(store, proxy)
    (first,) = sent(session)
    change(store, session, upserts(B))
    change(store, session, upserts(A2))
    change(store, session, Delta(removals=(B.key,)))
    assert session.poll() is None
    session.receive(Ack(position=first.position))
    (second,) = sent(session)
    assert not second.full
    assert {item.name: item.body for item in second.upserts} == {"a": A2.body}
    assert second.removals == ()
    assert second.position.generation == 4


def test_an_ack_of_another_position_ends_the_conversation() -> None:
    session = connected(opened(A))
    sent(session)
    with pytest.raises(ProtocolError):
        session.receive(Ack(position=Position(epoch=7, generation=99)))


def test_another_contract_is_refused_with_its_number() -> None:
    session = Session(opened(A), epoch=7, number=1)
    with pytest.raises(ProtocolError, match=str(SCHEMA + 1)) as caught:
        session.receive(Hello(schema=SCHEMA + 1, instance="other"))
    assert caught.value.code == "SchemaMismatch"


def test_a_proxy_speaks_first_and_greets_once() -> None:
    session = Session(opened(A), epoch=7, number=1)
    with pytest.raises(ProtocolError):
        session.receive(Ack(position=Position(epoch=7, generation=1)))
    session = connected(opened(A))
    with pytest.raises(ProtocolError):
        session.receive(ModelProxy().hello())


def test_endpoints_go_whole_once_and_then_as_single_changes() -> None:
    store, proxy = opened(whole("web", "p1", "p2")), ModelProxy()
    session = connected(store, proxy)
    exchange(session, proxy)
    change(store, session, delta("web", ["p1", "p2"], ["p2", "p3"]))
    (update,) = sent(session)
    assert update.upserts == ()
    (step,) = update.endpoints
    assert [item.id for item in step.upserts] == [endpoint("p3").id]
    assert step.removals == (endpoint("p1").id,)


def test_endpoint_changes_during_an_unacked_update_become_one_change() -> None:
    store, proxy = opened(whole("web", "p1")), ModelProxy()
    session = connected(store, proxy)
    (first,) = sent(session)
    change(store, session, delta("web", ["p1"], ["p1", "p2"]))
    change(store, session, delta("web", ["p1", "p2"], ["p3"]))
    session.receive(Ack(position=first.position))
    (update,) = sent(session)
    (step,) = update.endpoints
    assert (step.base, step.hash) == (whole("web", "p1").hash, whole("web", "p3").hash)
    assert {item.id for item in step.upserts} == {endpoint("p3").id}


def test_a_proxy_at_another_version_gets_the_endpoints_whole() -> None:
    store = opened(whole("web", "p1"))
    store.commit(delta("web", ["p1"], ["p1", "p2"]))
    proxy = ModelProxy()
    proxy.bodies = {Key(Kind.ENDPOINTS, "web"): whole("web", "elsewhere").body}
    (update,) = sent(connected(store, proxy))
    assert [item.body for item in update.upserts] == [whole("web", "p1", "p2").body]


def test_a_refused_endpoint_change_is_answered_with_the_whole() -> None:
    store, proxy = opened(whole("web", "p1")), ModelProxy()
    session = connected(store, proxy)
    exchange(session, proxy)
    proxy.bodies[Key(Kind.ENDPOINTS, "web")] = whole("web", "drifted").body
    change(store, session, delta("web", ["p1"], ["p1", "p2"]))
    exchange(session, proxy)
    assert proxy.bodies == {Key(Kind.ENDPOINTS, "web"): whole("web", "p1", "p2").body}


def test_a_refused_resource_is_told_and_not_sent_again_until_it_changes() -> None:
    store, proxy = opened(A, B), ModelProxy(refuses=[A.hash])
    session = connected(store, proxy)
    exchange(session, proxy)
    *_, adopted = session.take_events()
    assert isinstance(adopted, Adopted)
    assert [(item.name, item.reason) for item in adopted.rejected] == [("a", "Refused")]
    change(store, session, upserts(A))
    assert session.poll() is None
    change(store, session, upserts(A2))
    exchange(session, proxy)
    assert proxy.bodies[A.key] == A2.body
    *_, adopted = session.take_events()
    assert isinstance(adopted, Adopted)
    assert adopted.rejected == ()


def test_a_rejection_lasts_until_the_proxy_stops_to_name_it() -> None:
    store, proxy = opened(A, B), ModelProxy(refuses=[A.hash])
    session = connected(store, proxy)
    exchange(session, proxy)
    session.take_events()
    change(store, session, upserts(B2))
    exchange(session, proxy)
    *_, adopted = session.take_events()
    assert isinstance(adopted, Adopted)
    assert [item.name for item in adopted.rejected] == ["a"], "the ack of another change names it still"
    proxy.refuses.clear()
    change(store, session, upserts(B))
    exchange(session, proxy)
    *_, adopted = session.take_events()
    assert isinstance(adopted, Adopted)
    assert adopted.rejected == ()
    assert proxy.bodies[A.key] == A.body
    change(store, session, upserts(A))
    assert session.poll() is None, "what has healed is served and not sent again"


def test_a_refused_resource_that_goes_is_removed_with_its_last_good_version() -> None:
    store, proxy = opened(A), ModelProxy(refuses=[A2.hash])
    session = connected(store, proxy)
    exchange(session, proxy)
    change(store, session, upserts(A2))
    exchange(session, proxy)
    assert proxy.bodies == {A.key: A.body}
    change(store, session, Delta(removals=(A.key,)))
    exchange(session, proxy)
    assert proxy.bodies == {}


def test_an_update_carries_the_time_of_its_oldest_endpoint_event() -> None:
    store, proxy = opened(whole("web", "p1")), ModelProxy()
    session = connected(store, proxy)
    (first,) = sent(session)
    assert first.event_ms is None
    change(store, session, delta("web", ["p1"], ["p2"]), event_ms=5000)
    change(store, session, delta("web", ["p2"], ["p3"]), event_ms=6000)
    session.receive(Ack(position=first.position))
    (second,) = sent(session)
    assert second.event_ms == 5000


def test_a_position_that_changes_nothing_for_the_proxy_counts_as_adopted() -> None:
    store, proxy = opened(A), ModelProxy()
    session = connected(store, proxy)
    (first,) = sent(session)
    change(store, session, upserts(A2))
    change(store, session, upserts(A))
    session.receive(Ack(position=first.position))
    session.take_events()
    assert session.poll() is None
    (adopted,) = session.take_events()
    assert isinstance(adopted, Adopted)
    assert adopted.position.generation == 3


def test_telemetry_may_be_asked_for_while_an_update_is_unacked() -> None:
    session = connected(opened(A))
    sent(session)
    session.subscribe(Subscribe(period_ms=500))
    frames = session.poll()
    assert frames is not None
    assert [decoded(frame) for frame in frames] == [Subscribe(period_ms=500)]


def test_a_greeting_tells_who_came_with_what() -> None:
    proxy = ModelProxy(scope="shop/edge")
    session = connected(opened(A), proxy, number=3)
    assert session.take_events() == [Greeted("model#3", "shop/edge", None)]


class TestStats:
    """The controller's own counters."""

    @staticmethod
    def stats(events: int) -> Stats:
        return Stats(reflectors=(ReflectorStats(kind="Service", relists=1, watch_events=events),))

    def test_the_last_ones_are_sent_without_a_position_and_await_no_ack(self) -> None:
        store, proxy = opened(A), ModelProxy()
        session = connected(store, proxy)
        exchange(session, proxy)
        for events in (1, 2):
            session.tell(self.stats(events))
        exchange(session, proxy)
        assert proxy.stats == [self.stats(2)]
        change(store, session, upserts(B))
        exchange(session, proxy)
        assert set(proxy.bodies) == {A.key, B.key}
        assert proxy.stats == [self.stats(2)], "once"

    def test_changes_go_first(self) -> None:
        store, proxy = opened(A), ModelProxy()
        session = connected(store, proxy)
        exchange(session, proxy)
        session.tell(self.stats(1))
        change(store, session, upserts(B))
        assert [type(decoded(frame)) for frame in session.poll() or ()] == [Update]
        assert [decoded(frame) for frame in session.poll() or ()] == [self.stats(1)]
        assert session.poll() is None, "an ack is awaited"

    def test_they_are_told_while_nothing_else_may_be(self) -> None:
        session = Session(Store(accept), epoch=7, number=1)
        session.tell(self.stats(1))
        assert session.poll() is None, "before the hello"
        session.receive(ModelProxy().hello())
        assert [decoded(frame) for frame in session.poll() or ()] == [self.stats(1)]


class TestTentative:
    """Computed without a kind that could not be listed yet."""

    tentative = encoded(Kind.ROUTE, "a", route("a", padding=1), tentative=True)
    backend = Key(Kind.ENDPOINTS, "other")

    def test_what_the_proxy_brought_along_stays(self) -> None:
        proxy = ModelProxy()
        proxy.bodies = {A.key: A.body}
        exchange(connected(opened(self.tentative), proxy), proxy)
        assert proxy.bodies == {A.key: A.body}

    def test_a_proxy_without_any_version_gets_it(self) -> None:
        proxy = ModelProxy()
        exchange(connected(opened(self.tentative), proxy), proxy)
        assert proxy.bodies == {A.key: self.tentative.body}

    def test_it_follows_its_own_changes_on_a_proxy_that_brought_none(self) -> None:
        store, proxy = opened(self.tentative), ModelProxy()
        session = connected(store, proxy)
        exchange(session, proxy)
        later = encoded(Kind.ROUTE, "a", route("a", padding=2), tentative=True)
        change(store, session, upserts(later))
        exchange(session, proxy)
        assert proxy.bodies == {A.key: later.body}

    def test_what_a_kept_route_may_need_stays_until_the_truth_is_known(self) -> None:
        proxy = ModelProxy()
        proxy.bodies = {A.key: A.body, self.backend: whole("other", "p1").body, B.key: B.body}
        store = opened(self.tentative)
        session = connected(store, proxy)
        exchange(session, proxy)
        assert proxy.bodies == {A.key: A.body, self.backend: whole("other", "p1").body}
        change(store, session, upserts(A2))
        exchange(session, proxy)
        assert proxy.bodies == {A.key: A2.body}


def test_a_big_transaction_is_split_and_still_one() -> None:
    items = [encoded(Kind.ROUTE, f"r{n}", route(f"r{n}", padding=200_000)) for n in range(12)]
    store, proxy = opened(*items), ModelProxy()
    frames = list(connected(store, proxy).poll() or ())
    assert len(frames) > 2
    assert all(len(frame) < (1 << 20) + 4096 for frame in frames)
    updates = [decoded(frame) for frame in frames]
    assert [getattr(update, "more", None) for update in updates] == [True] * (len(frames) - 1) + [False]
    for frame in frames[:-1]:
        assert proxy.take(frame) is None
    assert proxy.bodies == {}
    assert proxy.take(frames[-1]) is not None
    assert len(proxy.bodies) == 12


def test_an_update_shows_the_store_as_it_was_when_the_update_began() -> None:
    items = [encoded(Kind.ROUTE, f"r{n}", route(f"r{n}", padding=60_000)) for n in range(3)]
    store, proxy = opened(*items), ModelProxy()
    session = connected(store, proxy)
    frames = session.poll()
    assert frames is not None
    made = [next(frames)]
    later = encoded(Kind.ROUTE, "r2", route("r2", padding=1))
    change(store, session, Delta(upserts=(later,), removals=(items[1].key,)))
    assert session.poll() is None
    made += frames
    for frame in made:
        answer = proxy.take(frame)
    assert proxy.bodies == {item.key: item.body for item in items}
    assert answer is not None
    session.receive(answer)
    exchange(session, proxy)
    assert proxy.bodies == {items[0].key: items[0].body, later.key: later.body}


def test_an_ack_before_the_end_of_the_update_breaks_the_contract() -> None:
    items = [encoded(Kind.ROUTE, f"r{n}", route(f"r{n}", padding=60_000)) for n in range(3)]
    store = opened(*items)
    session = connected(store)
    frames = session.poll()
    assert frames is not None
    next(frames)
    with pytest.raises(ProtocolError):
        session.receive(Ack(position=Position(epoch=7, generation=store.generation)))


def test_upserts_come_in_the_order_of_kinds() -> None:
    (update,) = sent(connected(opened(A, whole("web", "p1"))))
    assert [item.kind for item in update.upserts] == [Kind.ENDPOINTS, Kind.ROUTE]


class TestScope:
    """A proxy of one Gateway gets what that Gateway needs."""

    bind = encoded(Kind.BIND, "127.0.0.1:80", Bind(address="127.0.0.1", port=80))

    @staticmethod
    def listener(gateway: str) -> Encoded:
        resource = Listener(
            bind="127.0.0.1:80", gateway_namespace="ns", gateway=gateway, listener="http", port=80
        )
        return encoded(Kind.LISTENER, f"ns/{gateway}/http", resource)

    @staticmethod
    def attached(name: str, gateway: str, backend: str) -> Encoded:
        resource = Route(
            namespace="ns",
            name=name,
            created_s=0,
            attachments=(Attachment(listener=f"ns/{gateway}/http"),),
            rules=(Rule(matches=(), targets=(Target(weight=1, backend=backend),)),),
        )
        return encoded(Kind.ROUTE, name, resource)

    def test_only_what_the_gateway_needs_is_sent(self) -> None:
        one, two = self.listener("one"), self.listener("two")
        mine, other = self.attached("mine", "one", "web"), self.attached("other", "two", "shop")
        store = opened(self.bind, one, two, mine, other, whole("web", "p1"), whole("shop", "p2"))
        proxy = ModelProxy(scope="ns/one")
        exchange(connected(store, proxy), proxy)
        assert set(proxy.bodies) == {self.bind.key, one.key, mine.key, whole("web", "p1").key}

    def test_a_change_of_a_route_brings_its_backend_into_view_and_takes_the_old_one_out(self) -> None:
        store = opened(
            self.bind,
            self.listener("one"),
            self.attached("mine", "one", "web"),
            whole("web", "p1"),
            whole("shop", "p2"),
        )
        proxy = ModelProxy(scope="ns/one")
        session = connected(store, proxy)
        exchange(session, proxy)
        change(store, session, upserts(self.attached("mine", "one", "shop")))
        exchange(session, proxy)
        assert whole("shop", "p2").key in proxy.bodies
        assert whole("web", "p1").key not in proxy.bodies


def test_what_was_removed_comes_back_as_it_was() -> None:
    store, proxy = opened(A), ModelProxy()
    session = connected(store, proxy)
    exchange(session, proxy)
    for delta_ in (Delta(removals=(A.key,)), upserts(A)):
        change(store, session, delta_)
        exchange(session, proxy)
    assert proxy.bodies == {A.key: A.body}
