"""`fairlead run DIR` for real: both halves, Gateways on loopback, Pods that are threads of the test."""

import contextlib
import http.client
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.harness.directory import Directory
from tests.e2e.harness.waiting import eventually

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(find_spec("fairlead._core") is None, reason="fairlead._core is not built"),
]

HOST = "web.example.com"


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


def gateway(name: str) -> str:
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec:
  gatewayClassName: fairlead
  listeners: [{{name: http, port: 8080, protocol: HTTP}}]
"""


def route(
    name: str, *, parent: str = "edge", service: str = "web", host: str = HOST, created: str = ""
) -> str:
    created = f", creationTimestamp: {created}" if created else ""
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}{created}}}
spec:
  parentRefs: [{{name: {parent}}}]
  hostnames: [{host}]
  rules: [{{backendRefs: [{{name: {service}, port: 80}}]}}]
"""


def service(name: str) -> str:
    """Round robin, because the default may leave an endpoint whose first answer was slow out for a while."""
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: fairlead.dev/v1alpha1
kind: BackendPolicy
metadata: {{name: {name}}}
spec:
  targetRefs: [{{group: "", kind: Service, name: {name}}}]
  loadBalancer: {{type: RoundRobin}}
"""


def slice_(pod: Pod, *, service: str = "web", hints: str = "") -> str:
    hints = f", hints: {hints}" if hints else ""
    return f"""
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {service}-{pod.port}, labels: {{kubernetes.io/service-name: {service}}}}}
addressType: IPv4
ports: [{{name: http, port: {pod.port}, protocol: TCP}}]
endpoints: [{{addresses: [127.0.0.1]{hints}}}]
"""


def documents(*texts: str) -> str:
    return "---".join(texts)


class Instance(Directory):
    """One with a Gateway `edge` and a route `web` to the Service of that name."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        super().__init__(folder, arguments=arguments, environment=environment)
        self.write("web.yaml", documents(gateway("edge"), route("web"), service("web")))

    def endpoints(self, *pods: Pod) -> None:
        self.write("endpoints.yaml", documents(*map(slice_, pods)))

    def end(self) -> int:
        """Asks it to end and gives its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(timeout=30)

    def get(self, *arguments: str) -> Any:
        """What a `get` tells; nothing where it fails."""
        done = self.fairlead("get", *arguments, "-o", "json")
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def programmed(self) -> bool:
        conditions = self.get("gateways", "edge").get("status", {}).get("conditions", [])
        return any((one["type"], one["status"]) == ("Programmed", "True") for one in conditions)

    def half(self, word: str) -> int:
        """The process of the half whose command line has this word; 0 where there is none."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
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
        eventually("it is as the test wants it", condition, within=60, every=0.02)

    def files(self) -> dict[str, tuple[bytes, int, int]]:
        """What the user's folder holds: content, time of change and inode by path."""
        return {
            str(path): (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino)
            for path in self._manifests.rglob("*")
        }

    def recorded(self) -> list[tuple[str, str]]:
        """File and kind of what it has recorded of its folder."""
        record = next((self._folder / "state/fairlead").glob("*/objects.jsonl"), None)
        lines = record.read_text().splitlines()[1:] if record is not None else ()
        found = [json.loads(line) for line in lines]
        return [(one["path"], one["content"]["kind"]) for one in found]

    def sockets(self) -> list[Path]:
        return list((self._folder / "run/fairlead").glob("*.sock"))

    def health(self) -> str:
        """HOST:PORT of its health thread."""
        ready = next((self._folder / "run/fairlead").glob("*.ready.json"))
        return str(json.loads(ready.read_bytes())["health"])


@pytest.fixture
def pods() -> Iterator[list[Pod]]:
    pods = [Pod("one"), Pod("two"), Pod("three")]
    yield pods
    for pod in pods:
        pod.stop()


Made = Callable[..., Instance]


@pytest.fixture
def made(tmp_path: Path, pods: list[Pod]) -> Iterator[Made]:
    """Makes an instance in front of the first Pod; it is started by the test and ended after it."""
    with contextlib.ExitStack() as stack:

        def make(*arguments: str, **environment: str) -> Instance:
            instance = Instance(tmp_path, *arguments, **environment)
            instance.endpoints(pods[0])
            # pytest shows it with a failure
            stack.callback(lambda: print(instance.tail()))
            stack.callback(instance.stop)
            return instance

        yield make


@pytest.fixture
def instance(made: Made) -> Instance:
    instance = made()
    instance.start()
    return instance


