"""A watch is resumed where it ended; ends, bookmarks and repeats cost no list."""

from itertools import pairwise

from fairlead.kube import Disconnected
from fairlead.kube._effects import AwaitServer, Bookmark, Ended, List, Observed, Sleep, Stalled, Watch
from tests.kube.sim import Sim


def started(*, seed: int = 1) -> Sim:
    sim = Sim(seed=seed)
    sim.world.put("a")
    sim.world.put("b")
    sim.run_until_watching()
    return sim


def test_it_lists_from_the_cache_in_pages_then_watches_from_there() -> None:
    sim = started()
    assert sim.requests[0][1] == List("0", 500)
    watch = sim.watches()[0]
    assert watch.version == str(sim.world.version)
    assert 300 <= watch.timeout <= 600
    assert 90 <= watch.inactivity <= 120
    assert sim.state == ["ok"]
    assert len(sim.view) == 2


def test_a_clean_close_resumes_from_the_last_event_without_a_list() -> None:
    sim = started()
    last = sim.world.put("c")
    sim.deliver()
    sim.now += 30
    sim.feed(Ended())
    sim.world.delete("b")
    sim.world.put("d")
    sim.run_until_watching()
    sim.deliver()
    assert sim.watches()[1].version == last.metadata.resource_version
    assert len(sim.lists()) == 1
    assert {ref.name for ref in sim.view} == {"a", "c", "d"}
    assert sim.state == ["ok"]


def test_a_bookmark_moves_the_place_to_resume_from() -> None:
    sim = started()
    sim.world.tick()
    sim.bookmark()
    sim.now += 30
    sim.feed(Ended())
    assert sim.watches()[-1].version == str(sim.world.version)


def test_hours_of_bookmarks_only_cost_two_or_three_lists_an_hour() -> None:
    sim = started()
    for _ in range(12 * 60):
        sim.world.tick()
        sim.pass_time(60)
    assert not [
        change for change in sim.changes[3:] if type(change).__name__ in {"Put", "Deleted", "Unreadable"}
    ]
    lists = [at for at, operation in sim.requests if isinstance(operation, List)]
    gaps = [b - a for a, b in pairwise(lists)]
    assert all(gap <= 30 * 60 for gap in gaps), "a full list at most every 30 minutes"
    assert 12 * 2 <= len(lists) <= 12 * 3 + 2
    assert len(sim.watches()) <= 12 * 13
    assert all(operation.version == "" for operation in sim.lists()[1:]), (
        "the backstop asks for the newest state"
    )
    sim.assert_no_hot_loop()


def test_an_event_told_twice_changes_nothing_the_second_time() -> None:
    sim = started()
    obj = sim.world.put("c")
    sim.deliver()
    before = len(sim.changes)
    sim.feed(Observed("ADDED", obj))
    sim.feed(Observed("MODIFIED", obj))
    assert len(sim.changes) == before
    assert isinstance(sim.operation, Watch)
    assert sim.position is not None, "the watch goes on"


def test_a_deletion_told_twice_changes_nothing_the_second_time() -> None:
    sim = started()
    sim.world.delete("a")
    event = sim.world.log[-1]
    sim.deliver()
    before = len(sim.changes)
    sim.feed(Observed("DELETED", event.object))
    assert len(sim.changes) == before
    assert sim.position is not None


def test_a_very_short_watch_without_events_is_an_error_and_leads_to_a_list() -> None:
    sim = started()
    sim.now += 0.3
    sim.feed(Ended())
    assert isinstance(sim.operation, Sleep)
    assert sim.operation.seconds >= 0.8
    assert sim.state[-1] == "WatchTooShort"
    sim.answer()
    assert isinstance(sim.operation, List)
    assert sim.operation.version == sim.reflector.version
    sim.run_until_watching()
    assert sim.state[-1] == "ok"


