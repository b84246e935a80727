"""What a Backend's policy makes a proxy do."""

import json
import signal
import socket
from collections.abc import Callable
from typing import Any

import pytest

from fairlead import snapshot as s

pytestmark = pytest.mark.process

PATIENCE_S = 10.0
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nlate\n"
OVERFLOWS = (
    'fairlead_upstream_connection_overflows_total{backend_namespace="shop",backend="Service/shop/app/80"}'
)


def test_no_endpoint_gets_more_connections_than_its_limit(
    world: Any, wait: Callable[[str, Callable[[], bool]], float], fetch: Callable[..., tuple[int, str]]
) -> None:
    world.policy = s.Policy(max_connections_per_endpoint=1)
    with socket.create_server(("127.0.0.1", 0)) as backend:
        backend.settimeout(PATIENCE_S)
        world.backend_port = backend.getsockname()[1]
        process = world.configure(timeouts={"connect_ms": 100})
        with socket.create_connection(("127.0.0.1", world.bind_port), PATIENCE_S) as client:
            client.sendall(b"GET /first HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n")
            upstream, _ = backend.accept()
            with upstream:
                upstream.settimeout(PATIENCE_S)
                assert upstream.recv(65536).startswith(b"GET /first ")
                assert fetch(world.bind_port, "/second")[0] == 503
                upstream.sendall(ANSWER)
                assert client.makefile("rb").read().endswith(b"late\n")
                backend.settimeout(0)
                with pytest.raises(BlockingIOError):
                    backend.accept()
    wait("the overflow is counted", lambda: f"{OVERFLOWS} 1\n" in world.health("/metrics")[1])
    process.send_signal(signal.SIGINT)
    lines = [json.loads(line) for line in process.communicate()[0].splitlines()]
    told = {line["path"]: (line["response_flags"], line["response_code_details"]) for line in lines}
    assert told["/second"] == ("UO", "upstream_connection_overflow")
    assert told["/first"][0] == "-"
