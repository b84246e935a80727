"""Features that a GatewayClass names in `status.supportedFeatures`, asked for as their conformance tests do."""

import http.client
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.harness.directory import Directory
from tests.e2e.harness.echo_server import echo_pods
from tests.e2e.harness.waiting import eventually

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(find_spec("fairlead._core") is None, reason="fairlead._core is not built"),
]

LISTENERS = {
    "empty-hostname": "",
    "wildcard-example-com": "*.example.com",
    "wildcard-foo-example-com": "*.foo.example.com",
    "abc-foo-example-com": "abc.foo.example.com",
}
"""Each hostname within the one before."""
HOSTS = {
    "bar.com": "empty-hostname",
    "bar.example.com": "wildcard-example-com",
    "bar.foo.example.com": "wildcard-foo-example-com",
    "abc.foo.example.com": "abc-foo-example-com",
}
"""Which listener a request for a host belongs to: the most specific one alone."""


@pytest.fixture
def pod() -> Iterator[int]:
    """The port of a Pod that answers plain requests and echoes WebSockets."""
    with echo_pods(1) as (port,):
        yield port


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Directory]:
    instance = Directory(tmp_path)
    yield instance
    instance.stop()
    print(instance.tail())  # pytest shows it with a failure


def service(pod: int, app_protocol: str = "") -> str:
    protocol = f", appProtocol: {app_protocol}" if app_protocol else ""
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: app}}
spec: {{ports: [{{name: http, port: 80{protocol}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: app-1, labels: {{kubernetes.io/service-name: app}}}}
addressType: IPv4
ports: [{{name: http, port: {pod}, protocol: TCP{protocol}}}]
endpoints: [{{addresses: [127.0.0.1]}}]
"""


def gateway(listeners: list[dict[str, object]]) -> str:
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge}}
spec:
  gatewayClassName: fairlead
  listeners: {json.dumps(listeners)}
"""


def route(name: str, *, section: str = "", hostnames: list[str] | None = None, path: str = "/") -> str:
    parent = f"name: edge, sectionName: {section}" if section else "name: edge"
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{{parent}}}]
  hostnames: {json.dumps(hostnames or [])}
  rules:
  - matches: [{{path: {{type: PathPrefix, value: {path}}}}}]
    backendRefs: [{{name: app, port: 80}}]
"""


def ask(address: str, port: int, host: str, path: str) -> int:
    connection = http.client.HTTPConnection(address, port, timeout=10)
    connection.request("GET", path, headers={"Host": host})
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("hostnames", [[], ["bar.com", *list(LISTENERS.values())[1:]]], ids=["none", "all"])
def test_gateway_http_listener_isolation(instance: Directory, pod: int, hostnames: list[str]) -> None:
    """A request sees the routes of the most specific listener alone, be its path another listener's."""
    listeners: list[dict[str, object]] = [
        {"name": name, "port": 8080, "protocol": "HTTP"} | ({"hostname": hostname} if hostname else {})
        for name, hostname in LISTENERS.items()
    ]
    routes = [route(name, section=name, hostnames=hostnames, path=f"/{name}") for name in LISTENERS]
    instance.write("all.yaml", "---".join([gateway(listeners), service(pod), *routes]))
    instance.start()
    address = instance.address("edge")
    found = {(host, name): ask(address, 8080, host, f"/{name}/x") for host in HOSTS for name in LISTENERS}
    assert found == {
        (host, name): 200 if name == own else 404 for host, own in HOSTS.items() for name in LISTENERS
    }


def test_gateway_port_8080(instance: Directory, pod: int) -> None:
    """A listener on port 8080 beside another one: each counts the routes that are attached to it, and serves them."""
    listeners: list[dict[str, object]] = [
        {"name": "first", "port": 8090, "protocol": "HTTP"},
        {"name": "second", "port": 8080, "protocol": "HTTP"},
    ]
    routes = [route("both"), route("one", section="second", path="/one")]
    instance.write("all.yaml", "---".join([gateway(listeners), service(pod), *routes]))
    instance.start()
    address = instance.address("edge")

    def attached() -> dict[str, int]:
        status = json.loads(instance.fairlead("get", "gateways", "edge", "-o", "json").stdout)["status"]
        return {each["name"]: each["attachedRoutes"] for each in status["listeners"]}

    eventually("routes are counted", lambda: attached() == {"first": 1, "second": 2})
    assert [ask(address, port, "any.test", "/one") for port in (8080, 8090)] == [200, 200]


async def test_http_route_backend_protocol_websocket(instance: Directory, pod: int) -> None:
    """A Service port with `appProtocol: kubernetes.io/ws` takes WebSockets."""
    listeners: list[dict[str, object]] = [{"name": "http", "port": 8080, "protocol": "HTTP"}]
    instance.write(
        "all.yaml", "---".join([gateway(listeners), service(pod, "kubernetes.io/ws"), route("ws")])
    )
    instance.start()
    address = instance.address("edge")
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"http://{address}:8080/chat", timeout=aiohttp.ClientWSTimeout(ws_close=10)
        ) as chat,
    ):
        await chat.send_str("hello")
        assert await chat.receive_str(timeout=10) == "hello"
