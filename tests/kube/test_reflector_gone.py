"""410 in every form, relists as diffs, pages, and versions that go backwards."""

import pytest

from fairlead.kube import Deleted, Gone, ServerError, VersionTooLarge
from fairlead.kube._effects import Ended, Failed, List, Listed, Observed, Sleep, StreamError, Watch
from fairlead.resources import Ref
from tests.kube.sim import Sim
from tests.kube.test_reflector_resume import started
from tests.kube.world import make_slice


@pytest.mark.parametrize("in_stream", [True, False], ids=["in the stream", "as a status"])
def test_410_lists_from_the_last_version_and_deletes_what_vanished(in_stream: bool) -> None:
    sim = started()
    sim.world.put("c")
    sim.deliver()
    last = sim.reflector.version
    if in_stream:
        sim.stream_error(Gone("too old"))
    else:
        sim.now += 60
        sim.feed(Ended())
        sim.fail(Gone("too old"))
    sim.world.delete("b")
    sim.world.put("d")
    held = sim.view[Ref("default", "b")]
    sim.world.compact()
    assert isinstance(sim.operation, Sleep)
    assert sim.operation.seconds <= 0.5, "the first one is only spread"
    assert len(sim.view) == 3, "the copy survives until the list is there"
    sim.run_until_watching()
    assert sim.lists()[-1] == List(last), "unpaged, at least as new as what is known"
    assert {ref.name for ref in sim.view} == {"a", "c", "d"}
    removed = [change for change in sim.changes if isinstance(change, Deleted)]
    assert [change.object for change in removed] == [held]
    assert sim.state == ["ok"]


def test_endless_410_backs_off() -> None:
    sim = started()
    start = sim.now
    while sim.now - start < 600:
        if sim.position is not None or isinstance(sim.operation, Watch):
            sim.fail(Gone("too old"))
        else:
            sim.answer()
    sim.assert_no_hot_loop()
    late = [at for at, _ in sim.requests if at > start + 120]
    assert len(late) <= 2 * (480 / 15) + 2
    assert sim.view == sim.world.objects


@pytest.mark.parametrize("error", [Gone("expired"), VersionTooLarge("Too large resource version")])
def test_a_list_whose_version_is_refused_asks_once_for_the_newest_state(error: Gone) -> None:
    sim = started()
    sim.stream_error(Gone("too old"))
    sim.answer()
    sim.fail(error)
    assert sim.operation == List("", 500)
    sim.fail(error)
    assert isinstance(sim.operation, Sleep), "the newest state cannot be refused: then it is an error"


def test_the_first_relist_does_not_emit_what_has_not_changed() -> None:
    sim = started()
    before = len(sim.changes)
    sim.stream_error(Gone("too old"))
    sim.run_until_watching()
    assert len(sim.changes) == before


def test_an_object_made_anew_unseen_is_told_as_removed_and_new() -> None:
    sim = started()
    old = sim.view[Ref("default", "a")]
    sim.stream_error(Gone("too old"))
    sim.world.delete("a")
    new = sim.world.put("a")
    sim.run_until_watching()
    assert [type(change).__name__ for change in sim.changes[-2:]] == ["Deleted", "Put"]
    assert sim.changes[-2] == Deleted(old)
    assert sim.view[Ref("default", "a")] == new


def test_pages_make_one_list_and_vanished_objects_go_at_its_end() -> None:
    sim = started()
    sim.stream_error(Gone("too old"))
    sim.answer()
    sim.fail(Gone("expired"))
    sim.world.delete("b")
    sim.world.put("c")
    version = str(sim.world.version)
    sim.list_with([sim.world.objects[Ref("default", "a")]], version, "next")
    assert sim.operation == List("", 500, "next")
    assert Ref("default", "b") in sim.view, "half a list removes nothing"
    sim.list_with([sim.world.objects[Ref("default", "c")]], version)
    assert {ref.name for ref in sim.view} == {"a", "c"}
    assert sim.watches()[-1].version == version


def test_an_expired_page_lists_all_at_once() -> None:
    sim = Sim()
    a, b = sim.world.put("a"), sim.world.put("b")
    sim.list_with([a], "102", "next")
    sim.fail(Gone("the continue token is too old"))
    assert sim.operation == List("0", 0)
    sim.list_with([a, b], "102")
    assert len(sim.view) == 2
    sim.feed(Failed(Gone("x")))
    sim.assert_no_hot_loop()


@pytest.mark.parametrize("tokens", ["the same", "always another"])
def test_a_list_without_end_is_an_error_with_a_wait(tokens: str) -> None:
    sim = started()
    sim.stream_error(Gone("too old"))
    sim.answer()
    sim.fail(Gone("expired"))
    pages = 0
    while isinstance(sim.operation, List):
        pages += 1
        sim.list_with([], str(sim.world.version), "t" if tokens == "the same" else f"t{pages}")
        assert pages <= 10_000
    assert sim.state[-1] == "ListEndless"
    assert len(sim.view) == 2


