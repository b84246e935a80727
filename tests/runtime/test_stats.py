"""The controller's counters as proxies are told of them."""

from fairlead.kube import ReflectorStats
from fairlead.resources import Kind
from fairlead.runtime._stats import frame
from fairlead.snapshot import ReflectorStats as Told


def test_counters_go_as_they_are_and_moments_as_ages() -> None:
    stats = ReflectorStats(lists=3, watches=9, events=70, bookmarks=40, errors={"Gone": 1}, synced_at=100.0)
    (told,) = frame({Kind.SERVICE: stats}, now=101.5).reflectors
    assert told == Told(
        kind="Service", relists=3, watch_events=70, last_sync_age_ms=1_500, errors={"Gone": 1}
    )


def test_what_was_never_in_sync_has_no_age() -> None:
    (told,) = frame({Kind.SERVICE: ReflectorStats(lists=1)}, now=5.0).reflectors
    assert told.last_sync_age_ms is None


def test_what_is_told_does_not_change_afterwards() -> None:
    stats = ReflectorStats()
    told = frame({Kind.SERVICE: stats}, now=5.0)
    stats.count("Forbidden")
    stats.events += 1
    assert told == frame({Kind.SERVICE: ReflectorStats()}, now=5.0)
