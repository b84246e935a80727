"""`fairlead run DIR` for real: both halves, a Gateway on loopback, a Pod that is a thread of the test."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(find_spec("fairlead._core") is None, reason="fairlead._core is not built"),
]

HOST = "web.example.com"
MANIFEST = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: fairlead
  listeners: [{name: http, port: 8080, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec:
  parentRefs: [{name: edge}]
  hostnames: [web.example.com]
  rules: [{backendRefs: [{name: web, port: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: fairlead.dev/v1alpha1
kind: BackendPolicy
metadata: {name: web}
spec:
  targetRefs: [{group: "", kind: Service, name: web}]
  loadBalancer: {type: RoundRobin}
"""
"""Round robin, because the default may leave an endpoint whose first answer was slow out for a while."""


class Pod:
    """Answers every GET with its name."""

    def __init__(self, name: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Instance:
    """A running `fairlead run`, found by its own runtime folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifests = folder / "manifests"
        self.manifests.mkdir()
        self.write("web.yaml", MANIFEST)
        self.env = os.environ | {
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "XDG_STATE_HOME": str(folder / "state"),
            "FAIRLEAD_DRAIN_GRACE": "0",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, name: str, text: str) -> None:
        """As a careful editor does: whole, at once."""
        new = self.folder / "new"
        new.write_text(text)
        new.replace(self.manifests / name)

    def endpoints(self, *pods: Pod) -> None:
        slices = [
            f"""
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: web-{pod.port}, labels: {{kubernetes.io/service-name: web}}}}
addressType: IPv4
ports: [{{name: http, port: {pod.port}, protocol: TCP}}]
endpoints: [{{addresses: [127.0.0.1]}}]
"""
            for pod in pods
        ]
        self.write("endpoints.yaml", "---".join(slices))

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fairlead", "run", str(self.manifests)],
                env=self.env,
                stdout=log,
                stderr=log,
            )
        self.until(lambda: self.get("gateways", "edge").returncode == 0)

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=30)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "fairlead", *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )

    def get(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("get", *arguments, "-o", "json")

    def condition(self, name: str) -> str:
        answer = self.get("gateways", "edge")
        conditions = json.loads(answer.stdout)["status"]["conditions"] if answer.returncode == 0 else []
        return next((one["status"] for one in conditions if one["type"] == name), "")

    def address(self) -> str:
        status = json.loads(self.get("gateways", "edge").stdout)["status"]
        return str(status["addresses"][0]["value"])

    def half(self, word: str) -> int:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in map(int, children):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if word in words:
                return pid
        return 0

    def ask(self, address: str, host: str = HOST) -> tuple[int, str]:
        """Status and body of a request through the Gateway; 0 where there is no answer."""
        connection = http.client.HTTPConnection(address, 8080, timeout=5)
        try:
            connection.request("GET", "/", headers={"Host": host})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError as error:
            return 0, repr(error)
        finally:
            connection.close()

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()[-4000:]
            time.sleep(0.02)


@pytest.fixture
def pods() -> Iterator[list[Pod]]:
    pods = [Pod("one"), Pod("two"), Pod("three")]
    yield pods
    for pod in pods:
        pod.stop()


@pytest.fixture
def instance(tmp_path: Path, pods: list[Pod]) -> Iterator[Instance]:
    instance = Instance(tmp_path)
    instance.endpoints(pods[0])
    instance.start()
    yield instance
    instance.kill()


def test_a_directory_is_served_followed_and_stopped(instance: Instance, pods: list[Pod]) -> None:
    address = instance.address()
    instance.until(lambda: instance.condition("Programmed") == "True")
    instance.until(lambda: instance.ask(address) == (200, "one"))
    assert instance.ask(address, "other.example.com")[0] == 404

    instance.endpoints(pods[1], pods[2])
    instance.until(lambda: instance.ask(address)[1] in {"two", "three"})
    seen = {instance.ask(address)[1] for _ in range(60)}
    assert seen == {"two", "three"}
    rows = json.loads(instance.get("endpoints", "web").stdout)["items"]
    assert {row["spec"]["port"] for row in rows} == {pods[1].port, pods[2].port}
    assert sum(row["status"]["traffic"]["requests"] for row in rows) >= 60

    instance.endpoints()
    instance.until(lambda: instance.ask(address)[0] == 503)
    instance.endpoints(pods[0])
    instance.until(lambda: instance.ask(address) == (200, "one"))

    refused = instance.run("run", str(instance.manifests))
    assert refused.returncode == 1
    assert "already running" in refused.stderr

    assert instance.stop() == 0
    assert list((instance.folder / "run/fairlead").glob("*.sock")) == []
    assert instance.run("get", "gateways").returncode == 1


def test_limits_hold_and_at_that_of_connections_the_admin_api_and_health_answer(
    tmp_path: Path, pods: list[Pod]
) -> None:
    limited = Instance(tmp_path)
    limited.env |= {
        "FAIRLEAD_MAX_CONNECTIONS": "6",
        "FAIRLEAD_MAX_CONNECTIONS_PER_LISTENER": "5",
        "FAIRLEAD_MAX_REQUEST_BODY": "1000",
        "FAIRLEAD_FORWARDED": "append",
        "FAIRLEAD_TRUSTED_PROXIES": "10.0.0.0/8, fd00::/8,192.0.2.7",
    }
    limited.endpoints(pods[0])
    try:
        limited.start()
        address = limited.address()
        limited.until(lambda: limited.ask(address) == (200, "one"))
        with contextlib.closing(http.client.HTTPConnection(address, 8080, timeout=5)) as large:
            large.request("POST", "/", body=b"x" * 1001, headers={"Host": HOST})
            assert large.getresponse().status == 413
        with contextlib.ExitStack() as open_ones:
            held = []

            def hold() -> bool:
                connection = http.client.HTTPConnection(address, 8080, timeout=5)
                try:
                    connection.request("GET", "/", headers={"Host": HOST})
                    answered = connection.getresponse().read() == b"one"
                except OSError:
                    connection.close()
                    return False
                open_ones.callback(connection.close)
                held.append(connection)
                return answered

            # The connections of the questions before may still be on their way out.
            for _ in range(5):
                limited.until(hold)
            assert limited.ask(address)[0] == 0, "refused at once"
            health = json.loads(next(limited.folder.glob("run/fairlead/*.ready.json")).read_bytes())["health"]
            host, _, port = health.rpartition(":")
            for path in ("/livez", "/readyz"):
                asked = http.client.HTTPConnection(host, int(port), timeout=5)
                open_ones.callback(asked.close)
                asked.request("GET", path)
                assert asked.getresponse().status == 200
            assert limited.get("gateways", "edge").returncode == 0
            for connection in held:
                connection.request("GET", "/", headers={"Host": HOST})
                assert connection.getresponse().read() == b"one"
        limited.until(lambda: limited.ask(address) == (200, "one"))
    finally:
        limited.kill()


def test_the_halves_die_alone(instance: Instance) -> None:
    address = instance.address()
    instance.until(lambda: instance.ask(address) == (200, "one"))
    controller, proxy = instance.half("controller"), instance.half("fairlead.proxy")
    os.kill(controller, signal.SIGKILL)
    assert instance.ask(address) == (200, "one")
    instance.until(lambda: instance.half("controller") not in {0, controller})
    instance.until(lambda: instance.condition("Programmed") == "True")
    assert instance.half("fairlead.proxy") == proxy
    assert instance.address() == address

    # The controller stands still: what serves now is what the proxy has kept on disk.
    controller = instance.half("controller")
    os.kill(controller, signal.SIGSTOP)
    try:
        os.kill(proxy, signal.SIGKILL)
        instance.until(lambda: instance.ask(address) == (200, "one"))
        assert instance.half("fairlead.proxy") != proxy
    finally:
        os.kill(controller, signal.SIGCONT)
    instance.until(lambda: instance.condition("Programmed") == "True")