def test_a_failing_page_repeats_the_list_and_removes_nothing() -> None:
    sim = started()
    sim.stream_error(Gone("too old"))
    sim.answer()
    sim.fail(Gone("expired"))
    sim.list_with([sim.world.objects[Ref("default", "a")]], str(sim.world.version), "next")
    sim.fail(ServerError("500", status=500))
    assert len(sim.view) == 2
    sim.run_until_watching()
    assert len(sim.view) == 2


def test_restored_etcd_versions_back_full_resync() -> None:
    """K5: the watch is silent, as the server waits for versions that are far off."""
    sim = started()
    backup = sim.world.backup()
    sim.world.put("c")
    sim.world.delete("a")
    sim.deliver()
    sim.bookmark()
    sim.world.restore(backup)
    sim.world.put("d")
    sim.now += 60
    sim.feed(Ended())
    start = sim.now
    sim.pass_time(150)
    assert sim.view == sim.world.objects, "the resync takes the older state as the truth"
    assert sim.now - start <= 160
    assert sim.reflector.stats.resets == 1
    assert sim.reflector.version == str(sim.world.version)
    sim.assert_no_hot_loop()


def test_a_server_that_answers_a_list_with_an_older_version_is_asked_for_the_newest() -> None:
    """K6: a stale replica behind the same address."""
    sim = started()
    stale = list(sim.world.objects.values())
    sim.world.put("a", addresses=["10.0.0.9"])
    sim.world.put("c")
    sim.deliver()
    sim.stream_error(Gone("too old"))
    sim.answer()
    before = dict(sim.view)
    sim.list_with(stale, "101")
    assert sim.operation == List("", 500)
    assert sim.view == before
    sim.run_until_watching()
    assert sim.view == sim.world.objects


def test_a_listed_item_that_is_older_than_the_one_held_is_passed_over() -> None:
    sim = started()
    old = sim.view[Ref("default", "a")]
    new = sim.world.put("a", addresses=["10.0.0.9"])
    sim.deliver()
    sim.stream_error(Gone("too old"))
    sim.answer()
    assert isinstance(sim.operation, List)
    assert sim.operation.version != ""
    sim.list_with([old, sim.view[Ref("default", "b")]], str(sim.world.version))
    assert sim.view[Ref("default", "a")] == new


def test_a_restored_etcd_that_gives_the_same_versions_to_other_contents_is_found_by_the_backstop() -> None:
    sim = started()
    backup = sim.world.backup()
    sim.world.put("a", addresses=["10.0.0.8"])
    sim.deliver()
    sim.world.restore(backup)
    other = sim.world.put("a", addresses=["10.0.0.9"])
    assert other.metadata.resource_version == sim.view[Ref("default", "a")].metadata.resource_version
    sim.pass_time(30 * 60 + 10)
    assert sim.view == sim.world.objects


def test_an_older_event_is_dropped_and_the_newest_state_listed() -> None:
    sim = started()
    old = sim.view[Ref("default", "a")]
    sim.world.put("a", addresses=["10.0.0.9"])
    sim.deliver()
    sim.feed(Observed("MODIFIED", old))
    assert sim.view == sim.world.objects
    sim.answer()
    assert sim.operation == List("", 500)
    sim.run_until_watching()
    assert sim.view == sim.world.objects


def test_an_older_bookmark_lists_the_newest_state() -> None:
    from fairlead.kube._effects import Bookmark

    sim = started()
    sim.feed(Bookmark("7"))
    sim.answer()
    assert sim.operation == List("", 500)


def test_a_server_whose_every_event_is_older_makes_no_hot_loop() -> None:
    sim = started()
    start = sim.now
    old = make_slice("x", "web", ["10.0.0.1"], uid="u", version=1)
    while sim.now - start < 300:
        sim.answer()
        if sim.position is not None:
            sim.feed(Observed("ADDED", old))
    sim.assert_no_hot_loop()
    assert sim.view == sim.world.objects


def test_opaque_versions_are_followed_in_the_order_they_come() -> None:
    sim = Sim()
    one = make_slice("a", "web", ["10.0.0.1"], uid="u", version=1)
    sim.feed(Listed("blue"))
    from fairlead.kube._effects import PageEnd

    sim.feed(PageEnd())
    assert isinstance(sim.operation, Watch)
    assert sim.operation.version == "blue"
    import msgspec

    for version in ("red", "green"):
        meta = msgspec.structs.replace(one.metadata, resource_version=version)
        obj = msgspec.structs.replace(one, metadata=meta)
        sim.world.ever.add(("a", "u", version, "web", ("10.0.0.1",)))
        sim.feed(Observed("MODIFIED", obj))
    assert sim.reflector.version == "green"


def test_a_watch_that_the_server_does_not_end_is_ended_here() -> None:
    sim = started()
    watch = sim.watches()[-1]
    assert watch.timeout < watch.longest <= watch.timeout * 1.2
    sim.now += watch.longest
    sim.feed(Ended())
    assert isinstance(sim.operation, Watch)


def test_error_events_never_empty_the_copy() -> None:
    sim = started()
    for error in (Gone("x"), ServerError("x", status=500), VersionTooLarge("x")):
        sim.feed(StreamError(error))
        assert len(sim.view) == 2
        sim.run_until_watching()
        assert len(sim.view) == 2
