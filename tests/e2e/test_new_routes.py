"""A route answers 404 until it serves, and never anything else; a change of its backend is not felt."""

from __future__ import annotations

import time

import pytest

from tests.e2e.harness import manifests
from tests.e2e.harness.api import GATEWAY_API
from tests.e2e.harness.client import Plan
from tests.e2e.harness.cluster import Cluster, Namespace
from tests.e2e.harness.waiting import eventually

pytestmark = pytest.mark.cluster

ROUTES = 20


def test_404_then_200_and_nothing_else(cluster: Cluster, namespace: Namespace, gateway: str) -> None:
    names = [f"route-{number}" for number in range(ROUTES)]
    hosts = {name: f"{name}.example" for name in names}
    namespace.apply(manifests.deployment("echo", 2), *(manifests.service(name, "echo") for name in names))
    eventually("ready endpoints", lambda: all(len(namespace.ready_addresses(name)) == 2 for name in names))

    acked: dict[str, float] = {}
    routes = f"{GATEWAY_API}/namespaces/{namespace.name}/httproutes"
    gateways = f"{GATEWAY_API}/namespaces/{namespace.name}/gateways"
    plan = Plan(address=gateway, port=8080, hosts=list(hosts.values()), connections=32, rate=1600)
    with cluster.api.watch(gateways) as watch, cluster.load(plan) as load:
        for count, name in enumerate(names, start=1):
            cluster.api.request("POST", routes, manifests.http_route(name, hosts[name], name))

            def attached(count: int = count) -> float:
                """When the Gateway's status first counted this route: all workers have it by then."""
                for event in watch.of("web"):
                    listeners = event.object.get("status", {}).get("listeners", ())
                    if any(listener.get("attachedRoutes") == count for listener in listeners):
                        return event.at
                return 0.0

            acked[hosts[name]] = eventually(f"attachedRoutes {count}", attached)
        time.sleep(1)
        result = load.stop()

    assert {record.status for record in result.records} == {404, 200}, result.describe()
    assert result.opened == plan.connections, "a 404 closes no connection"
    for host, at in acked.items():
        of_host = [record for record in result.records if record.host == host]
        first = min(record.done for record in of_host if record.ok)
        before = [record for record in of_host if record.done < first]
        assert before, "the host was asked for before the route was there"
        late = [record for record in of_host if record.sent > at and record.status == 404]
        assert not late, f"{host}: 404 {late[0].sent - at:.3f} s after the ack"


def test_change_of_backend_is_not_felt(cluster: Cluster, namespace: Namespace, gateway: str) -> None:
    host = "change.example"
    namespace.apply(
        manifests.deployment("blue", 2),
        manifests.deployment("green", 2),
        manifests.service("blue"),
        manifests.service("green"),
        manifests.http_route("change", host, "blue"),
    )
    namespace.wait_for_pods("blue", 2)
    namespace.wait_for_pods("green", 2)
    eventually("first answer", lambda: cluster.get(gateway, 8080, host).status == 200)

    path = f"{GATEWAY_API}/namespaces/{namespace.name}/httproutes/change"
    plan = Plan(address=gateway, port=8080, hosts=[host], connections=16, rate=600)
    with cluster.load(plan) as load:
        for number in range(40):
            name = ("green", "blue")[number % 2]
            spec = {"rules": [{"backendRefs": [{"name": name, "port": 80}]}]}
            cluster.api.request("PATCH", path, {"spec": spec})
            time.sleep(0.1)
        result = load.stop()
    assert not result.failed, result.describe()
    assert result.opened == plan.connections, result.describe()
    colours = {pod.split("-")[0] for pod in result.per_pod()}
    assert colours == {"blue", "green"}
