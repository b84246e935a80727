"""Requests whose header decides which endpoint takes them, whatever process of the proxy they come to."""

import http.client
import http.server
import json
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from fairlead import snapshot as s

pytestmark = pytest.mark.process

PATIENCE_S = 10.0
USERS = 60


class _Pod(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@pytest.fixture
def pods() -> Iterator[tuple[int, ...]]:
    """The ports of three more backends."""
    with ExitStack() as stack:
        ports = []
        for _ in range(3):
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Pod)
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            stack.callback(server.server_close)
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            ports.append(server.server_address[1])
        yield tuple(ports)


def ask(port: int, user: int) -> None:
    """One request of a user, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", f"/{user}", headers={"host": "a.test", "x-user": f"user-{user}"})
        assert connection.getresponse().status == 200
    finally:
        connection.close()


def chosen(world: Any) -> dict[str, str]:
    """Which endpoint each user's requests went to, in a proxy that is started for it, by path."""
    process = world.configure()
    for user in (*range(USERS), *range(USERS)):
        ask(world.bind_port, user)
    process.send_signal(signal.SIGINT)
    lines = [json.loads(line) for line in process.communicate()[0].splitlines()]
    assert {line["lb_reason"] for line in lines} == {"hash"}
    found = {(line["path"], line["upstream_host"]) for line in lines}
    assert len(found) == USERS, "the same endpoint each time"
    return dict(found)


def test_every_process_sends_equal_keys_to_the_same_endpoint(world: Any, pods: tuple[int, ...]) -> None:
    world.more_ports = pods
    world.policy = s.Policy(
        load_balancer=s.LoadBalancer.CONSISTENT_HASH,
        consistent_hash=s.ConsistentHash(type=s.HashKey.HEADER, header="X-User"),
    )
    first = chosen(world)
    assert chosen(world) == first
    assert len(Counter(first.values())) == 4, "no endpoint is left out"
