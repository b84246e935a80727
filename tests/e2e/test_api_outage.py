"""The API server is away, Pods die meanwhile, and clients hardly notice."""

from __future__ import annotations

import time

import pytest

from tests.e2e.harness import manifests
from tests.e2e.harness.client import Plan
from tests.e2e.harness.cluster import Cluster, Namespace
from tests.e2e.harness.waiting import eventually

pytestmark = pytest.mark.cluster

HOST = "outage.example"
PODS = 10
OUTAGE_S = 20.0
FAULT_AFTER_S = 3.0
LEARNT_WITHIN_S = 3.0
SLOWEST_THEN_S = 0.3
MAY_FAIL = 5
APPLIED_WITHIN_S = 2.0


@pytest.mark.parametrize("fault", ["sandboxes lost", "packets dropped"])
def test_outage_with_dead_pods(cluster: Cluster, namespace: Namespace, gateway: str, fault: str) -> None:
    namespace.apply(
        manifests.deployment("echo", PODS),
        manifests.service("echo"),
        manifests.http_route("echo", HOST, "echo"),
    )
    pods = namespace.wait_for_pods("echo", PODS)
    eventually("first answer", lambda: cluster.get(gateway, 8080, HOST).status == 200)

    plan = Plan(address=gateway, port=8080, hosts=[HOST], connections=16, extra=4000, rate=300, poisson=True)
    with cluster.load(plan) as load:
        time.sleep(2)
        with cluster.without_api_server():
            stopped_at = time.monotonic()
            time.sleep(FAULT_AFTER_S)
            fault_at = time.monotonic()
            for pod in pods[:2]:
                if fault == "sandboxes lost":
                    cluster.kill_sandbox(pod)
                else:
                    cluster.drop_packets(pod)
            time.sleep(max(0.0, stopped_at + OUTAGE_S - time.monotonic()))
        changed_at = time.monotonic()
        cluster.api.request(
            "POST",
            f"/apis/gateway.networking.k8s.io/v1/namespaces/{namespace.name}/httproutes",
            manifests.http_route("late", "late.example", "echo"),
        )
        eventually(
            "the new route", lambda: cluster.get(gateway, 8080, "late.example").status == 200, every=0.02
        )
        applied_s = time.monotonic() - changed_at
        result = load.stop()
    cluster.pass_packets()
    cluster.recover()

    assert len(result.failed) <= MAY_FAIL, result.describe()
    later = result.where(lambda record: record.due > fault_at + LEARNT_WITHIN_S)
    assert not later.failed, later.describe()
    assert later.slowest() <= SLOWEST_THEN_S, later.describe()
    assert applied_s <= APPLIED_WITHIN_S
