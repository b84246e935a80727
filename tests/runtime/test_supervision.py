"""When children start, end and are given up, in virtual time."""

import signal

import pytest

from fairlead.runtime._supervision import (
    BACKOFF_MAX_S,
    BACKOFF_MIN_S,
    GIVE_UP_AFTER,
    SETTLED_S,
    STOP_S,
    USAGE,
    Effect,
    Exit,
    GiveUp,
    Half,
    Signal,
    Start,
    Supervision,
)

CONTROLLER, PROXY = Half.CONTROLLER, Half.PROXY
DRAIN_S = 30.0


def running(now: float = 0.0) -> Supervision:
    supervision = Supervision(drain_s=DRAIN_S)
    assert supervision.begin(now) == [Start(CONTROLLER), Start(PROXY)]
    return supervision


def due(supervision: Supervision) -> tuple[float, list[Effect]]:
    """Lets time pass until something happens."""
    at = supervision.next_at()
    assert at is not None
    return at, supervision.tick(at)


@pytest.mark.parametrize("half", list(Half))
def test_the_death_of_one_half_starts_that_one_alone(half: Half) -> None:
    supervision = running()
    assert supervision.exited(half, -signal.SIGKILL, 5.0) == []
    assert due(supervision) == (5.0 + BACKOFF_MIN_S, [Start(half)])
    assert supervision.next_at() is None


def test_a_half_that_has_settled_starts_again_at_once() -> None:
    supervision = running()
    assert supervision.exited(PROXY, -signal.SIGKILL, SETTLED_S) == [Start(PROXY)]


def test_a_half_that_keeps_dying_is_started_later_and_later() -> None:
    supervision, now, delays = running(), 0.0, []
    for code in range(70, 82):
        supervision.exited(PROXY, code, now)
        at, effects = due(supervision)
        assert effects == [Start(PROXY)]
        delays.append(at - now)
        now = at
    assert delays == sorted(delays)
    assert delays[0] == BACKOFF_MIN_S
    assert delays[-1] == pytest.approx(BACKOFF_MAX_S)


def test_backoff_ends_when_a_half_has_settled() -> None:
    supervision, now = running(), 0.0
    for _ in range(5):
        supervision.exited(CONTROLLER, 1, now)
        now, _ = due(supervision)
    now += SETTLED_S
    assert supervision.exited(CONTROLLER, 1, now) == [Start(CONTROLLER)]
    supervision.exited(CONTROLLER, 1, now)
    assert due(supervision)[0] == pytest.approx(now + BACKOFF_MIN_S)


def test_a_usage_error_at_the_start_ends_everything_with_its_code() -> None:
    supervision = running()
    assert supervision.exited(CONTROLLER, USAGE, 0.5) == [Signal(PROXY, signal.SIGINT)]
    assert supervision.exited(PROXY, 0, 0.6) == [Exit(USAGE)]


def test_a_usage_error_after_a_half_has_settled_is_a_death_like_any_other() -> None:
    supervision = running()
    assert supervision.exited(CONTROLLER, 1, SETTLED_S) == [Start(CONTROLLER)]
    supervision.exited(CONTROLLER, USAGE, SETTLED_S + 1)
    assert due(supervision)[1] == [Start(CONTROLLER)]


def test_a_proxy_that_cannot_be_started_ends_everything_with_its_code() -> None:
    supervision, now = running(), 0.0
    for _ in range(GIVE_UP_AFTER - 1):
        supervision.exited(PROXY, 1, now)
        now, effects = due(supervision)
        assert effects == [Start(PROXY)]
    assert 2 <= now <= 15, "neither at once nor for long"
    assert supervision.exited(PROXY, 1, now) == [GiveUp(PROXY, 1), Signal(CONTROLLER, signal.SIGTERM)]
    assert supervision.exited(CONTROLLER, 0, now + 1) == [Exit(1)]


@pytest.mark.parametrize("why", ["controller", "signal", "settled", "different"])
def test_what_may_still_serve_is_never_given_up(why: str) -> None:
    supervision, now = running(), 0.0
    half = CONTROLLER if why == "controller" else PROXY
    if why == "settled":
        now = SETTLED_S
        assert supervision.exited(PROXY, 1, now) == [Start(PROXY)]
    for number in range(5 * GIVE_UP_AFTER):
        code = -signal.SIGKILL if why == "signal" else 1 + (number % 2 if why == "different" else 0)
        code = 70 if code == USAGE else code
        supervision.exited(half, code, now)
        now, effects = due(supervision)
        assert effects == [Start(half)]


def test_terminate_drains_the_proxy_and_stops_the_controller_after_it() -> None:
    supervision = running()
    assert supervision.terminate(100.0) == [Signal(PROXY, signal.SIGTERM)]
    assert supervision.exited(PROXY, 0, 120.0) == [Signal(CONTROLLER, signal.SIGTERM)]
    assert supervision.exited(CONTROLLER, 0, 121.0) == [Exit(0)]


def test_the_controller_may_end_while_the_proxy_drains() -> None:
    supervision = running()
    supervision.terminate(100.0)
    assert supervision.exited(CONTROLLER, -signal.SIGKILL, 101.0) == []
    assert supervision.exited(PROXY, 0, 120.0) == [Exit(0)]


def test_a_drain_that_does_not_end_is_killed_and_so_is_a_controller() -> None:
    supervision = running()
    supervision.terminate(100.0)
    assert due(supervision) == (100.0 + DRAIN_S + STOP_S, [Signal(PROXY, signal.SIGKILL)])
    supervision.exited(PROXY, -signal.SIGKILL, 136.0)
    assert due(supervision) == (136.0 + STOP_S, [Signal(CONTROLLER, signal.SIGKILL)])


def test_interrupt_stops_both_at_once() -> None:
    supervision = running()
    assert supervision.interrupt(1.0) == [Signal(CONTROLLER, signal.SIGTERM), Signal(PROXY, signal.SIGINT)]
    supervision.exited(PROXY, 0, 1.1)
    assert supervision.exited(CONTROLLER, 0, 1.2) == [Exit(130)]


def test_interrupt_cuts_a_drain_short() -> None:
    supervision = running()
    supervision.terminate(1.0)
    assert Signal(PROXY, signal.SIGINT) in supervision.interrupt(2.0)


def test_a_half_that_waits_for_its_restart_is_not_started_during_a_stop() -> None:
    supervision = running()
    supervision.exited(PROXY, 1, 1.0)
    assert supervision.terminate(1.01) == [Signal(CONTROLLER, signal.SIGTERM)]
    assert supervision.exited(CONTROLLER, 0, 1.02) == [Exit(0)]
    assert supervision.next_at() is None