def test_a_directory_is_served_followed_and_stopped(instance: Instance, pods: list[Pod]) -> None:
    address = instance.address("edge")
    instance.until(lambda: instance.ask(address) == (200, "one"))
    assert instance.ask(address, "other.example.com")[0] == 404

    instance.endpoints(pods[1], pods[2])
    instance.until(lambda: instance.ask(address)[1] in {"two", "three"})
    seen = {instance.ask(address)[1] for _ in range(60)}
    assert seen == {"two", "three"}
    rows = instance.get("endpoints", "web")["items"]
    assert {row["spec"]["port"] for row in rows} == {pods[1].port, pods[2].port}
    assert sum(row["status"]["traffic"]["requests"] for row in rows) >= 60

    instance.endpoints()
    instance.until(lambda: instance.ask(address)[0] == 503)
    instance.endpoints(pods[0])
    instance.until(lambda: instance.ask(address) == (200, "one"))

    refused = instance.fairlead("run", str(instance._manifests))
    assert refused.returncode == 1
    assert "already running" in refused.stderr

    assert instance.end() == 0
    assert instance.sockets() == []
    assert instance.fairlead("get", "gateways").returncode == 1


def test_gateways_on_one_port_have_an_address_each_and_keep_it(instance: Instance, pods: list[Pod]) -> None:
    inner = "inner.example.com"
    instance.write(
        "inner.yaml",
        documents(
            gateway("inner"),
            route("inner", parent="inner", service="inner", host=inner),
            service("inner"),
            slice_(pods[1], service="inner"),
        ),
    )
    addresses = instance.address("edge"), instance.address("inner")
    assert addresses[0] != addresses[1]

    def each_serves_its_own() -> bool:
        answers = [instance.ask(address, host)[:2] for address in addresses for host in (HOST, inner)]
        return [answers[0], answers[1][0], answers[2][0], answers[3]] == [
            (200, "one"),
            404,
            404,
            (200, "two"),
        ]

    instance.until(each_serves_its_own)
    # One that comes first by name, known from the start, takes nobody's address.
    assert instance.end() == 0
    instance.write("another.yaml", gateway("another"))
    instance.start()
    assert (instance.address("edge"), instance.address("inner")) == addresses
    assert instance.address("another") not in addresses
    instance.until(each_serves_its_own)

    instance.remove("inner.yaml")
    instance.until(lambda: instance.ask(addresses[1])[0] == 0)
    assert instance.ask(addresses[0]) == (200, "one")


@pytest.mark.parametrize(
    ("option", "answers"),
    [
        ((), {"one", "two", "three"}),
        (("--zone=b",), {"two", "three"}),
        (("--zone=b", "--node=n3"), {"three"}),
    ],
    ids=["without", "a zone", "a zone and a node"],
)
def test_hints_are_honoured_by_the_zone_and_the_node_that_are_given(
    option: tuple[str, ...], answers: set[str], made: Made, pods: list[Pod]
) -> None:
    instance = made(*option)
    hints = [
        f"{{forZones: [{{name: {zone}}}], forNodes: [{{name: {node}}}]}}"
        for zone, node in (("a", "n1"), ("b", "n2"), ("b", "n3"))
    ]
    slices = [slice_(pod, hints=each) for pod, each in zip(pods, hints, strict=True)]
    instance.write("endpoints.yaml", documents(*slices))
    instance.start()
    address = instance.address("edge")
    instance.until(lambda: instance.ask(address)[0] == 200)
    assert {instance.ask(address)[1] for _ in range(30)} == answers


def test_of_routes_alike_the_older_wins_and_ties_go_by_name(instance: Instance, pods: list[Pod]) -> None:
    address, host = instance.address("edge"), "tie.example.com"
    instance.write("other.yaml", documents(service("other"), slice_(pods[1], service="other")))
    instance.write("1.yaml", route("beta", service="other", host=host))
    instance.until(lambda: instance.ask(address, host) == (200, "two"))
    instance.write("2.yaml", route("alpha", host=host))
    instance.until(lambda: instance.ask(address, host) == (200, "one"))
    # Without a time of creation a route is as old as can be.
    instance.write("2.yaml", route("alpha", host=host, created="2026-01-01T00:00:00Z"))
    instance.until(lambda: instance.ask(address, host) == (200, "two"))


