"""The election, in virtual time: several candidates with clocks of their own against one Lease."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.kube._election import Effect, Election, LeaseSettings, LeaseSpec, Read, Record, Wait, Write


class Api:
    """One Lease with optimistic locking."""

    def __init__(self) -> None:
        self.record: Record | None = None
        self.version = 0

    def write(self, write: Write) -> Record | None:
        """The new record, or None for a conflict."""
        if write.version != (self.record.version if self.record else None):
            return None
        self.version += 1
        spec = LeaseSpec(
            holder_identity=write.holder,
            lease_duration_seconds=write.duration,
            lease_transitions=write.transitions,
        )
        self.record = Record(str(self.version), spec)
        return self.record


class Candidate:
    def __init__(self, name: str, api: Api, *, skew: float = 0.0) -> None:
        self.election = Election(name, random=Random(name))
        self.api = api
        self.skew = skew
        """What its monotonic clock is ahead; wall clocks play no part at all."""
        self.effect: Effect = self.election.start()
        self.due = 0.0
        self.cut_off = False

    def now(self, time: float) -> float:
        return time + self.skew

    def holds(self, time: float) -> bool:
        return self.election.holds(self.now(time))

    def step(self, time: float) -> None:
        if time < self.due:
            return
        election, now = self.election, self.now(time)
        match self.effect:
            case Wait():
                self.effect = election.woke(now)
                self.step(time)
                return
            case Read():
                self.effect = (
                    election.failed(conflict=False, now=now)
                    if self.cut_off
                    else election.read(self.api.record, now)
                )
            case Write():
                record = None if self.cut_off else self.api.write(self.effect)
                self.effect = (
                    election.written(record, now)
                    if record is not None
                    else election.failed(conflict=not self.cut_off, now=now)
                )
        self.due = time + (self.effect.seconds if isinstance(self.effect, Wait) else 0.01)


def run(candidates: list[Candidate], start: float, seconds: float) -> float:
    time = start
    while time < start + seconds:
        for candidate in candidates:
            candidate.step(time)
        assert sum(candidate.holds(time) for candidate in candidates) <= 1, "two leaders"
        time += 0.05
    return time


def test_the_first_takes_a_lease_that_is_not_there() -> None:
    api = Api()
    one = Candidate("one", api)
    run([one], 0, 1)
    assert one.holds(1)
    assert one.election.holder == "one"
    assert api.record is not None
    assert api.record.spec.lease_duration_seconds == 15


def test_the_second_can_say_who_holds_it_and_does_not_write() -> None:
    api = Api()
    one, two = Candidate("one", api), Candidate("two", api)
    time = run([one], 0, 1)
    writes = api.version
    run([two], time, 10)
    assert not two.holds(time)
    assert two.election.holder == "one"
    assert api.version == writes


def test_the_holder_renews_every_two_seconds_with_jitter_and_keeps_it() -> None:
    api = Api()
    one, two = Candidate("one", api), Candidate("two", api)
    run([one, two], 0, 120)
    assert one.holds(120)
    assert 120 / 2.45 <= api.version <= 120 / 2 + 3
    assert api.record is not None
    assert (api.record.spec.lease_transitions or 0) == 0


def test_a_holder_that_cannot_write_fences_itself_before_another_may_take_over() -> None:
    api = Api()
    one, two = Candidate("one", api), Candidate("two", api)
    time = run([one, two], 0, 10)
    one.cut_off = True
    lost = taken = 0.0
    for step in range(600):
        now = time + step * 0.05
        for candidate in (one, two):
            candidate.step(now)
        if not lost and not one.holds(now):
            lost = now
        if not taken and two.holds(now):
            taken = now
    assert 7 <= lost - time <= 10.1
    assert taken > lost + 2
    assert taken - time <= 20
    assert api.record is not None
    assert api.record.spec.lease_transitions == 1


def test_it_fences_by_time_alone_even_if_nothing_happens() -> None:
    one = Candidate("one", Api())
    run([one], 0, 1)
    assert one.election.remaining(one.now(1)) > 8
    assert not one.holds(12), "no event was needed"
    assert one.election.remaining(one.now(12)) == 0


def test_the_fence_counts_from_before_the_write_was_sent() -> None:
    election = Election("one", random=Random(1))
    assert election.read(None, 100.0) == Write(None, "one", 15, acquires=True, transitions=0)
    election.written(Record("1", LeaseSpec(holder_identity="one", lease_duration_seconds=15)), 107.0)
    assert election.holds(109.9)
    assert not election.holds(110.1)


def test_a_conflict_means_it_is_not_held_and_is_read_again() -> None:
    api = Api()
    one = Candidate("one", api)
    time = run([one], 0, 1)
    api.version += 1
    api.record = Record(str(api.version), LeaseSpec(holder_identity="thief", lease_duration_seconds=15))
    run([one], time, 4)
    assert not one.holds(time + 4)
    assert one.election.holder == "thief"


def test_another_holders_lease_is_over_when_its_record_has_not_changed_for_its_duration() -> None:
    """By the own clock from when it was seen: what the record says of times is for people."""
    api = Api()
    api.version = 1
    api.record = Record(
        "1", LeaseSpec(holder_identity="old", lease_duration_seconds=15, renew_time="1999-01-01T00:00:00Z")
    )
    two = Candidate("two", api, skew=1e6)
    time = run([two], 0, 14.5)
    assert not two.holds(time)
    time = run([two], time, 4)
    assert two.holds(time)


@pytest.mark.parametrize("holder", [None, ""])
def test_a_lease_given_back_is_taken_at_once(holder: str | None) -> None:
    api = Api()
    api.version = 1
    api.record = Record(
        "1", LeaseSpec(holder_identity=holder, lease_duration_seconds=15, lease_transitions=4)
    )
    two = Candidate("two", api)
    run([two], 0, 0.5)
    assert two.holds(0.5)
    assert api.record is not None
    assert api.record.spec.lease_transitions == 5


def test_whoever_stops_gives_it_back() -> None:
    api = Api()
    one, two = Candidate("one", api), Candidate("two", api)
    time = run([one, two], 0, 10)
    write = one.election.release(one.now(time))
    assert write is not None
    assert write.holder == ""
    assert one.election.holder is None
    assert api.write(write) is not None
    assert not one.holds(time)
    time = run([two], time, 3)
    assert two.holds(time)


def test_whoever_does_not_hold_it_gives_nothing_back() -> None:
    api = Api()
    one, two = Candidate("one", api), Candidate("two", api)
    time = run([one, two], 0, 5)
    assert two.election.release(two.now(time)) is None


def test_after_a_restart_with_the_same_identity_it_goes_on_at_once() -> None:
    api = Api()
    time = run([Candidate("one", api)], 0, 5)
    again = Candidate("one", api)
    again.due = time
    run([again], time, 1)
    assert again.holds(time + 1)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["cut", "heal"]), st.floats(0.5, 20)),
        max_size=8,
    )
)
def test_never_two_leaders_and_one_in_the_end(steps: list[tuple[int, str, float]]) -> None:
    api = Api()
    candidates = [Candidate(name, api, skew=skew) for name, skew in (("a", 0.0), ("b", 5e3), ("c", -7e2))]
    time = 0.0
    for who, what, seconds in steps:
        candidates[who].cut_off = what == "cut"
        time = run(candidates, time, seconds)
    for candidate in candidates:
        candidate.cut_off = False
    time = run(candidates, time, 25)
    assert sum(candidate.holds(time) for candidate in candidates) == 1


def test_the_defaults_leave_time_between_the_fence_and_the_next_holder() -> None:
    assert LeaseSettings().renew_deadline + 2 * LeaseSettings().retry_period < LeaseSettings().duration
