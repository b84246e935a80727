"""A proxy process, a controller in the test's hands, and a backend."""

import http.client
import http.server
import json
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fairlead import snapshot as s

PATIENCE_S = 10.0


def wait_until(what: str, done: Callable[[], bool]) -> float:
    """How long it took in seconds."""
    start = time.monotonic()
    while not done():
        assert time.monotonic() - start < PATIENCE_S, f"waited in vain for: {what}"
        time.sleep(0.005)
    return time.monotonic() - start


class _Hello(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment

    def do_GET(self) -> None:
        body = b"hello\n"
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@dataclass
class World:
    """What a proxy needs around it."""

    folder: Path
    backend_port: int
    bind_port: int
    policy: s.Policy = field(default_factory=s.Policy)
    more_ports: tuple[int, ...] = ()
    """Of further backends."""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def config(self, **more: object) -> str:
        return json.dumps(
            {
                "instance": "test",
                "workers": 2,
                "stream_socket": str(self.folder / "stream"),
                "state_file": str(self.folder / "last-good"),
                "ready_file": str(self.folder / "ready"),
                "drain": {"grace_s": 1, "deadline_s": 5},
                **more,
            }
        )

    def start(self, **more: object) -> subprocess.Popen[bytes]:
        (self.folder / "ready").unlink(missing_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "fairlead.proxy", "--config", self.config(**more)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.processes.append(process)
        return process

    def health(self, path: str) -> tuple[int, str]:
        """A GET of the health server; 0 where there is none."""
        try:
            address = json.loads((self.folder / "ready").read_bytes())["health"]
            return get(int(address.rpartition(":")[2]), path)
        except OSError:
            return 0, ""

    def gateway(self) -> tuple[s.Upsert, ...]:
        bind = f"127.0.0.1:{self.bind_port}"
        backend = s.backend_key("shop", "app", 80)
        endpoints = tuple(
            s.Endpoint(id=f"uid|127.0.0.1|{port}|TCP", address="127.0.0.1", port=port)
            for port in (self.backend_port, *self.more_ports)
        )
        rule = s.Rule(matches=(s.RouteMatch(),), targets=(s.Target(weight=1, backend=backend),))
        resources: list[tuple[s.Kind, str, s.Resource]] = [
            (s.Kind.BIND, bind, s.Bind(address="127.0.0.1", port=self.bind_port)),
            (
                s.Kind.LISTENER,
                "infra/edge/http",
                s.Listener(bind=bind, gateway_namespace="infra", gateway="edge", listener="http", port=80),
            ),
            (s.Kind.ENDPOINTS, backend, s.Endpoints(endpoints=endpoints)),
            (
                s.Kind.BACKEND,
                backend,
                s.Backend(namespace="shop", service="app", port=80, policy=self.policy),
            ),
            (
                s.Kind.ROUTE,
                "HTTPRoute/shop/app",
                s.Route(
                    namespace="shop",
                    name="app",
                    created_s=0,
                    attachments=(s.Attachment(listener="infra/edge/http"),),
                    rules=(rule,),
                ),
            ),
        ]
        encoded = [(kind, name, s.encode_resource(resource)) for kind, name, resource in resources]
        return tuple(s.Upsert(kind=k, name=n, hash=s.content_hash(b), body=b) for k, n, b in encoded)

    def configure(self, **more: object) -> subprocess.Popen[bytes]:
        """Starts a proxy and gives it the gateway; the controller is gone afterwards."""
        path = self.folder / "stream"
        with socket.socket(socket.AF_UNIX) as listener:
            path.unlink(missing_ok=True)
            listener.bind(str(path))
            listener.listen()
            listener.settimeout(PATIENCE_S)
            process = self.start(**more)
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as frames:
                connection.settimeout(PATIENCE_S)
                update = s.Update(
                    position=s.Position(epoch=1, generation=1), full=True, upserts=self.gateway()
                )
                connection.sendall(s.encode_frame(update))
                while True:
                    (length,) = struct.unpack(">I", frames.read(4))
                    if isinstance(s.decode_from_proxy(frames.read(length)), s.Ack):
                        return process


def get(port: int, path: str = "/") -> tuple[int, str]:
    """One GET on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hello)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        bind_port = free.getsockname()[1]
    made = World(tmp_path, server.server_address[1], bind_port)
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.kill()
        process.communicate()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def wait() -> Callable[[str, Callable[[], bool]], float]:
    return wait_until


@pytest.fixture
def fetch() -> Callable[..., tuple[int, str]]:
    return get
