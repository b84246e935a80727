"""Two instances on one cluster: both serve, one writes status, and the other takes over from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tests.e2e.harness import manifests
from tests.e2e.harness.api import GATEWAY_API, Object, condition
from tests.e2e.harness.cluster import Cluster, Namespace
from tests.e2e.harness.fairlead import Fairlead
from tests.e2e.harness.fault_api import FaultAPI
from tests.e2e.harness.waiting import eventually

pytestmark = pytest.mark.cluster

HOST = "standby.example"
POOL = "127.7.0.0/16"
"""Of the second instance: on one host each has addresses of its own."""
ADDRESS = "127.7.0.9"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases/fairlead.dev-gateway-controller"
TAKEN_OVER_WITHIN_S = 10.0
"""A Lease that was given back is seen free within 2.4 s; the rest is for a busy machine."""


@contextmanager
def running(instance: Fairlead) -> Iterator[None]:
    instance.start()
    try:
        yield
    finally:
        instance.stop()
        print(instance.tail())


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def holder(cluster: Cluster) -> str:
    """Who holds the Lease; empty for nobody."""
    return str(cluster.api.get(LEASE)["spec"].get("holderIdentity") or "")


def status(namespace: Namespace, gateway: str) -> Object:
    found: Object = namespace.cluster.api.get(
        f"{GATEWAY_API}/namespaces/{namespace.name}/gateways/{gateway}"
    )["status"]
    return found


def test_the_holder_of_the_lease_writes_status_and_the_other_takes_over(
    cluster: Cluster, namespace: Namespace, fault_api: FaultAPI, tmp_path: Path
) -> None:
    # The first cannot use the second's address; the second may use no other before it holds the Lease.
    own = manifests.gateway("own")
    own["spec"]["addresses"] = [{"type": "IPAddress", "value": ADDRESS}]
    namespace.apply(
        manifests.deployment("echo", 2),
        manifests.service("echo"),
        manifests.gateway(),
        own,
        manifests.http_route("web", HOST, "echo"),
        manifests.http_route("own", HOST, "echo", gateway_name="own"),
    )
    namespace.wait_for_pods("echo", 2)
    first = Fairlead(cluster, folder(tmp_path / "first"))
    second = Fairlead(
        cluster,
        folder(tmp_path / "second"),
        kubeconfig=fault_api.kubeconfig,
        address_pool=POOL,
        health=("127.0.0.1", 19902),
    )

    with running(first):
        address = namespace.programmed_address()
        eventually("the first serves", lambda: cluster.status(address, 8080, HOST) == 200)
        leader = holder(cluster)
        assert first.instance()["statusWriter"] == f"this instance ({leader})"
        with running(second):
            eventually("the second serves", lambda: cluster.status(ADDRESS, 8080, HOST) == 200)
            # What changes now reaches both, and is answered for in status by the first.
            namespace.apply(manifests.http_route("late", "late.example", "echo", gateway_name="own"))
            eventually(
                "the second follows", lambda: cluster.status(ADDRESS, 8080, "late.example") == 200, within=10
            )
            namespace.wait_accepted("late")
            assert second.instance()["statusWriter"] == leader
            assert {line["holder"] for line in second.said("another instance writes status")} == {leader}
            programmed = condition(status(namespace, "own"), "Programmed")
            assert programmed is not None
            assert programmed["reason"] == "AddressNotUsable", (
                "as the first sees it, though the second serves"
            )
            assert holder(cluster) == leader
            assert not fault_api.writes(), "the second has only read"

            first.assert_nothing_in_flight()
            first.stop()
            assert not first.said("another instance writes status"), "not even when it gave the Lease back"

            def taken_over() -> bool:
                programmed = condition(status(namespace, "own"), "Programmed")
                return programmed is not None and programmed["status"] == "True"

            eventually("the second writes status", taken_over, within=TAKEN_OVER_WITHIN_S)
            assert holder(cluster) not in {"", leader}
            assert second.instance()["statusWriter"] == f"this instance ({holder(cluster)})"

            def moved() -> str:
                values = [entry["value"] for entry in status(namespace, "web").get("addresses", ())]
                return next((value for value in values if ip_address(value) in ip_network(POOL)), "")

            there = eventually("web has an address of the second's", moved, within=TAKEN_OVER_WITHIN_S)
            eventually("web is served there", lambda: cluster.status(there, 8080, HOST) == 200, within=10)
            assert any(write.endswith("/status") for write in fault_api.writes())
            second.assert_nothing_in_flight()
