"""What is seen of which edition, and when the rest is let go of."""

import pytest

from fairlead.snapshot import Key, Kind
from fairlead.stream import EndpointSet, Keys
from fairlead.stream._editions import Editions, View
from tests.stream.model import encoded, route

ONE = encoded(Kind.ROUTE, "a", route("a"))
TWO = encoded(Kind.ROUTE, "a", route("a", padding=1))
THREE = encoded(Kind.ROUTE, "a", route("a", padding=2))
KEY = ONE.key


@pytest.fixture
def editions() -> Editions:
    editions = Editions()
    editions.stage(KEY, ONE, tentative=False)
    editions.advance()
    return editions


def now(editions: Editions) -> object:
    return editions.get(KEY, editions.edition)


def test_what_is_staged_is_seen_by_nobody_before_the_edition_moves(editions: Editions) -> None:
    editions.stage(KEY, TWO, tentative=True)
    other = Key(Kind.ROUTE, "b")
    editions.stage(other, TWO, tentative=False)
    assert now(editions) is ONE
    assert list(editions) == [KEY]
    assert not editions.view().is_tentative(KEY)
    editions.advance()
    assert now(editions) is TWO
    assert set(editions) == {KEY, other}
    assert editions.view().is_tentative(KEY)
    assert editions.view().keeps_unnamed(Kind.BACKEND)


def test_a_view_sees_its_edition_through_all_later_ones(editions: Editions) -> None:
    views: list[tuple[View, object]] = [(editions.view(), ONE)]
    for version in (TWO, None, THREE):
        editions.stage(KEY, version, tentative=False)
        editions.advance()
        views.append((editions.view(), version))
        editions.tidy(100)
    assert [view.get(KEY) for view, _ in views] == [seen for _, seen in views]


def test_what_nobody_can_see_is_let_go_of_a_few_at_a_time(editions: Editions) -> None:
    keys = [Key(Kind.ROUTE, f"r{number}") for number in range(5)]
    for version in (ONE, TWO):
        for key in keys:
            editions.stage(key, version, tentative=False)
        editions.advance()
    view = editions.view()
    for key in keys:
        editions.stage(key, None, tentative=False)
    editions.advance()
    assert not editions.tidy(100), "the removals must wait for the view"
    assert [view.get(key) for key in keys] == [TWO] * 5
    del view
    assert editions.tidy(3)
    assert len(editions.candidates(Kind.ROUTE)) == 1 + 2
    assert not editions.tidy(3)
    assert editions.candidates(Kind.ROUTE) == [KEY]


def test_a_long_history_is_let_go_of(editions: Editions) -> None:
    view = editions.view()
    for _ in range(100_000):
        editions.stage(KEY, TWO, tentative=False)
        editions.advance()
    assert view.get(KEY) is ONE
    assert not editions.tidy(10)
    del view
    while editions.tidy(1000):
        pass
    assert now(editions) is TWO


def test_an_amended_version_is_seen_by_all_and_survives_what_is_staged_after_it() -> None:
    editions, key = Editions(), Key(Kind.ENDPOINTS, "web")
    view = editions.view()
    editions.stage(key, None, tentative=False)
    first, second = EndpointSet("h", b""), EndpointSet("i", b"")
    editions.amend(key, first)
    assert view.get(key) is first
    editions.amend(key, second)
    assert view.get(key) is second
    assert editions.get(key, editions.edition) is second
    editions.advance()
    assert editions.get(key, editions.edition) is None


def test_keys_are_merged_and_the_merged_stay_as_they_are() -> None:
    routes = [Key(Kind.ROUTE, f"r{number}") for number in range(9)]
    big, small = Keys(routes), Keys([routes[0], Key(Kind.BIND, "x")])
    for target, other in ((Keys(small), big), (Keys(big), small)):
        before = set(other)
        target.update(other)
        target.add(Key(Kind.LISTENER, "l"))
        target.add(Key(Kind.ROUTE, "new"))
        assert set(target) == {*routes, Key(Kind.BIND, "x"), Key(Kind.LISTENER, "l"), Key(Kind.ROUTE, "new")}
        assert set(other) == before
        assert len(target) == 12
