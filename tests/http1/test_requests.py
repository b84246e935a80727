"""What a proxy forwards of generated requests, by the word of other parsers.

FAIRLEAD_HTTP1_MESSAGES sets how many messages are sent, FAIRLEAD_HTTP1_SEED which.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

import pytest

from tests.http1.grammar import Stream, cuts, requests
from tests.http1.readers import (
    STYLES,
    Message,
    UnknownMethodError,
    as_h11,
    as_llhttp,
    carelessly,
    llhttp_knows,
    until_refused,
)
from tests.http1.rig import Exchange, Rig

pytestmark = pytest.mark.process

MESSAGES = int(os.environ.get("FAIRLEAD_HTTP1_MESSAGES", "100000"))
REFUSALS = {400, 413, 414, 417, 431, 501, 505}
SEED = int(os.environ.get("FAIRLEAD_HTTP1_SEED", "1"))
# To llhttp a request with Upgrade has no body, whatever it says, and `chunked` has no blank behind it. Neither is
# forwarded so: Upgrade ends here where there is a body, and what frames is written without blanks.
_BEYOND_LLHTTP = re.compile(rb"(?i)upgrade|chunked[ \t]")
_STATUS = re.compile(rb"HTTP/1\.1 (\d\d\d)[^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")


@dataclass(frozen=True)
class Answer:
    """One final response as the client got it."""

    status: int
    # The connection ends with it.
    closes: bool


def answers(received: bytes, methods: list[bytes]) -> list[Answer]:
    """The responses that a client got to requests of these methods; a local answer's body is passed over."""
    found: list[Answer] = []
    at = 0
    while at < len(received):
        match = _STATUS.match(received, at)
        assert match is not None, received
        status = int(match[1])
        at = match.end()
        if status >= 200:
            method = methods[len(found)] if len(found) < len(methods) else b""
            length = re.search(rb"(?im)^content-length: *(\d+)", match[2])
            at += int(length[1]) if length and method != b"HEAD" else 0
            found.append(Answer(status, b"connection: close\r\n" in match[2].lower()))
    return found


def judge(stream: Stream, exchange: Exchange) -> bool:
    """The laws of one stream. Whether it had to be refused."""
    arrived, expected = exchange.arrived, stream.expected
    assert len(arrived) >= len(expected), "a good message did not arrive"
    for got, sent in zip(arrived, expected, strict=False):
        assert got.same(sent), f"{sent} arrived as {got}"
    if not stream.broken:
        assert len(arrived) == len(expected)
    elif len(arrived) > len(expected):
        # It was good by chance: so say stricter readers of what the client sent, and they read the same.
        for make in (partial(as_h11, empty_line_first=True), as_llhttp):
            if make is as_llhttp and _BEYOND_LLHTTP.search(stream.data):
                continue
            read, refusal = until_refused(make, stream.data)
            for got, other in zip(arrived, read, strict=False):
                assert _same_but_for_the_path(got, other), f"{other} arrived as {got}"
            missed = arrived[len(read) :]
            unknown = isinstance(refusal, UnknownMethodError)
            excused = unknown and missed and not llhttp_knows(missed[0].kind)
            assert excused or not missed, f"{make} finds {len(read)} of {len(arrived)}"
    found = answers(exchange.received, [message.kind for message in arrived])
    assert [answer.status for answer in found[: len(arrived)]] == [200] * len(arrived)
    refusals = found[len(arrived) :]
    assert len(refusals) <= 1, "more answers than requests"
    assert all(answer.status in REFUSALS and answer.closes for answer in refusals)
    bad = _is_bad(stream.data, found[: len(arrived)])
    assert not bad or refusals, "no answer to what is no request"
    assert stream.broken or not refusals, "a good message was refused"
    return bad


def _is_bad(data: bytes, served: list[Answer]) -> bool:
    """Whether something behind the requests that were served is none, and its client has not ended in the middle of it.

    By h11's word, which needs a whole head or the whole line of a chunk to refuse it, or is content with what is refused
    here.
    """
    if any(answer.closes for answer in served):
        # The rest is not read.
        return False
    # A blank in front of a line is refused by h11 at once, by the proxy with the end of that line.
    begun = data[data.rfind(b"\n") + 1 :]
    if not begun.strip(b" \t\r"):
        data = data.removesuffix(begun)
    read, refusal = until_refused(partial(as_h11, empty_line_first=True), data)
    return refusal is not None or len(read) > len(served)


def _same_but_for_the_path(got: Message, other: Message) -> bool:
    """Host is the absolute target's where there is one; a path may be normalised."""
    absolute = re.match(rb"(?i)https?://([^/?]*)", other.target)
    host = absolute[1] if absolute else other.host
    return (got.kind, got.body) == (other.kind, other.body) and got.host == host


def _answers(count: int) -> Callable[[bytes], bool]:
    return lambda received: received.count(b"HTTP/1.1 200") == count


def test_other_parsers_read_what_is_forwarded_as_it_was_meant(rig: Rig) -> None:
    random = Random(SEED)
    sent = arrived = broken = refused = alone = 0
    while sent < MESSAGES:
        stream = requests(random)
        wanted = len(stream.expected)
        pieces = cuts(random, stream.data)
        try:
            if stream.broken or random.random() < 0.5:
                exchange = rig.exchange(pieces)
            else:
                exchange = rig.exchange(pieces, enough=_answers(wanted))
            refused += judge(stream, exchange)
        except AssertionError as error:
            error.add_note(f"seed {SEED}, after {sent} messages, sent {stream.data!r}")
            raise
        sent += len(stream.ends)
        arrived += len(exchange.arrived)
        broken += stream.broken
        for upstream in [upstream for upstream in rig.upstreams if upstream.ended]:
            careless(upstream.read.raw, upstream.read.messages)
            alone += upstream.read.alone
            rig.upstreams.remove(upstream)
    for upstream in rig.upstreams:
        careless(upstream.read.raw, upstream.read.messages)
        alone += upstream.read.alone
    # Enough of both kinds came by.
    assert arrived > sent * 0.6
    assert broken > sent * 0.1
    # Most of the others had a client that ended in the middle, or were good by chance.
    assert refused > broken * 0.5
    # And nearly all that was forwarded was read by both.
    assert alone < arrived * 0.01, f"{alone} messages were read by h11 alone"
    print(
        f"{sent} messages sent, {broken} streams with a broken one, {refused} of them to be refused, "
        f"{arrived} messages forwarded, "
        f"{alone} of them read by h11 alone"
    )


def careless(raw: bytearray, messages: list[Message]) -> None:
    """Readers that do what no reader should find the same requests."""
    for style in STYLES:
        found = list(carelessly(bytes(raw), style))
        for got, read in zip(found, messages, strict=False):
            assert read.kind in style.bodiless or got.same(read), f"{style.name}: {read} read as {got}"
        # One whose body broke off counts for those who do not read it: nothing more may follow.
        cut_off = len(found) > len(messages) and found[-1].kind in style.bodiless and found[-1].last
        assert len(found) == len(messages) + cut_off, f"{style.name}: {len(found)} for {len(messages)}"
