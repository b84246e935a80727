"""Errors of the server: waits, states that heal by themselves, and no request more than needed."""

import pytest

from fairlead.kube import (
    Disconnected,
    Forbidden,
    KubeError,
    NotFound,
    ProtocolError,
    ServerError,
    TLSFailed,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from fairlead.kube._effects import AwaitServer, Late, List, Sleep, Watch
from tests.kube.sim import Sim
from tests.kube.test_reflector_resume import started


def test_the_backoff_doubles_from_800_ms_to_30_s() -> None:
    sim = Sim()
    waits = []
    for _ in range(12):
        sim.fail(ServerError("500", status=500))
        assert isinstance(sim.operation, Sleep)
        waits.append(sim.operation.seconds)
        sim.answer()
    assert 0.8 <= waits[0] <= 1.6
    assert 1.6 <= waits[1] <= 3.2
    assert 3.2 <= waits[2] <= 6.4
    assert all(15 <= wait <= 30 for wait in waits[6:])
    assert len(set(waits[6:])) == 6, "also waits at the cap are spread"


def test_the_backoff_begins_anew_after_two_minutes_without_failure() -> None:
    sim = Sim()
    for _ in range(6):
        sim.fail(ServerError("500", status=500))
        sim.answer()
    sim.run_until_watching()
    sim.now += 121
    sim.fail(ServerError("500", status=500))
    assert isinstance(sim.operation, Sleep)
    assert sim.operation.seconds <= 1.6


@pytest.mark.parametrize("seconds", [0.0, 1.0, 7.0])
@pytest.mark.parametrize("phase", ["list", "watch"])
def test_429_waits_as_retry_after_says_and_repeats_the_same(seconds: float, phase: str) -> None:
    sim = Sim() if phase == "list" else started()
    kind = List if phase == "list" else Watch
    sim.fail(TooManyRequests("slow down", status=429, retry_after=seconds))
    assert isinstance(sim.operation, Sleep)
    assert max(seconds, 0.8) <= sim.operation.seconds <= max(seconds * 1.25, 0.8)
    sim.answer()
    assert isinstance(sim.operation, kind)
    assert sim.state[-1] == "TooManyRequests"
    sim.run_until_watching()
    assert sim.state[-1] == "ok"


def test_429_for_ever_does_not_become_a_request_a_second_for_ever() -> None:
    sim = started()
    start = sim.now
    while sim.now - start < 900:
        if isinstance(sim.operation, Watch):
            sim.fail(TooManyRequests("slow down", status=429, retry_after=0.0))
        else:
            sim.answer()
    late = [at for at, _ in sim.requests if at > start + 300]
    assert len(late) <= 600 / 15 + 1
    sim.assert_no_hot_loop()


def test_an_absurd_retry_after_is_capped() -> None:
    sim = started()
    sim.fail(TooManyRequests("slow down", status=429, retry_after=1e9))
    assert isinstance(sim.operation, Sleep)
    assert sim.operation.seconds <= 301


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Forbidden("cannot list", status=403), "Forbidden"),
        (Unauthorized("who are you", status=401), "Unauthorized"),
        (ServerError("boom", status=500), "ServerError"),
        (TLSFailed("self-signed"), "TLSFailed"),
        (Unreachable("refused"), "Unreachable"),
        (ProtocolError("no JSON", code="ListUnreadable"), "ListUnreadable"),
    ],
)
def test_a_refused_list_is_told_once_and_heals_by_itself(error: KubeError, code: str) -> None:
    sim = Sim()
    sim.world.put("a")
    for _ in range(5):
        sim.fail(error)
        assert sim.state == [code]
        sim.reachable = True
        sim.answer()
        assert isinstance(sim.operation, List)
    sim.run_until_watching()
    assert sim.state == [code, "ok"]
    assert sim.view == sim.world.objects
    sim.assert_no_hot_loop()


def answer_404(sim: Sim, *, seconds: float) -> None:
    """Whatever is asked in this time is answered with 404."""
    until = sim.now + seconds
    while sim.now < until:
        if isinstance(sim.operation, List | Watch):
            sim.fail(NotFound("404 page not found", status=404))
        else:
            sim.answer()


def test_404_for_a_moment_does_not_count_as_not_installed() -> None:
    sim = Sim()
    sim.world.put("a")
    answer_404(sim, seconds=15)
    sim.run_until_watching()
    assert sim.state == ["NotFound", "ok"]
    assert sim.view == sim.world.objects


@pytest.mark.parametrize("seed", range(10))
def test_404_that_lasts_for_30_s_means_that_it_is_not_installed(seed: int) -> None:
    sim = Sim(seed=seed)
    first = sim.now
    while sim.state[-1:] != ["NotInstalled"]:
        answer_404(sim, seconds=0.001)
    assert sim.state == ["NotFound", "NotInstalled"]
    assert 30 <= sim.now - first <= 30.5, "told soon after it has lasted, whatever the backoff says"
    answer_404(sim, seconds=600)
    assert sim.state == ["NotFound", "NotInstalled"]
    sim.assert_no_hot_loop()
    sim.world.put("a")
    sim.run_until_watching()
    assert sim.state == ["NotFound", "NotInstalled", "ok"]


@pytest.mark.parametrize(
    "other", [ServerError("starting", status=503), Forbidden("no", status=403), Unreachable("refused")]
)
def test_404_counts_anew_after_any_other_answer(other: KubeError) -> None:
    sim = Sim()
    answer_404(sim, seconds=20)
    while not isinstance(sim.operation, List):
        sim.answer()
    sim.fail(other)
    answer_404(sim, seconds=29)
    assert sim.state == ["NotFound", other.code, "NotFound"]
    answer_404(sim, seconds=32)
    assert sim.state[-1] == "NotInstalled"