def test_status_lives_in_the_instance_and_the_users_files_are_never_written(made: Made) -> None:
    instance = made()
    written = f"""{route("written", host="written.example.com")}
status:
  parents:
  - controllerName: fairlead.dev/gateway-controller
    parentRef: {{name: edge}}
    conditions:
    - {{type: Accepted, status: "False", reason: ByHand, message: "", lastTransitionTime: "2020-01-01T00:00:00Z"}}
"""
    instance.write("written.yaml", written)
    # What is wrong is told by the instance too: neither mended nor annotated.
    instance.write("broken.yaml", "kind: [\n")
    instance.write("web-again.yaml", route("web"))
    before = instance.files()
    instance.start()
    address = instance.address("edge")
    instance.until(lambda: instance.ask(address, "written.example.com") == (200, "one"))

    told = instance.fairlead("get", "routes", "written", "-o", "yaml")
    (parent,) = yaml.safe_load(told.stdout)["status"]["parents"]
    accepted = next(one for one in parent["conditions"] if one["type"] == "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "Accepted")
    assert "ByHand" not in told.stdout

    assert instance.end() == 0
    assert instance.files() == before


def test_limits_hold_and_at_that_of_connections_the_admin_api_and_health_answer(made: Made) -> None:
    limited = made(
        FAIRLEAD_MAX_CONNECTIONS="6",
        FAIRLEAD_MAX_CONNECTIONS_PER_LISTENER="5",
        FAIRLEAD_MAX_REQUEST_BODY="1000",
        FAIRLEAD_FORWARDED="append",
        FAIRLEAD_TRUSTED_PROXIES="10.0.0.0/8, fd00::/8,192.0.2.7",
    )
    limited.start()
    address = limited.address("edge")
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
        host, _, port = limited.health().rpartition(":")
        for path in ("/livez", "/readyz"):
            asked = http.client.HTTPConnection(host, int(port), timeout=5)
            open_ones.callback(asked.close)
            asked.request("GET", path)
            assert asked.getresponse().status == 200
        assert limited.get("gateways", "edge")
        for connection in held:
            connection.request("GET", "/", headers={"Host": HOST})
            assert connection.getresponse().read() == b"one"
    limited.until(lambda: limited.ask(address) == (200, "one"))


@pytest.mark.parametrize(
    ("broken", "down"),
    [
        (documents(gateway("edge"), service("web"), "\nkind: [\n"), False),
        (documents(gateway("edge"), route("web"), "\nkind: [\n"), False),
        (documents(gateway("edge"), route("web").replace("port: 80", "port: x"), service("web")), True),
        ("kind: [\n", True),
    ],
    ids=[
        "its route, while it runs",
        "its service, while it runs",
        "its route is refused, while it is down",
        "all of it, while it is down",
    ],
)
def test_what_a_file_lacks_since_it_broke_is_served_by_the_next_controller_too(
    broken: str, *, down: bool, instance: Instance
) -> None:
    address = instance.address("edge")
    instance.until(lambda: instance.ask(address) == (200, "one"))
    instance.until(lambda: ("web.yaml", "HTTPRoute") in instance.recorded())

    def told() -> bool:
        rows = instance.get("findings").get("items", [])
        served.add(instance.ask(address))
        return any(row["spec"]["where"].startswith("web.yaml:") for row in rows)

    served: set[tuple[int, str]] = set()
    if down:
        assert instance.end() == 0
        instance.write("web.yaml", broken)
        instance.start()
    else:
        instance.write("web.yaml", broken)
        instance.until(told)
        controller = instance.half("controller")
        os.kill(controller, signal.SIGKILL)
        instance.until(lambda: instance.half("controller") not in {0, controller})
    instance.until(told)
    instance.until(instance.programmed)
    assert served | {instance.ask(address)} == {(200, "one")}

    instance.write("web.yaml", documents(gateway("edge"), service("web")))
    instance.until(lambda: instance.ask(address)[0] == 404)


def test_a_folder_that_cannot_be_listed_is_served_on_and_told(instance: Instance) -> None:
    address = instance.address("edge")
    instance.until(lambda: instance.ask(address) == (200, "one"))
    instance.until(lambda: ("web.yaml", "HTTPRoute") in instance.recorded())
    away = instance._manifests.rename(instance._folder / "away")

    def told() -> set[str]:
        return {row["spec"]["where"] for row in instance.get("findings").get("items", [])}

    instance.until(lambda: told() == {"."})
    assert instance.ask(address) == (200, "one")
    away.rename(instance._manifests)
    instance.until(lambda: told() == set())
    instance.remove("web.yaml")
    instance.until(lambda: instance.ask(address)[0] == 0)


def test_the_gateway_class_that_nobody_wrote_is_of_the_controller_that_is_named(made: Made) -> None:
    instance = made("--controller-name=example.com/mine")
    instance.start()
    address = instance.address("edge")
    instance.until(lambda: instance.ask(address) == (200, "one"))
    (parent,) = instance.get("routes", "web")["status"]["parents"]
    assert parent["controllerName"] == "example.com/mine"


def test_a_directory_is_served_and_told_of_where_no_status_is_written(made: Made) -> None:
    instance = made("--no-status")
    instance.start()
    address = instance.address("edge")
    instance.until(lambda: instance.ask(address) == (200, "one"))


def test_the_halves_die_alone(instance: Instance) -> None:
    address = instance.address("edge")
    instance.until(lambda: instance.ask(address) == (200, "one"))
    controller, proxy = instance.half("controller"), instance.half("fairlead.proxy")
    os.kill(controller, signal.SIGKILL)
    assert instance.ask(address) == (200, "one")
    instance.until(lambda: instance.half("controller") not in {0, controller})
    instance.until(instance.programmed)
    assert instance.half("fairlead.proxy") == proxy
    assert instance.address("edge") == address

    # The controller stands still: what serves now is what the proxy has kept on disk.
    controller = instance.half("controller")
    os.kill(controller, signal.SIGSTOP)
    try:
        os.kill(proxy, signal.SIGKILL)
        instance.until(lambda: instance.ask(address) == (200, "one"))
        assert instance.half("fairlead.proxy") != proxy
    finally:
        os.kill(controller, signal.SIGCONT)
    instance.until(instance.programmed)
