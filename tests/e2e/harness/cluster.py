"""A running test cluster: its start and end, kubectl, and the faults that the tests put into it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.harness.api import API, GATEWAY_API, APIError, Object
from tests.e2e.harness.client import Plan
from tests.e2e.harness.load import Load
from tests.e2e.harness.network import HTTPConnection, Network
from tests.e2e.harness.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = ROOT / "cluster"
NOT_RUN = 77
"""The scripts' exit code for a machine that lacks something."""

GATEWAY_CIDR = "172.30.1.0/24"
"""Addresses on the cluster's network that any process there may bind."""


class NotRunError(RuntimeError):
    """This machine cannot run a cluster; the message says what it lacks."""


def script(name: str, *arguments: str) -> str:
    """Runs one of cluster/'s scripts and returns what it printed."""
    done = subprocess.run([SCRIPTS / name, *arguments], capture_output=True, text=True, check=False)
    if done.returncode == NOT_RUN:
        raise NotRunError(done.stderr.strip())
    if done.returncode != 0:
        raise RuntimeError(
            f"cluster/{name} {' '.join(arguments)} ended with {done.returncode}: {done.stderr}"
        )
    return done.stdout


@dataclass(frozen=True)
class Reply:
    """An answer to one request."""

    status: int
    body: str

    @property
    def pod(self) -> str:
        """The Pod that answered; empty where something else did."""
        word = self.body.split(" ", 1)[0]
        return word.removeprefix("host=") if word.startswith("host=") else ""


@dataclass(frozen=True)
class Pod:
    """A running Pod; the uid tells it from a later one of the same name."""

    name: str
    uid: str
    address: str


