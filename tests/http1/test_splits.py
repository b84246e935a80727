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
    b"GET http://a.example/x/../b//c?d HTTP/1.1\r\nHost: b\r\nConnection: x-a\r\nX-A: b\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n",
    b"GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nContent-Length: 5\r\n\r\n",
)
RESPONSES = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a\r\nhello\r\n0\r\nx: y\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    b"HTTP/1.1 200 OK\r\n X: y\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: y\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nConnection: x-a\r\nX-A: b\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
)
POISONED = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
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


def results(rig: Rig, data: bytes, version: bytes, *, closes: bool = False) -> set[bytes]:
    """What clients of this version get, over all cuts of the response."""
    found = set()
    for at in range(len(data) + 1):
        pieces = [piece for piece in (data[:at], data[at:]) if piece]
        rig.answer = lambda _, pieces=pieces: Reply(pieces, closes, PAUSE_S)  # type: ignore[misc]
        found.add(rig.exchange([b"GET / HTTP/" + version + b"\r\nHost: a\r\n\r\n"]).received)
    return found


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("data", RESPONSES)
def test_a_response_does_not_depend_on_its_packets(rig: Rig, data: bytes, version: bytes) -> None:
    found = results(rig, data, version)
    assert len(found) == 1, found


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_bytes_behind_a_response_reach_nobody_whatever_the_packets(rig: Rig, version: bytes) -> None:
    # Whether they come before a byte of the response has left is all that the packets decide.
    found = results(rig, POISONED, version)
    assert sorted(received[9:12] for received in found) == [b"200", b"502"], found
    assert b"poison" not in b"".join(found)


def test_a_body_that_ends_with_the_connection_does_not_depend_on_its_packets(rig: Rig) -> None:
    # To an older client, who gets it as it is: to others it becomes chunks, and these do.
    found = results(rig, b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nuntil the end", b"1.0", closes=True)
    assert len(found) == 1
    assert found.pop().endswith(b"\r\n\r\nuntil the end")
