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


def test_client_sees_dead_pods(cluster: Cluster, namespace: Namespace) -> None:
    namespace.apply(manifests.deployment("echo", 2), manifests.service("echo"))
    lost, silent = namespace.wait_for_pods("echo", 2)
    # The delay keeps requests in flight at any moment.
    to_lost, to_silent = (
        Plan(
            address=pod.address,
            port=8080,
            hosts=["x"],
            path="/?delay=30ms",
            connections=4,
            extra=400,
            rate=100,
            timeout=1.5,
        )
        for pod in (lost, silent)
    )
    with cluster.load(to_lost) as load_of_lost, cluster.load(to_silent) as load_of_silent:
        time.sleep(1)
        cluster.drop_packets(silent)
        cluster.kill_sandbox(lost)
        time.sleep(2)
        from_lost, from_silent = load_of_lost.stop(), load_of_silent.stop()
    cluster.pass_packets()

    assert from_lost.where(lambda record: record.ok).records, from_lost.describe()
    assert {record.error for record in from_lost.failed} & {"closed", "reset"}, from_lost.describe()
    assert {record.error for record in from_silent.failed} == {"timeout"}, from_silent.describe()
    assert all(record.latency >= 1.5 for record in from_silent.failed)

    def replaced() -> bool:
        return any(pod.name == lost.name and pod.address != lost.address for pod in namespace.pods("echo"))

    eventually("the Pod that lost its sandbox has another address", replaced)


def test_skew_of_a_service_ip(cluster: Cluster, namespace: Namespace) -> None:
    namespace.apply(manifests.deployment("echo", 4), manifests.service("echo"))
    pods = namespace.wait_for_pods("echo", 4)
    plan = Plan(address=cluster_ip(namespace, "echo"), port=80, hosts=["x"], connections=1, total=2000)
    eventually("kube-proxy", lambda: cluster.status(plan.address, 80, "x") == 200)
    with cluster.load(plan) as load:
        result = load.wait()
    assert not result.failed, result.describe()
    assert result.skew(pod.name for pod in pods) == (4.0, 3)