class Cluster:
    """One cluster of cluster/up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.run_dir = SCRIPTS / "run" / name
        self.kubeconfig = self.run_dir / "kubeconfig" / "admin"
        self.network = Network(f"fairlead-{name}")
        self.api = API(self.network, self.kubeconfig)

    @classmethod
    def start(cls, name: str) -> Cluster:
        """Builds what is missing and boots; raises NotRunError where that cannot be."""
        script("up", name)
        return cls(name)

    def install(self, *objects: Object, all_kinds: bool = False) -> None:
        """Installs the CRDs, the Gateway API's and Fairlead's own, and then these cluster-scoped objects.

        `all_kinds`: also those of the standard channel that Fairlead does not read; others wait for them.
        """
        folders = [ROOT / "deploy" / "crds", ROOT / "deploy" / "crds" / "gateway-api"]
        if all_kinds:
            folders[1] = Path(script("crds", "path").strip())
        crds = [f"--filename={path}" for folder in folders for path in sorted(folder.glob("*.yaml"))]
        self.kubectl("apply", "--server-side", *crds)
        self.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
        for item in objects:
            self.kubectl("apply", "--server-side", "--filename=-", text=json.dumps(item))

    def leave(self) -> None:
        """Closes what this process holds of the cluster, which runs on."""
        self.api.close()
        self.network.close()

    def stop(self) -> None:
        """Ends the cluster and everything in it."""
        self.leave()
        script("down", self.name)

    def daemon(self, action: str, name: str) -> None:
        """`start`, `stop` or `kill` of one of the cluster's daemons."""
        script("daemon", self.name, action, name)

    @contextmanager
    def without_api_server(self) -> Iterator[None]:
        """The API server is killed; afterwards it is started again, and its /readyz has just answered 200."""
        self.daemon("kill", "kube-apiserver")
        try:
            yield
        finally:
            self.daemon("start", "kube-apiserver")
            eventually("/readyz of the API server", self.api.ready, within=60, every=0.01)

    def wait_for_gateway_api(self) -> None:
        """Waits for what CRDs define: a returned API server may be ready before it takes a change of that."""
        eventually("the Gateway API is served", self._serves_routes, within=30, every=0.02)

    def _serves_routes(self) -> bool:
        try:
            self.api.get(f"{GATEWAY_API}/httproutes?limit=1")
        except APIError as error:
            if error.status not in {404, 503}:
                raise
            return False
        return True

    def recover(self) -> None:
        """Restarts what is slow to find a returned API server: the controllers wait for up to a minute."""
        for name in ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"):
            self.daemon("kill", name)
            self.daemon("start", name)
        self.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "node", "--all")

    def kubectl(self, *arguments: str, text: str | None = None, check: bool = True) -> str:
        """kubectl's standard output; AssertionError with its words if it fails and `check` is set."""
        done = subprocess.run(
            [
                *self.network.prefix,
                SCRIPTS / "bin" / "kubectl",
                f"--kubeconfig={self.kubeconfig}",
                *arguments,
            ],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            env={"KUBECACHEDIR": str(self.run_dir / "kubecache")},
        )
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def get(self, address: str, port: int, host: str, path: str = "/", *, timeout: float = 5) -> Reply:
        """One GET on a connection of its own; OSError where nobody answers."""
        connection = HTTPConnection(self.network, address, port, timeout=timeout)
        try:
            connection.request("GET", path, headers={"host": host})
            answer = connection.getresponse()
            return Reply(answer.status, answer.read().decode())
        finally:
            connection.close()

    def status(self, address: str, port: int, host: str, path: str = "/") -> int:
        """The status of one GET; 0 where nobody answers."""
        try:
            return self.get(address, port, host, path, timeout=1).status
        except OSError:
            return 0

    def load(self, plan: Plan) -> Load:
        """Starts the load client on the cluster's network."""
        return Load(plan, self.network.prefix)

    def inside(self, *command: str) -> str:
        """Runs a command in the cluster's mount and pid namespaces, where the containers are."""
        init = (self.run_dir / "init.pid").read_text().strip()
        words = ["nsenter", f"--target={init}", "--mount", "--net", "--pid", "--", *command]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    def kill_sandbox(self, pod: Pod) -> None:
        """Kills every process of the Pod at once, its sandbox first: it loses its address for good."""
        ctr = (str(SCRIPTS / "bin" / "ctr"), "--namespace=k8s.io")
        listed = self.inside(
            *ctr, "containers", "list", f'labels."io.kubernetes.pod.uid"=={pod.uid}', "--quiet"
        )
        containers = listed.split()
        assert len(containers) == 2, f"the sandbox and one container of {pod.name}: {containers}"
        kinds = {
            name: json.loads(self.inside(*ctr, "containers", "info", name))["Labels"] for name in containers
        }
        containers.sort(key=lambda name: kinds[name]["io.cri-containerd.kind"], reverse=True)
        for name in containers:
            self.inside(*ctr, "tasks", "kill", "--signal=SIGKILL", name)

    def drop_packets(self, pod: Pod) -> None:
        """From now on packets to and from the Pod vanish without an answer."""
        for chain, direction in (("OUTPUT", "-d"), ("INPUT", "-s"), ("FORWARD", "-d"), ("FORWARD", "-s")):
            subprocess.run(
                [*self.network.prefix, "iptables", "-w", "-I", chain, direction, pod.address, "-j", "DROP"],
                check=True,
                capture_output=True,
            )

    def pass_packets(self) -> None:
        """Takes every `drop_packets` back."""
        listed = subprocess.run(
            [*self.network.prefix, "iptables", "-S"], check=True, capture_output=True, text=True
        ).stdout
        for rule in listed.splitlines():
            words = rule.split()
            if words[0] == "-A" and words[-1] == "DROP" and "/32" in rule and "-m" not in words:
                words[0] = "-D"
                subprocess.run(
                    [*self.network.prefix, "iptables", "-w", *words], check=True, capture_output=True
                )


