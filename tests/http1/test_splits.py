"""The same message, cut at every position, has the same result."""

import pytest

from tests.http1.rig import Reply, Rig

pytestmark = pytest.mark.process

# Time for the proxy to read a piece by itself; if it was too short, one cut was not tested.
PAUSE_S = 0.001
MESSAGES = (
    b"GET /a?b=c HTTP/1.1\r\nHost: a.example\r\nX-A: b\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: b\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nx-t: 1\r\n\r\n",
    b"DELETE /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nGET /b HTTP/1.1\r\nHost: b\r\n\r\n",
    b"GET /a HTTP/1.0\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloGET / HTTP/1.1\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a\rb\r\nx\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n X: y\r\n\r\n",
    b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
)
RESPONSES = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a\r\nhello\r\n0\r\nx: y\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    b"HTTP/1.1 200 OK\r\n X: y\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: y\nContent-Length: 0\r\n\r\n",
)


@pytest.mark.parametrize("data", MESSAGES)
def test_a_request_does_not_depend_on_its_packets(rig: Rig, data: bytes) -> None:
    rig.answer = lambda _: Reply()
    results = set()
    for at in range(len(data) + 1):
        exchange = rig.exchange([piece for piece in (data[:at], data[at:]) if piece], pause_s=PAUSE_S)
        arrived = tuple(
            (message.kind, message.target, message.host, message.body) for message in exchange.arrived
        )
        results.add((exchange.received, arrived))
    byte_by_byte = rig.exchange([data[at : at + 1] for at in range(len(data))], pause_s=PAUSE_S)
    results.add(
        (byte_by_byte.received, tuple((m.kind, m.target, m.host, m.body) for m in byte_by_byte.arrived))
    )
    assert len(results) == 1, results


@pytest.mark.parametrize("data", RESPONSES)
def test_a_response_does_not_depend_on_its_packets(rig: Rig, data: bytes) -> None:
    results = set()
    for at in range(len(data) + 1):
        pieces = [piece for piece in (data[:at], data[at:]) if piece]
        rig.answer = lambda _, pieces=pieces: Reply(pieces, pause_s=PAUSE_S)  # type: ignore[misc]
        results.add(rig.exchange([b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]).received)
    assert len(results) == 1, results