def test_a_server_that_ends_every_watch_at_once_is_asked_ever_more_rarely() -> None:
    sim = started()
    start = sim.now
    for _ in range(400):
        if sim.position is not None:
            sim.feed(Ended())
        else:
            sim.answer()
        if sim.now - start > 600:
            break
    sim.assert_no_hot_loop()
    assert len([1 for at, _ in sim.requests if at > start + 60]) <= 2 * (600 - 60) / 15 + 4


def test_a_server_that_ends_every_watch_after_one_event_is_asked_once_a_second() -> None:
    sim = started()
    start = sim.now
    while sim.now - start < 60:
        sim.answer()
        if sim.position is not None:
            sim.world.put("a")
            sim.deliver()
            sim.feed(Ended())
    assert len(sim.watches()) <= 62
    assert len(sim.lists()) == 1
    sim.assert_no_hot_loop()


def test_a_lost_watch_that_lived_is_resumed_after_a_short_spread() -> None:
    sim = started()
    sim.now += 100
    sim.fail(Disconnected("reset"))
    assert isinstance(sim.operation, Sleep)
    assert sim.operation.seconds <= 0.5
    assert sim.state == ["ok"], "a single loss is not worth a word"
    sim.answer()
    assert isinstance(sim.operation, Watch)


def test_watches_cut_every_minute_stay_fresh() -> None:
    sim = started()
    for _ in range(60):
        sim.now += 60
        sim.fail(Disconnected("idle timeout of a load balancer"))
        assert isinstance(sim.operation, Sleep)
        assert sim.operation.seconds <= 0.5
        sim.run_until_watching()
    assert set(sim.state) == {"ok"}


def test_resets_at_once_back_off_and_after_five_the_collection_is_listed() -> None:
    sim = started()
    for _ in range(5):
        sim.fail(Disconnected("reset"))
        assert isinstance(sim.operation, Sleep)
        sim.answer()
        assert isinstance(sim.operation, Watch)
    sim.fail(Disconnected("reset"))
    sim.answer()
    assert isinstance(sim.operation, List)
    sim.assert_no_hot_loop()


def test_silence_of_a_stream_with_bookmarks_leads_to_a_list_of_at_least_that_version() -> None:
    sim = started()
    sim.bookmark()
    sim.now += 100
    sim.feed(Stalled())  # a bookmark had come in this watch: a broken connection is likelier
    sim.run_until_watching()
    assert len(sim.lists()) == 1
    sim.now += 100
    sim.feed(Stalled())
    sim.answer()
    assert sim.operation == List(sim.reflector.version)


def test_silence_of_a_server_without_bookmarks_is_suspected_once_then_only_resumes() -> None:
    sim = started()
    for _ in range(10):
        sim.now += 100
        sim.feed(Stalled())
        assert isinstance(sim.operation, Sleep)
        assert sim.operation.seconds <= 0.5
        sim.run_until_watching()
    assert len(sim.lists()) == 2
    assert len(sim.watches()) == 11
    sim.assert_no_hot_loop()


def test_initial_events_of_a_watch_from_nowhere_do_not_move_the_version() -> None:
    sim = Sim()
    sim.world.put("a")
    sim.world.put("b")
    sim.list_with([], "0")
    sim.feed(Observed("ADDED", sim.world.log[1].object))
    sim.feed(Observed("ADDED", sim.world.log[0].object))
    assert sim.reflector.version == "0"
    assert len(sim.view) == 2
    sim.feed(Bookmark(str(sim.world.version)))
    assert sim.reflector.version == str(sim.world.version)


def test_while_refused_the_shared_probe_decides_and_the_watch_is_resumed() -> None:
    from fairlead.kube import Unreachable

    sim = started()
    sim.reachable = False
    sim.fail(Unreachable("refused"))
    assert isinstance(sim.operation, AwaitServer)
    for _ in range(40):
        sim.answer()
    assert len(sim.requests) == 2, "no request of its own during the outage"
    assert len(sim.view) == 2
    assert sim.state[-1] == "Unreachable"
    sim.reachable = True
    sim.world.put("c")
    sim.run_until_watching()
    sim.deliver()
    assert len(sim.lists()) == 1
    assert sim.state[-1] == "ok"
    assert len(sim.view) == 3
