"""Many routes at once: the counts are right and status is written no oftener than needed."""

from __future__ import annotations

import math
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.e2e.harness import manifests
from tests.e2e.harness.api import API, GATEWAY_API, Object, Watch
from tests.e2e.harness.cluster import Cluster, Namespace
from tests.e2e.harness.waiting import eventually

pytestmark = pytest.mark.cluster

ROUTES = 500
CLIENTS = 8


def create_all(cluster: Cluster, path: str, objects: list[Object]) -> None:
    """Creates the objects by several clients at once."""

    def create(part: list[Object]) -> None:
        api = API(cluster.network, cluster.kubeconfig)
        for item in part:
            api.request("POST", path, item)
        api.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(create, [objects[start::CLIENTS] for start in range(CLIENTS)]))


def quiet(watch: Watch, *, seconds: float = 3.0) -> bool:
    """Whether nothing came for so long."""
    return not watch.events or time.monotonic() - watch.events[-1].at > seconds


def test_500_routes_created_and_deleted(cluster: Cluster, namespace: Namespace, gateway: str) -> None:
    namespace.apply(manifests.selectorless_service("empty"))
    here = f"{GATEWAY_API}/namespaces/{namespace.name}"
    routes = [manifests.http_route(f"r{n}", f"r{n}.example", "empty") for n in range(ROUTES)]

    def attached(wanted: int) -> bool:
        status = cluster.api.get(f"{here}/gateways/web")["status"]
        return bool(status["listeners"][0]["attachedRoutes"] == wanted)

    with (
        cluster.api.watch(f"{here}/gateways") as gateways,
        cluster.api.watch(f"{here}/httproutes") as written,
    ):
        bursts = []
        for wanted in (ROUTES, 0):
            seen = len(gateways.events)
            begun = time.monotonic()
            if wanted:
                create_all(cluster, f"{here}/httproutes", routes)
            else:
                cluster.api.request("DELETE", f"{here}/httproutes")
            burst_s = time.monotonic() - begun
            eventually(f"attachedRoutes {wanted}", partial(attached, wanted), within=30)
            eventually("no more events", lambda: quiet(gateways) and quiet(written), within=30)
            assert attached(wanted)
            bursts.append((burst_s, len(gateways.events) - seen))

        for burst_s, writes in bursts:
            assert writes <= 2 + math.ceil(burst_s), f"(seconds, writes of the Gateway's status): {bursts}"
        modified = Counter(
            event.object["metadata"]["name"] for event in written.events if event.kind == "MODIFIED"
        )
        assert len(modified) == ROUTES
        assert set(modified.values()) == {1}, f"writes per route: {Counter(modified.values())}"
