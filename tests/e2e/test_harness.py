"""The tools of these tests see failures: a load that hides one would prove nothing."""

import time

import pytest
from tests.e2e.harness import manifests
from tests.e2e.harness.client import Plan
from tests.e2e.harness.cluster import Cluster, Namespace
from tests.e2e.harness.waiting import eventually

pytestmark = pytest.mark.cluster


def cluster_ip(namespace: Namespace, service: str) -> str:
    path = f"/api/v1/namespaces/{namespace.name}/services/{service}"
    address: str = namespace.cluster.api.get(path)["spec"]["clusterIP"]
    return address


def test_client_sees_what_a_service_ip_does_to_dead_pods(cluster: Cluster, namespace: Namespace) -> None:
    namespace.apply(manifests.deployment("echo", 4, drain="0s"), manifests.service("echo"))
    pods = namespace.wait_for_pods("echo", 4)
    plan = Plan(
        address=cluster_ip(namespace, "echo"), port=80, hosts=["x"], connections=16, rate=300, timeout=2
    )
    eventually("kube-proxy", lambda: cluster.get(plan.address, 80, "x").status == 200)
    with cluster.load(plan) as load:
        time.sleep(1)
        cluster.kill_sandbox(pods[0])
        time.sleep(1)
        cluster.drop_packets(pods[1])
        time.sleep(3)
        result = load.stop()
    cluster.pass_packets()
    errors = {record.error for record in result.failed}
    assert "timeout" in errors, result.describe()
    assert errors & {"closed", "reset", "connect"}, result.describe()
    assert all(record.latency >= 2 for record in result.records if record.error == "timeout")
    lost = pods[0]

    def replaced() -> bool:
        now = next(pod for pod in namespace.pods("echo") if pod.name == lost.name)
        return now.address != lost.address

    eventually("the Pod that lost its sandbox has another address", replaced)


def test_skew_of_a_service_ip(cluster: Cluster, namespace: Namespace) -> None:
    namespace.apply(manifests.deployment("echo", 4), manifests.service("echo"))
    pods = namespace.wait_for_pods("echo", 4)
    plan = Plan(address=cluster_ip(namespace, "echo"), port=80, hosts=["x"], connections=1, total=2000)
    eventually("kube-proxy", lambda: cluster.get(plan.address, 80, "x").status == 200)
    with cluster.load(plan) as load:
        result = load.wait()
    assert not result.failed, result.describe()
    assert result.skew(pod.name for pod in pods) == (4.0, 3)