def test_404_counts_anew_after_it_could_be_read() -> None:
    sim = started()
    sim.now += 60
    sim.fail(NotFound("404 page not found", status=404))
    answer_404(sim, seconds=20)
    sim.run_until_watching()
    sim.now += 60
    answer_404(sim, seconds=20)
    assert sim.state == ["ok", "NotFound", "ok", "NotFound"]


@pytest.mark.parametrize(
    "error", [Forbidden("no", status=403), NotFound("no", status=404), ServerError("no", status=503)]
)
def test_after_it_was_read_once_a_refusal_keeps_the_copy(error: KubeError) -> None:
    sim = started()
    sim.now += 400
    start = sim.now
    while sim.now - start < 3600:
        if isinstance(sim.operation, List | Watch):
            sim.fail(error)
        else:
            sim.answer()
    assert len(sim.view) == 2
    assert sim.state[-1] != "ok"
    sim.assert_no_hot_loop()
    sim.world.delete("a")
    sim.settle(60)
    assert sim.state[-1] == "ok"


def test_a_watch_that_is_refused_while_the_list_is_not_is_no_state_that_flaps() -> None:
    sim = Sim()
    start = sim.now
    while sim.now - start < 1000:
        if isinstance(sim.operation, Watch):
            sim.fail(Forbidden("cannot watch", status=403))
        else:
            sim.answer()
    assert sim.state == ["ok", "Forbidden"]
    assert len(sim.lists()) == 1
    while sim.now - start < 2500:
        if isinstance(sim.operation, Watch):
            sim.fail(Forbidden("cannot watch", status=403))
        else:
            sim.answer()
    assert len(sim.lists()) >= 2, "the backstop lists all the same"


def test_500_in_the_stream_is_resumed_a_few_times_then_listed() -> None:
    sim = started()
    for _ in range(5):
        sim.stream_error(ServerError("etcdserver: timeout", status=500))
        sim.answer()
        assert isinstance(sim.operation, Watch)
        sim.answer()
    sim.stream_error(ServerError("etcdserver: timeout", status=500))
    sim.answer()
    assert isinstance(sim.operation, List)
    assert len(sim.view) == 2
    sim.assert_no_hot_loop()


def test_a_line_that_cannot_be_read_resumes_from_the_last_good_event() -> None:
    sim = started()
    sim.world.put("c")
    sim.deliver()
    version = sim.reflector.version
    sim.stream_error(ProtocolError("no JSON", code="LineUnreadable"))
    sim.answer()
    assert isinstance(sim.operation, Watch)
    assert sim.operation.version == version


def test_a_missing_collection_found_by_the_watch_is_looked_at_by_a_list() -> None:
    sim = started()
    sim.now += 60
    sim.fail(NotFound("the CRD was removed", status=404))
    assert sim.state[-1] == "NotFound"
    sim.answer()
    assert isinstance(sim.operation, List)


def test_after_an_outage_the_backoff_begins_anew() -> None:
    sim = started()
    for _ in range(6):
        sim.fail(ServerError("stopping", status=503))
        sim.answer()
    sim.fail(Unreachable("refused"))
    assert isinstance(sim.operation, AwaitServer)
    sim.answer()
    sim.fail(ServerError("starting", status=503))
    assert isinstance(sim.operation, Sleep)
    assert sim.operation.seconds <= 1.6


def test_the_end_of_an_outage_cuts_the_wait_after_a_broken_connection_short() -> None:
    from fairlead.kube._effects import Woke

    sim = started()
    for _ in range(4):
        sim.fail(Disconnected("the server is stopping"))
        assert isinstance(sim.operation, Sleep)
        assert sim.operation.until_recovery
        sim.answer()
    sim.fail(Disconnected("the server is stopping"))
    sim.feed(Woke(recovered=True))
    assert isinstance(sim.operation, Watch)
    sim.fail(ServerError("starting", status=503))
    assert isinstance(sim.operation, Sleep)
    assert sim.operation.seconds <= 1.6, "and the backoff has begun anew"
    assert not sim.operation.until_recovery, "errors of HTTP keep their waits"


def test_a_first_list_that_hangs_is_told() -> None:
    sim = Sim()
    sim.feed(Late())
    assert sim.state == ["Slow"]
    sim.run_until_watching()
    assert sim.state == ["Slow", "ok"]


def test_a_later_list_that_hangs_is_not_told_as_the_copy_is_there() -> None:
    from fairlead.kube import Gone

    sim = started()
    sim.stream_error(Gone("x"))
    sim.answer()
    assert isinstance(sim.operation, List)
    sim.feed(Late())
    assert sim.state == ["ok"]


def test_three_seconds_of_500_cost_few_requests() -> None:
    worst = 0
    for seed in range(30):
        sim = Sim(seed=seed)
        start = sim.now
        while sim.now - start < 3:
            if isinstance(sim.operation, List):
                sim.fail(ServerError("500", status=500))
            else:
                sim.answer()
        worst = max(worst, len([1 for at, _ in sim.requests if at - start <= 3]))
    assert worst <= 4


def test_three_seconds_of_resets_cost_few_requests() -> None:
    worst = 0
    for seed in range(30):
        sim = started(seed=seed)
        start = sim.now
        while sim.now - start < 3:
            if isinstance(sim.operation, Watch):
                sim.fail(Disconnected("reset"))
            else:
                sim.answer()
        worst = max(worst, len([1 for at, _ in sim.requests if 0 < at - start <= 3]))
    assert worst <= 4
