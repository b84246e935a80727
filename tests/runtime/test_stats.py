"""The controller's counters as proxies are told of them."""

from pathlib import Path

from fairlead.base import SystemClock
from fairlead.kube import ReflectorStats
from fairlead.resources import Kind
from fairlead.runtime._paths import InstancePaths
from fairlead.runtime._sources import attach
from fairlead.runtime._stats import frame
from fairlead.runtime.instance import Settings
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


async def test_a_cluster_is_followed_with_counters_of_every_kind_and_a_directory_without(
    tmp_path: Path,
) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        "contexts: [{name: c, context: {cluster: c, user: u}}]\n"
        "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n"
        "users: [{name: u, user: {}}]\n"
    )
    paths = InstancePaths(name="test", runtime_dir=tmp_path, state_dir=tmp_path)
    async with attach(Settings(instance="test", kubeconfig=kubeconfig), paths, SystemClock()) as attached:
        assert attached.reflectors is not None
        told = frame(attached.reflectors(), now=1.0)
        assert {stats.kind for stats in told.reflectors} == {kind.value for kind in Kind}
    async with attach(Settings(instance="test", directory=tmp_path), paths, SystemClock()) as attached:
        assert attached.reflectors is None
