"""A rolling restart under load loses no request, and repeats none that must not be repeated."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.harness import manifests
from tests.e2e.harness.client import Plan
from tests.e2e.harness.cluster import Cluster, Namespace
from tests.e2e.harness.waiting import eventually

pytestmark = pytest.mark.cluster

HOST = "restart.example"
PODS = 10
AFTERWARDS_S = 4.0
"""Load goes on so long after the last new Pod is ready: the last old ones are leaving then."""


def serve(
    cluster: Cluster, namespace: Namespace, gateway: str, drain: str, record: Path | None = None
) -> None:
    folder = None if record is None else str(record)
    namespace.apply(
        manifests.deployment("echo", PODS, drain=drain, record_dir=folder),
        manifests.service("echo"),
        manifests.http_route("echo", HOST, "echo"),
    )
    namespace.wait_for_pods("echo", PODS)
    eventually("first answer", lambda: cluster.get(gateway, 8080, HOST).status == 200)


@pytest.mark.parametrize("drain", ["2s", "0s"], ids=["pods that drain", "pods that exit at once"])
def test_no_get_is_lost(cluster: Cluster, namespace: Namespace, gateway: str, drain: str) -> None:
    serve(cluster, namespace, gateway, drain)
    before = {pod.name for pod in namespace.pods("echo")}
    plan = Plan(address=gateway, port=8080, hosts=[HOST], connections=16, rate=300, poisson=True)
    with cluster.load(plan) as load:
        time.sleep(1)
        namespace.rolling_restart("echo")
        time.sleep(AFTERWARDS_S)
        result = load.stop()
    assert not result.failed, result.describe()
    # Whatever becomes of connections to Pods, clients keep theirs.
    assert result.opened == plan.connections, result.describe()
    answered = set(result.per_pod())
    after = {pod.name for pod in namespace.pods("echo")}
    assert before | after <= answered, "every old and every new Pod had its part"


def test_no_post_is_executed_twice(
    cluster: Cluster, namespace: Namespace, gateway: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0o777)
    record = tmp_path / "executions"
    record.mkdir()
    serve(cluster, namespace, gateway, "0s", record)
    plan = Plan(
        address=gateway,
        port=8080,
        hosts=[HOST],
        connections=16,
        rate=300,
        poisson=True,
        method="POST",
        body_bytes=100,
        identified=True,
    )
    with cluster.load(plan) as load:
        time.sleep(1)
        namespace.rolling_restart("echo")
        time.sleep(AFTERWARDS_S)
        result = load.stop()
    executed = Counter(line for file in record.iterdir() for line in file.read_text().split())
    assert len(executed) >= len(result.records) - len(result.failed)
    twice = {number: count for number, count in executed.items() if count > 1}
    assert not twice, twice
    # What was on its way to a Pod that exits at once may fail; it may not be more than that.
    assert len(result.failed) <= 2 * PODS, result.describe()
    assert {record.error for record in result.failed} <= {""}, (
        "a failure is an answer, and the connection goes on"
    )
    assert result.opened == plan.connections, result.describe()
