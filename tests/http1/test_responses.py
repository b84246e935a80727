"""What a proxy makes of generated responses, by the word of other parsers; and what becomes of the connection.

FAIRLEAD_HTTP1_RESPONSES sets how many responses are generated, FAIRLEAD_HTTP1_SEED which.
"""

import os
import re
from collections import Counter
from random import Random

import h11
import httptools
import pytest

from tests.http1.grammar import Answer, cuts, response
from tests.http1.readers import Message, RefusedError
from tests.http1.rig import Reply, Rig

pytestmark = pytest.mark.process

RESPONSES = int(os.environ.get("FAIRLEAD_HTTP1_RESPONSES", "10000"))
SEED = int(os.environ.get("FAIRLEAD_HTTP1_SEED", "1"))
CANARY = b"/canary/"


class _Llhttp:
    """The final response in front of some bytes, as llhttp reads it."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.message = Message()
        self.done: list[Message] = []

    def on_message_begin(self) -> None:
        self.message = Message()

    def on_body(self, data: bytes) -> None:
        self.message.body += data

    def on_message_complete(self) -> None:
        self.message.kind = b"%d" % self.parser.get_status_code()
        self.done.append(self.message)


def by_llhttp(data: bytes) -> Message | None:
    """None: there is no whole final response. llhttp can be told neither of HEAD nor of the end: not for those."""
    reader = _Llhttp()
    try:
        reader.parser.feed_data(data)
    except httptools.HttpParserError as error:
        if not reader.done:
            raise RefusedError(f"llhttp refuses {data!r}: {error}") from error
    return next((message for message in reader.done if not message.kind.startswith(b"1")), None)


def _until_close(data: bytes) -> bool:
    head = data.partition(b"\r\n\r\n")[0].lower()
    return b"content-length" not in head and b"transfer-encoding" not in head


def by_h11(data: bytes, method: bytes) -> tuple[Message | None, bytes]:
    """The response in front of all the bytes of a connection that has ended, and what is behind it.

    None: there is no whole final response.
    """
    if not data:
        return None, b""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=256 * 1024)
    connection.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    connection.receive_data(b"")
    message = Message()
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                message.kind = b"%d" % event.status_code
            elif isinstance(event, h11.Data):
                message.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return message, connection.trailing_data[0]
            elif event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
                return None, b""
    except h11.RemoteProtocolError as error:
        # These say that the connection ended in the middle.
        if re.search("incomplete|closed", str(error)):
            return None, b""
        raise RefusedError(f"h11 refuses {data!r}: {error}") from error


class Script:
    """The backend: one generated answer, and the truth to whoever asks with a canary."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.closes = False

    def __call__(self, message: Message) -> Reply:
        if message.target.startswith(CANARY):
            own = message.target
            return Reply([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(own), own)])
        return Reply(self.pieces, self.closes)


def _request(method: bytes, target: bytes) -> bytes:
    return b"%s %s HTTP/1.1\r\nHost: a.example\r\n\r\n" % (method, target)


def _one(rig: Rig, script: Script, method: bytes, answer: Answer, number: int) -> str:
    """One response with a canary pipelined behind it, and a canary from another client. Gives what became of it."""
    before = len(rig.upstreams)
    canary = CANARY + b"%d" % number
    exchange = rig.exchange([_request(method, b"/r") + _request(b"GET", canary)])
    assert len(exchange.arrived) in {1, 2, 3}, "a safe method may be tried twice"
    received = exchange.received
    read, rest = by_h11(received, method)
    if method != b"HEAD" and not _until_close(received):
        other = by_llhttp(received)
        assert (read is None) == (other is None), f"h11 {read}, llhttp {other}, of {received!r}"
        assert read is None or (other is not None and read.same(other)), f"h11 {read}, llhttp {other}"
    # Seen before a byte of the response had left, as they surely are where all of it came at once.
    refused = answer.surplus and read is not None and read.kind == b"502"
    assert refused or not answer.surplus or answer.expected is None or len(script.pieces) > 1, "not refused"
    if answer.expected is not None and not refused:
        assert read is not None, f"cut off: {received!r}"
        assert read.same(answer.expected), f"{answer.expected} arrived as {read}"
    # Bytes behind a response that leave after the next request has come cannot be told from its answer by anybody. An
    # end that was not announced may meet that request, and for a client that has ended its direction nothing is sent
    # again.
    if rest and not exchange.overtook and not (script.closes and rest.startswith(b"HTTP/1.1 502 ")):
        _is_canary(rest, canary)
    _is_canary(rig.exchange([_request(b"GET", canary)]).received, canary)
    assert len(rig.upstreams) - before <= 4
    if refused:
        return "502 for what stands behind it"
    if answer.expected is not None:
        return "good" if rest else "good, then closed"
    return "502" if read is not None and read.kind == b"502" else "cut off" if read is None else "taken"


def _is_canary(received: bytes, canary: bytes) -> None:
    found, rest = by_h11(received, b"GET")
    assert found is not None, received
    assert found.same(Message(b"200", body=canary)), f"somebody else's answer: {received!r}"
    assert not rest


def test_other_parsers_read_a_response_as_it_was_meant_and_no_other_client_gets_a_byte_of_it(
    rig: Rig,
) -> None:
    random = Random(SEED)
    script = Script()
    rig.answer = script
    counts: Counter[str] = Counter()
    for number in range(RESPONSES):
        method = random.choice((b"GET", b"GET", b"GET", b"POST", b"HEAD"))
        answer = response(random, method)
        # A backend that does not close leaves a message without an end: everybody would wait.
        closes = answer.closes or answer.expected is None
        script.pieces, script.closes = cuts(random, answer.data), closes
        try:
            counts[_one(rig, script, method, answer, number)] += 1
        except (AssertionError, RefusedError) as error:
            error.add_note(f"seed {SEED}, response {number} to {method!r}: {answer}")
            raise
    print(counts)
    # Enough of each kind came by.
    assert counts["502"] > RESPONSES * 0.1
    assert counts["good"] > RESPONSES * 0.3


# Each breaks the rules before a byte of its body could be sent on: so the client is told 502.
BROKEN = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    b"<html>hello</html>\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\n\r\n" * 9 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
)


@pytest.mark.parametrize("data", BROKEN)
def test_a15_a_broken_response_is_502_and_its_connection_is_closed_by_the_proxy(
    rig: Rig, data: bytes
) -> None:
    rig.answer = lambda message: Reply([data]) if message.target == b"/r" else Reply()
    before = len(rig.upstreams)
    exchange = rig.exchange([_request(b"POST", b"/r")])
    final = re.sub(rb"^(HTTP/1\.1 1\d\d [^\r]*\r\n\r\n)+", b"", exchange.received)
    assert final.startswith(b"HTTP/1.1 502 ")
    # The backend has not closed: the proxy does, be it a pooled connection or a new one.
    answered = [
        upstream
        for upstream in rig.upstreams
        if upstream.read.messages[-1:] and upstream.read.messages[-1].target == b"/r"
    ]
    rig.settle(lambda: all(upstream.ended for upstream in answered))
    assert answered
    assert len(rig.upstreams) <= before + 1
