"""Routes follow a Deployment through every number of Pods."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fairlead.translate import FEATURES
from tests.e2e.harness import manifests
from tests.e2e.harness.client import Plan
from tests.e2e.harness.cluster import Cluster, Namespace
from tests.e2e.harness.fairlead import Fairlead
from tests.e2e.harness.waiting import eventually

pytestmark = pytest.mark.cluster

HOST = "scale.example"
DRAIN_S = 2.0
"""How long Pods serve after SIGTERM."""
PROPAGATED = "fairlead_endpoint_propagation_seconds_count"
"""Of the time from an EndpointSlice's event to its adoption by all workers."""


def pods_that_answer(cluster: Cluster, address: str, requests: int = 200) -> set[str]:
    """The Pods behind that many requests on four connections, every one of which is answered."""
    plan = Plan(address=address, port=8080, hosts=[HOST], connections=4, total=requests)
    with cluster.load(plan) as load:
        result = load.wait()
    assert not result.failed, result.describe()
    return set(result.per_pod())


@contextmanager
def measured(fairlead: Fairlead, *, changes: bool = True) -> Iterator[None]:
    """What happens here changes endpoints, and the histogram of how long that takes has more samples then."""
    before = fairlead.metric(PROPAGATED)
    yield
    if changes:
        eventually("more samples", lambda: fairlead.metric(PROPAGATED) > before, within=5)


def test_scale_3_7_2_0_4_is_followed(
    cluster: Cluster, namespace: Namespace, fairlead: Fairlead, gateway: str
) -> None:
    namespace.apply(
        manifests.deployment("echo", 3), manifests.service("echo"), manifests.http_route("echo", HOST, "echo")
    )
    cluster.kubectl("wait", "--for=condition=SupportedVersion", "--timeout=30s", "gatewayclass/fairlead")
    features = cluster.kubectl(
        "get", "gatewayclass/fairlead", "-o", "jsonpath={.status.supportedFeatures[*].name}"
    )
    assert tuple(features.split()) == FEATURES
    namespace.kubectl("wait", "--for=condition=Accepted", "--timeout=30s", "gateway/web")
    namespace.wait_accepted("echo")
    namespace.wait_for_pods("echo", 3)
    eventually("first answer", lambda: cluster.get(gateway, 8080, HOST).status == 200)

    plan = Plan(address=gateway, port=8080, hosts=[HOST], connections=4, rate=100)
    with cluster.load(plan) as load:
        for replicas in (3, 7, 2):
            with measured(fairlead, changes=replicas != 3):
                namespace.scale("echo", replicas)
                ready = {pod.name for pod in namespace.wait_for_pods("echo", replicas)}
                eventually(
                    "exactly the ready Pods answer",
                    lambda: pods_that_answer(cluster, gateway) == ready,  # noqa: B023
                )
        # Pods that are still leaving would serve beside the last two, and end before them.
        eventually("the others are gone", lambda: len(namespace.endpoints("echo")) == 2)

        with measured(fairlead):
            to_none = time.monotonic()
            namespace.scale("echo", 0)
            eventually("503", lambda: cluster.get(gateway, 8080, HOST).status == 503)
            none_left = time.monotonic()
        time.sleep(1)
        with measured(fairlead):
            to_four = time.monotonic()
            namespace.scale("echo", 4)
            eventually("200 again", lambda: cluster.get(gateway, 8080, HOST).status == 200)
            some_again = time.monotonic()
            pods = namespace.wait_for_pods("echo", 4)
            ready = {pod.name for pod in pods}
            eventually("exactly the ready Pods answer", lambda: pods_that_answer(cluster, gateway) == ready)
        result = load.stop()
    seen = fairlead.get("endpoints", f"--namespace={namespace.name}")
    assert all(f"{pod.address}:8080" in seen for pod in pods), seen
    assert gateway in fairlead.get("gateways", f"--namespace={namespace.name}")
    name = "fairlead_kube_reflector_watch_events_total"
    events = {labels: value for family, labels, value in fairlead.metrics() if family == name}
    assert events['kind="EndpointSlice"'] > 0

    while_some = result.where(lambda record: record.done < to_none or record.due > some_again)
    assert not while_some.failed, while_some.describe()
    while_none = result.where(lambda record: none_left < record.due and record.done < to_four)
    assert {record.status for record in while_none.records} == {503}, while_none.describe()
    # The last Pods serve while they leave. Only between their end and the EndpointSlice that tells of it can there be
    # an upstream error.
    too_early = result.where(lambda record: not record.ok and record.done < to_none + DRAIN_S)
    assert not too_early.records, too_early.describe()
    ended = result.where(lambda record: not record.ok and record.due < none_left)
    assert {record.status for record in ended.records} <= {502, 503, 504}, ended.describe()
    # The first Pods are coming: nobody is asked who is not ready.
    coming = result.where(lambda record: record.due > none_left)
    assert {record.status for record in coming.records} == {200, 503}, coming.describe()
    assert result.opened == plan.connections, "an error of an upstream closes no client's connection"