class Namespace:
    """A namespace of one test, with what the tests do in it."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        cluster.kubectl("create", "namespace", name)

    def delete(self) -> None:
        """Starts its deletion; the next test does not wait for its Pods."""
        self.cluster.kubectl("delete", "namespace", self.name, "--wait=false")

    def kubectl(self, *arguments: str, text: str | None = None, check: bool = True) -> str:
        """kubectl in this namespace."""
        return self.cluster.kubectl(f"--namespace={self.name}", *arguments, text=text, check=check)

    def apply(self, *objects: Object) -> None:
        """kubectl apply."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--filename=-", text=json.dumps(items))

    def scale(self, deployment: str, replicas: int) -> None:
        """Asks for so many Pods; does not wait."""
        self.kubectl("scale", f"deployment/{deployment}", f"--replicas={replicas}")

    def pods(self, app: str) -> list[Pod]:
        """The Pods with label app=APP that are ready and not on their way out."""
        found = self.cluster.api.get(f"/api/v1/namespaces/{self.name}/pods?labelSelector=app%3D{app}")[
            "items"
        ]
        return [
            Pod(item["metadata"]["name"], item["metadata"]["uid"], item["status"]["podIP"])
            for item in found
            if "deletionTimestamp" not in item["metadata"]
            and any(
                entry["type"] == "Ready" and entry["status"] == "True"
                for entry in item["status"].get("conditions", ())
            )
        ]

    def wait_for_pods(self, app: str, count: int, *, within: float = 60) -> list[Pod]:
        """Waits until exactly so many Pods are ready and the Service's slices say the same."""

        def look() -> bool:
            return len(self.pods(app)) == count and len(self.ready_addresses(app)) == count

        eventually(f"{count} ready Pods of {app}", look, within=within)
        return self.pods(app)

    def programmed_address(self, gateway: str = "web") -> str:
        """Waits until the Gateway is Programmed and returns its address."""
        self.kubectl("wait", "--for=condition=Programmed", "--timeout=30s", f"gateway/{gateway}")
        path = f"{GATEWAY_API}/namespaces/{self.name}/gateways/{gateway}"
        address: str = self.cluster.api.get(path)["status"]["addresses"][0]["value"]
        return address

    def wait_for_policy(self, policy: str) -> None:
        """Waits until the BackendPolicy is Accepted, and so in force, at the first Gateway."""
        status = '{.status.ancestors[0].conditions[?(@.type=="Accepted")].status}'
        self.kubectl("wait", f"--for=jsonpath={status}=True", "--timeout=30s", f"backendpolicy/{policy}")

    def wait_accepted(self, route: str) -> None:
        """Waits until the HTTPRoute's first parent says Accepted and ResolvedRefs."""
        for kind in ("Accepted", "ResolvedRefs"):
            status = f'{{.status.parents[0].conditions[?(@.type=="{kind}")].status}}'
            self.kubectl("wait", f"--for=jsonpath={status}=True", "--timeout=30s", f"httproute/{route}")

    def endpoints(self, service: str) -> dict[str, Object]:
        """What the Service's EndpointSlices say: the conditions by address."""
        selector = f"kubernetes.io%2Fservice-name%3D{service}"
        path = f"/apis/discovery.k8s.io/v1/namespaces/{self.name}/endpointslices?labelSelector={selector}"
        return {
            address: endpoint["conditions"]
            for item in self.cluster.api.get(path)["items"]
            for endpoint in item["endpoints"] or ()
            for address in endpoint["addresses"]
        }

    def ready_addresses(self, service: str) -> set[str]:
        """The addresses that the Service's EndpointSlices call ready."""
        return {
            address
            for address, conditions in self.endpoints(service).items()
            if conditions.get("ready", True)
        }

    def rolling_restart(self, deployment: str, *, within: float = 120) -> float:
        """Restarts and waits for the end; returns how many seconds it took."""
        begun = time.monotonic()
        self.kubectl("rollout", "restart", f"deployment/{deployment}")
        self.kubectl("rollout", "status", f"deployment/{deployment}", f"--timeout={within:g}s")
        return time.monotonic() - begun
