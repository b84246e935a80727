"""Requests, not connections, are balanced: a few kept-alive connections reach every Pod."""

from __future__ import annotations

import pytest

from tests.e2e.harness import manifests
from tests.e2e.harness.client import Plan
from tests.e2e.harness.cluster import Cluster, Namespace
from tests.e2e.harness.waiting import eventually

pytestmark = pytest.mark.cluster

HOST = "skew.example"
PODS = 10
REQUESTS = 20_000

HOTTEST_BY_CONNECTIONS = {
    "round robin": {1: 1.10, 4: 1.10, 10: 1.10},
    "default": {1: 1.5, 4: 1.5, 10: 1.25},
}


@pytest.mark.parametrize("policy", HOTTEST_BY_CONNECTIONS)
def test_every_pod_gets_its_share(cluster: Cluster, namespace: Namespace, gateway: str, policy: str) -> None:
    namespace.apply(
        manifests.deployment("echo", PODS),
        manifests.service("echo"),
        manifests.http_route("echo", HOST, "echo"),
    )
    if policy == "round robin":
        namespace.apply(manifests.round_robin("echo"))
        namespace.wait_for_policy("echo-round-robin")
    pods = namespace.wait_for_pods("echo", PODS)
    eventually("first answer", lambda: cluster.get(gateway, 8080, HOST).status == 200)

    for connections, allowed in HOTTEST_BY_CONNECTIONS[policy].items():
        plan = Plan(address=gateway, port=8080, hosts=[HOST], connections=connections, total=REQUESTS)
        with cluster.load(plan) as load:
            result = load.wait()
        assert not result.failed, result.describe()
        assert result.opened == connections, "kept-alive: none was closed, so none was opened anew"
        hottest, idle = result.skew(pod.name for pod in pods)
        told = f"{connections} connections: {sorted(result.per_pod().values())}"
        assert idle == 0, told
        assert hottest <= allowed, told
