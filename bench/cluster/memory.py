"""Memory of all of a peer's processes, before and with 1,000 routes, each with a Service of 10 endpoints."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.cluster.peers import Peer
from tests.e2e.harness import manifests
from tests.e2e.harness.api import API, GATEWAY_API, Object
from tests.e2e.harness.cluster import Namespace
from tests.e2e.harness.waiting import eventually

ROUTES = 1000
ENDPOINTS = 10
CLIENTS = 4
_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


def pss_mib(processes: list[int]) -> float:
    """Proportional set size of the processes together: shared pages count once."""
    kib = 0
    for pid in processes:
        found = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
        kib += int(found[1]) if found else 0
    return kib / 1024


def measure(peer: Peer, namespace: Namespace) -> tuple[float, float]:
    """(MiB before, MiB with everything), once the last route serves and things have settled."""
    namespace.apply(manifests.deployment("echo", ENDPOINTS), manifests.service("echo"))
    pods = [pod.address for pod in namespace.wait_for_pods("echo", ENDPOINTS)]
    target = peer.serve(namespace, "echo", "bench.example")
    time.sleep(3)
    before = pss_mib(peer.processes())

    objects: list[tuple[str, Object]] = []
    core, here = f"/api/v1/namespaces/{namespace.name}", f"namespaces/{namespace.name}"
    for number in range(ROUTES):
        name = f"m{number}"
        service = manifests.selectorless_service(name)
        # kube-proxy leaves it alone: its rules for 10,000 endpoints are not what is measured.
        service["metadata"]["labels"] = {"service.kubernetes.io/service-proxy-name": "none"}
        objects += [
            (f"{core}/services", service),
            (
                f"/apis/discovery.k8s.io/v1/{here}/endpointslices",
                manifests.endpoint_slice(name, pods),
            ),
            (f"{GATEWAY_API}/{here}/httproutes", manifests.http_route(name, f"{name}.example", name)),
        ]

    def create(part: list[tuple[str, Object]]) -> None:
        api = API(peer.cluster.network, peer.cluster.kubeconfig)
        for path, item in part:
            api.request("POST", path, item)
        api.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(create, [objects[start * 3 : start * 3 + 3] for start in range(ROUTES)]))

    def all_served() -> bool:
        return all(
            peer.cluster.status(target.address, target.port, f"m{number}.example") == 200
            for number in (0, ROUTES // 2, ROUTES - 1)
        )

    eventually("the routes are served", all_served, within=120)
    time.sleep(10)
    return before, pss_mib(peer.processes())
