"""Which Endpoints take requests: the ready ones, else those that serve on while they leave, else nobody (503)."""

from __future__ import annotations

import time

import pytest

from tests.e2e.harness import manifests
from tests.e2e.harness.client import Plan
from tests.e2e.harness.cluster import Cluster, Namespace
from tests.e2e.harness.waiting import eventually

pytestmark = pytest.mark.cluster

HOST = "fallback.example"
DRAIN_S = 20
"""Longer than the test needs: no Pod is gone before it is over, so that no answer but 200 and 503 can be honest."""
LEARNT_WITHIN_S = 1.0


def leaving(namespace: Namespace) -> int:
    """How many Pods serve while they terminate."""
    conditions = namespace.endpoints("echo").values()
    return sum(bool(each.get("serving") and each.get("terminating")) for each in conditions)


def test_pods_that_leave_serve_on_while_none_is_ready(
    cluster: Cluster, namespace: Namespace, gateway: str
) -> None:
    namespace.apply(
        manifests.deployment("echo", 2, drain=f"{DRAIN_S}s", grace_seconds=DRAIN_S + 5),
        manifests.service("echo"),
        manifests.http_route("echo", HOST, "echo"),
    )
    pods = namespace.wait_for_pods("echo", 2)
    eventually("first answer", lambda: cluster.get(gateway, 8080, HOST).status == 200)

    plan = Plan(address=gateway, port=8080, hosts=[HOST], connections=8, rate=200)
    with cluster.load(plan) as load:
        namespace.scale("echo", 1)
        eventually("one Pod leaves", lambda: leaving(namespace) == 1)
        (staying,) = namespace.pods("echo")
        one_left = time.monotonic()
        time.sleep(LEARNT_WITHIN_S + 0.5)

        to_none = time.monotonic()
        namespace.scale("echo", 0)
        eventually("both leave", lambda: leaving(namespace) == 2)
        none_ready = time.monotonic()
        time.sleep(LEARNT_WITHIN_S + 1)

        unready = time.monotonic()
        for pod in pods:
            assert "ready: false" in cluster.get(pod.address, 8080, "x", "/flip").body
        eventually("none serves", lambda: leaving(namespace) == 0)
        none_serves = time.monotonic()
        eventually("503", lambda: cluster.get(gateway, 8080, HOST).status == 503, within=LEARNT_WITHIN_S)
        time.sleep(LEARNT_WITHIN_S + 0.5)
        result = load.stop()
    # They are all still there and would have answered: nobody asked them.
    assert [cluster.get(pod.address, 8080, "x").status for pod in pods] == [200, 200]

    with_a_ready_one = result.where(lambda record: one_left + LEARNT_WITHIN_S < record.sent < to_none)
    assert set(with_a_ready_one.per_pod()) == {staying.name}
    without = result.where(lambda record: none_ready + LEARNT_WITHIN_S < record.sent < unready)
    assert set(without.per_pod()) == {pod.name for pod in pods}, "all that serve share the load"
    served = result.where(lambda record: record.done < unready)
    assert not served.failed, served.describe()
    refused = result.where(lambda record: record.sent > none_serves + LEARNT_WITHIN_S)
    assert {record.status for record in refused.records} == {503}, refused.describe()
    assert {(record.status, record.error) for record in result.records} == {(200, ""), (503, "")}
    assert result.opened == plan.connections, result.describe()
