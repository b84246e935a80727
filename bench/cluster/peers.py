"""What is compared: Fairlead, nginx in front of the Service IP, Traefik, and the Service IP itself.

Every peer runs on the cluster's network, serves on port 8080, and is told to reach a Service in its own way.
"""

from __future__ import annotations

import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.cluster import tools
from tests.e2e.harness import manifests
from tests.e2e.harness.cluster import GATEWAY_CIDR, Cluster, Namespace
from tests.e2e.harness.fairlead import Fairlead
from tests.e2e.harness.waiting import eventually

PORT = 8080
OWN_ADDRESS = GATEWAY_CIDR.replace(".0/24", ".250")
"""Where peers that do not choose an address themselves listen."""


@dataclass(frozen=True)
class Target:
    """Where the load goes."""

    address: str
    port: int


class Peer(ABC):
    """A gateway under measurement; `start` once, `serve` as often as wanted, `stop`."""

    name: str
    watches_routes = False
    """Whether HTTPRoutes steer it."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def serve(self, namespace: Namespace, service: str, host: str) -> Target:
        """Makes `host` lead to the Service and returns when it does."""

    def start(self) -> None:  # noqa: B027 - some need none
        """Starts what does not depend on a Service."""

    def stop(self) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=10)
            self._process = None

    def processes(self) -> list[int]:
        """The ids of all its processes."""
        return [] if self._process is None else list(descendants(self._process.pid))

    def _run(self, *command: str, environment: dict[str, str] | None = None) -> None:
        with (self.folder / f"{self.name.split()[0]}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self.cluster.network.prefix, *command],
                stdout=log,
                stderr=log,
                env=os.environ | (environment or {}),
            )

    def _answering(self, target: Target, host: str) -> Target:
        eventually(
            f"{self.name} answers",
            lambda: self.cluster.status(target.address, target.port, host) == 200,
            within=60,
        )
        return target


def descendants(pid: int) -> Iterator[int]:
    """The process and all below it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from descendants(int(child))


class Direct(Peer):
    """The client's own connections to the Service IP."""

    name = "Service IP"

    def serve(self, namespace: Namespace, service: str, host: str) -> Target:
        return self._answering(Target(cluster_ip(namespace, service), 80), host)


class Nginx(Peer):
    """nginx with upstream keep-alive to the Service IP, as its documentation advises."""

    name = "nginx"
    keepalive_requests = 1_000_000

    def serve(self, namespace: Namespace, service: str, host: str) -> Target:
        self.stop()
        program = tools.nginx()
        assert program is not None
        folder = self.folder / "nginx"
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        conf = folder / "nginx.conf"
        conf.write_text(f"""
            daemon off; master_process on; worker_processes auto; pid {folder}/pid; error_log {folder}/error.log;
            events {{ worker_connections 1024; }}
            http {{
              access_log off; client_body_temp_path {folder}; proxy_temp_path {folder};
              fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
              upstream pods {{
                server {cluster_ip(namespace, service)}:80;
                keepalive 64; keepalive_requests {self.keepalive_requests};
              }}
              server {{
                listen {OWN_ADDRESS}:{PORT}; keepalive_requests 1000000;
                location / {{
                  proxy_pass http://pods; proxy_http_version 1.1; proxy_set_header Connection "";
                  proxy_set_header Host $host;
                }}
              }}
            }}""")
        self._run(str(program), "-p", str(folder), "-c", str(conf))
        return self._answering(Target(OWN_ADDRESS, PORT), host)


class NginxDefault(Nginx):
    """The same with the default of 1,000 requests per upstream connection, after which it dials anew."""

    name = "nginx (keepalive_requests 1000)"
    keepalive_requests = 1_000


class Traefik(Peer):
    """Traefik as a Gateway API controller, with its defaults."""

    name = "Traefik"
    watches_routes = True

    def start(self) -> None:
        program = tools.traefik()
        assert program is not None
        gateway_class = manifests.gateway_class()
        gateway_class["metadata"]["name"] = "traefik"
        gateway_class["spec"]["controllerName"] = "traefik.io/gateway-controller"
        self.cluster.install(gateway_class)
        self._run(
            str(program),
            f"--entryPoints.web.address={OWN_ADDRESS}:{PORT}",
            "--providers.kubernetesGateway=true",
            f"--providers.kubernetesGateway.statusAddress.ip={OWN_ADDRESS}",
            "--global.checkNewVersion=false",
            "--global.sendAnonymousUsage=false",
            "--log.level=ERROR",
            environment={"KUBECONFIG": str(self.cluster.kubeconfig)},
        )

    def serve(self, namespace: Namespace, service: str, host: str) -> Target:
        gateway = manifests.gateway()
        gateway["spec"]["gatewayClassName"] = "traefik"
        namespace.apply(gateway, manifests.http_route(service, host, service))
        return self._answering(Target(OWN_ADDRESS, PORT), host)


class FairleadPeer(Peer):
    """Fairlead with its defaults."""

    name = "Fairlead"
    watches_routes = True
    round_robin = False

    def start(self) -> None:
        self.folder.joinpath("fairlead").mkdir(exist_ok=True)
        self._instance = Fairlead(self.cluster, self.folder / "fairlead")
        self._instance.start()

    def serve(self, namespace: Namespace, service: str, host: str) -> Target:
        namespace.apply(manifests.gateway(), manifests.http_route(service, host, service))
        if self.round_robin:
            namespace.apply(manifests.round_robin(service))
        return self._answering(Target(namespace.programmed_address(), PORT), host)

    def stop(self) -> None:
        self._instance.stop()

    def processes(self) -> list[int]:
        return list(descendants(self._instance.pid))


class FairleadRoundRobin(FairleadPeer):
    """Fairlead with a BackendPolicy that asks for round robin."""

    name = "Fairlead (round robin)"
    round_robin = True


def cluster_ip(namespace: Namespace, service: str) -> str:
    """The Service's address."""
    path = f"/api/v1/namespaces/{namespace.name}/services/{service}"
    address: str = namespace.cluster.api.get(path)["spec"]["clusterIP"]
    return address
