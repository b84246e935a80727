"""What enters the Snapshot, and what a refusal does."""

import pytest

from fairlead.snapshot import Endpoints, EndpointsDelta, Key, Kind, Rejection, decode_resource, endpoints_hash
from fairlead.stream import BaseUnknownError, Store
from fairlead.translate import Delta, Part
from tests.stream.model import encoded, endpoint, endpoints, route, upserts

GOOD = encoded(Kind.ROUTE, "a", route("a"))
BAD = encoded(Kind.ROUTE, "a", route("bad"))
OTHER = encoded(Kind.ROUTE, "b", route("b"))


def picky(key: Key, body: bytes) -> Rejection | None:
    if b"bad" in body:
        return Rejection(kind=key.kind, name=key.name, reason="Invalid", message="it says bad")
    return None


def step(before: Endpoints, after: Endpoints) -> Delta:
    old = {item.id: item for item in before.endpoints}
    new = {item.id: item for item in after.endpoints}
    return Delta(
        endpoints=(
            EndpointsDelta(
                name="web",
                base=endpoints_hash(before),
                hash=endpoints_hash(after),
                upserts=tuple(item for item in after.endpoints if old.get(item.id) != item),
                removals=tuple(key for key in old if key not in new),
            ),
        )
    )


def web(*pods: str) -> Endpoints:
    return endpoints(*map(endpoint, pods))


KEY = Key(Kind.ENDPOINTS, "web")


def held(store: Store) -> Endpoints:
    version = store.get(KEY)
    assert version is not None
    resource = decode_resource(Kind.ENDPOINTS, version.body)
    assert isinstance(resource, Endpoints)
    assert version.hash == endpoints_hash(resource)
    return resource


def test_a_refused_resource_leaves_the_last_good_version_and_holds_nothing_up() -> None:
    store = Store(picky)
    store.commit(upserts(GOOD))
    assert set(store.commit(upserts(BAD, OTHER))) == {OTHER.key}
    version = store.get(GOOD.key)
    assert version is not None
    assert version.body == GOOD.body
    assert [(item.name, item.reason) for item in store.refused.values()] == [("a", "Invalid")]


def test_a_refusal_ends_when_the_resource_is_mended_or_removed() -> None:
    for mending in (upserts(GOOD), Delta(removals=(GOOD.key,))):
        store = Store(picky)
        store.commit(upserts(BAD))
        assert len(store.refused) == 1
        store.commit(mending)
        assert not store.refused


def test_a_refused_resource_without_a_good_version_is_absent() -> None:
    store = Store(picky)
    assert not store.commit(upserts(BAD))
    assert BAD.key not in store


def test_only_commits_that_change_something_count() -> None:
    store = Store(picky)
    store.commit(upserts(GOOD))
    store.commit(upserts(GOOD))
    store.commit(Delta(removals=(OTHER.key,)))
    assert store.generation == 1


def test_endpoint_changes_lead_to_the_same_bytes_as_the_whole() -> None:
    store = Store(picky)
    store.commit(upserts(encoded(Kind.ENDPOINTS, "web", web("p1", "p2"))))
    store.commit(step(web("p1", "p2"), web("p2", "p0")))
    assert held(store) == web("p0", "p2")


def test_a_refused_endpoint_change_leaves_the_others_and_heals() -> None:
    store = Store(picky)
    store.commit(upserts(encoded(Kind.ENDPOINTS, "web", web("p1"))))
    assert not store.commit(step(web("p1"), web("p1", "bad")))
    assert held(store) == web("p1")
    assert KEY in store.refused
    store.commit(step(web("p1", "bad"), web("p1", "bad", "p2")))
    assert held(store) == web("p1")
    store.commit(step(web("p1", "bad", "p2"), web("p1", "p2")))
    assert held(store) == web("p1", "p2")
    assert not store.refused
    assert store.view().endpoints_since(KEY, endpoints_hash(web("p1"))) is not None


def test_a_change_from_an_unknown_version_is_an_error_of_ours() -> None:
    store = Store(picky)
    store.commit(upserts(encoded(Kind.ENDPOINTS, "web", web("p1"))))
    with pytest.raises(BaseUnknownError):
        store.commit(step(web("elsewhere"), web("p2")))


def test_the_way_from_a_version_that_comes_back_is_the_latest() -> None:
    store = Store(picky)
    store.commit(upserts(encoded(Kind.ENDPOINTS, "web", web("p1"))))
    for before, after in ((web("p1"), web("p2")), (web("p2"), web("p1")), (web("p1"), web("p1", "p3"))):
        store.commit(step(before, after))
    found = store.view().endpoints_since(KEY, endpoints_hash(web("p1")))
    assert found is not None
    assert [item.id for item in found.upserts] == [endpoint("p3").id]
    assert found.removals == ()


def test_the_journal_forgets_what_is_long_ago() -> None:
    store = Store(picky)
    store.commit(upserts(encoded(Kind.ENDPOINTS, "web", web("p0"))))
    for number in range(2100):
        store.commit(step(web(f"p{number}"), web(f"p{number + 1}")))
    assert store.view().endpoints_since(KEY, endpoints_hash(web("p0"))) is None
    assert store.view().endpoints_since(KEY, endpoints_hash(web("p2099"))) is not None
    assert held(store) == web("p2100")


def test_the_parts_of_a_delta_come_into_force_with_the_last() -> None:
    store = Store(picky)
    store.commit(upserts(GOOD, encoded(KEY.kind, KEY.name, web("p1"))))
    generation = store.generation
    news = encoded(Kind.ROUTE, "a", route("a", padding=1))
    assert not store.commit(Delta(part=Part.MORE, upserts=(news, encoded(Kind.ROUTE, "c", route("bad")))))
    assert set(store.commit(step(web("p1"), web("p1", "p2")))) == {KEY}
    assert store.generation == generation + 1
    assert store.get(GOOD.key) == GOOD
    assert not store.refused
    assert not store.commit(Delta(part=Part.MORE, removals=(KEY,)))
    assert held(store) == web("p1", "p2")
    assert set(store.commit(Delta(part=Part.LAST, upserts=(OTHER,)))) == {news.key, KEY, OTHER.key}
    assert store.generation == generation + 2
    assert set(store) == {news.key, OTHER.key}
    assert [item.name for item in store.refused.values()] == ["c"]


def test_a_view_stays_as_it_was_but_for_endpoints() -> None:
    store = Store(picky)
    store.commit(upserts(GOOD, encoded(KEY.kind, KEY.name, web("p1"))))
    later = encoded(Kind.ROUTE, "a", route("a", padding=1))
    view = store.view()
    store.commit(upserts(later))
    store.commit(step(web("p1"), web("p2")))
    assert view.get(GOOD.key) == GOOD
    assert view.get(KEY) is store.get(KEY)
    assert store.view().get(GOOD.key) == later
