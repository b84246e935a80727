"""Random streams of requests and of responses from a grammar of tokens, good and broken, by seed.

A good stream is good by construction, and what has to arrive is known. A broken one has one message in which
tokens or bytes were changed; it may by chance still be good.
"""

from dataclasses import dataclass, field
from random import Random

from tests.http1.readers import Message

__all__ = ["Stream", "cuts", "requests", "response"]

CRLF = b"\r\n"
# Methods that llhttp knows as well.
WITH_BODY = (b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"REPORT", b"PROPFIND")
WITHOUT_BODY = (b"GET", b"GET", b"HEAD", b"OPTIONS", b"DELETE", b"PURGE")
SEGMENTS = (b"a", b"b", b"search", b"v1", b"x-y", b"1.0", b"index.html", b"~me", b"a=b", b"a,b", b"(c)")
QUERIES = (b"", b"", b"?", b"?q=1", b"?q=a+b&r=%20", b"?/../x?y", b"?a[]=1")
HOSTS = (b"a.example", b"b.example:8080", b"127.0.0.1", b"[::1]", b"[2001:db8::1]:443", b"A-B.example.")
NAMES = (
    b"Accept",
    b"User-Agent",
    b"x-a",
    b"X-Request-Id",
    b"Cookie",
    b"content-type",
    b"If-None-Match",
    b"x!#$%&'*+.^`|~",
)
VALUES = (
    b"",
    b"*/*",
    b"a b\tc",
    b"a=b; c=d",
    b'"quoted, with: marks"',
    b"caf\xc3\xa9",
    b"\xff\x80",
    b"chunked",
    b"0",
    b"GET / HTTP/1.1",
)
HOP_BY_HOP = (
    b"Connection: keep-alive",
    b"connection: x-a, x-request-id",
    b"Connection: ,x-a",
    b"Keep-Alive: timeout=5",
    b"TE: trailers",
    b"Proxy-Connection: keep-alive",
    b"Upgrade: websocket",
    b"X-Forwarded-For: 1.2.3.4",
    b"Forwarded: for=1.2.3.4",
)
EXTENSIONS = (b"", b"", b"", b";a", b";a=b", b';a="b\\"c"', b";a=b;c=d")
TRAILERS = (b"", b"", b"x-t: 1\r\n", b"x-t: 1\r\nGrpc-Status:0\r\n", b"x-e:\r\n")
# What a body holds if its reader loses the place.
BODIES = (
    b"",
    b"x",
    b"hello world",
    b"GET /smuggled HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"\r\n0\r\n\r\n",
    b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"\x00\xff\n\r",
)
# Tokens that have misled somebody.
NASTY = (
    b"\r", b"\n", b"\r\n", b"\n\n", b"\r\r\n", b" ", b"\t", b"\x00", b"\x0b", b"\x0c", b"\x7f", b"\x80", b"\xff", b"\xc2\xa0",
    b":", b": ", b" :", b",", b";", b"=", b'"', b"\\", b"/", b"?", b"#", b"*", b"_", b"-", b"+", b"0", b"1", b"5", b"f", b"0x", b"\r\n ", b"\r\n\t",
    b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.10", b"chunked", b"identity", b"gzip", b"close", b"keep-alive", b"100-continue",
    b"Content-Length: 0\r\n", b"Content-Length: 5\r\n", b"Content-Length: 05\r\n", b"Content-Length: +5\r\n", b"Content-Length: 5, 5\r\n",
    b"Content-Length: 18446744073709551617\r\n", b"content_length: 5\r\n", b"Content-Length : 5\r\n", b"Content-Length:\r\n", b"Content--Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: x\r\n", b"Transfer-Encoding: chunked, identity\r\n", b"Transfer-Encoding:\x0bchunked\r\n",
    b"Transfer-Encoding : chunked\r\n", b" Transfer-Encoding: chunked\r\n", b"Transfer_Encoding: chunked\r\n", b'transfer-encoding: "chunked"\r\n',
    b"X: y\nTransfer-Encoding: chunked\r\n", b"X: y\rTransfer-Encoding: chunked\r\n", b"Transfer-Encoding:\r\n chunked\r\n",
    b"Host: evil.example\r\n", b"Host:\r\n", b"Connection: close\r\n", b"Connection: close, content-length\r\n", b"Connection: transfer-encoding\r\n",
    b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"Connection: upgrade\r\nUpgrade: x\r\n", b"Expect: 100-continue\r\n", b"Expect: x\r\n",
    b"GET http://evil.example/ HTTP/1.1\r\n", b"CONNECT", b"PRI", b"GET", b"get", b"0\r\n\r\n", b"1\r\nZ\r\n", b"1;a\rb\r\nZ\r\n", b"ffffffffffffffff1\r\n", b"-1\r\n", b"1 \r\nZ\r\n",
)  # fmt: skip


@dataclass
class Stream:
    """What a client sends on one connection."""

    data: bytes
    # Where each message ends.
    ends: list[int] = field(default_factory=list)
    # What has to arrive, of those messages in front of the broken one.
    expected: list[Message] = field(default_factory=list)
    broken: bool = False


def cuts(random: Random, data: bytes) -> list[bytes]:
    """The data in pieces: in one, in a few, or in many of a byte."""
    few = random.choice((0, 0, 1, 2, 3, 8))
    if len(data) < 200 and random.random() < 0.02:
        few = len(data)
    at = sorted(random.randrange(len(data) + 1) for _ in range(few)) if data else []
    return [
        piece for begin, end in zip([0, *at], [*at, len(data)], strict=True) if (piece := data[begin:end])
    ]


def _chunked(random: Random, body: bytes) -> list[bytes]:
    tokens = []
    while body:
        size = random.randrange(1, len(body) + 1)
        digits = random.choice((b"%x", b"%X", b"0%x", b"%04x")) % size
        tokens += [digits, random.choice(EXTENSIONS), CRLF, body[:size], CRLF]
        body = body[size:]
    return [
        *tokens,
        random.choice((b"0", b"000")),
        random.choice(EXTENSIONS),
        CRLF,
        random.choice(TRAILERS),
        CRLF,
    ]


def _request(random: Random, last: bool) -> tuple[list[bytes], Message]:
    has_body = random.random() < 0.5
    method = random.choice(WITH_BODY if has_body else WITHOUT_BODY)
    path = b"/" + b"/".join(random.choice(SEGMENTS) for _ in range(random.randrange(4)))
    target = path + random.choice(QUERIES)
    host = random.choice(HOSTS)
    written, named = target, host
    if random.random() < 0.1:
        written = random.choice((b"http://", b"HTTP://", b"https://")) + host + target
        named = random.choice((host, b"other.example"))
    lines = []
    for _ in range(random.randrange(4)):
        blanks = random.choice((b"", b" ", b" ", b"\t", b"  "))
        lines.append(
            [random.choice(NAMES), b":", blanks, random.choice(VALUES), random.choice((b"", b"", b" ")), CRLF]
        )
    if random.random() < 0.3:
        lines.append([random.choice(HOP_BY_HOP), CRLF])
    if last and random.random() < 0.3:
        lines.append([b"Connection", b":", b" ", b"close", CRLF])
    body = b""
    payload: list[bytes] = []
    if has_body:
        body = random.choice(BODIES) * random.choice((1, 1, 1, 2, 20))
        if random.random() < 0.5:
            lines.append(
                [random.choice((b"Transfer-Encoding", b"transfer-encoding")), b":", b" ", b"chunked", CRLF]
            )
            payload = _chunked(random, body)
        else:
            lines.append(
                [random.choice((b"Content-Length", b"content-length")), b":", b" ", b"%d" % len(body), CRLF]
            )
            payload = [body]
    elif random.random() < 0.1:
        lines.append([b"Content-Length", b":", b" ", b"0", CRLF])
    lines.append([b"Host", b":", b" ", named, CRLF])
    random.shuffle(lines)
    tokens = [
        method,
        b" ",
        written,
        b" ",
        b"HTTP/1.1",
        CRLF,
        *(token for line in lines for token in line),
        CRLF,
        *payload,
    ]
    return tokens, Message(method, target, host, body)


def _break(random: Random, tokens: list[bytes]) -> bytes:
    tokens = list(tokens)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        # The front, where the head is, more often than a long body's end.
        at = min(random.randrange(len(tokens)), random.randrange(len(tokens)))
        how = random.randrange(6)
        if how == 0:
            tokens.insert(at, random.choice(NASTY))
        elif how == 1:
            tokens[at] = random.choice(NASTY)
        elif how == 2:
            tokens.insert(at, tokens[at])
        elif how == 3:
            tokens[at] = b""
        elif how == 4:
            other = random.randrange(len(tokens))
            tokens[at], tokens[other] = tokens[other], tokens[at]
        else:
            token = tokens[at]
            place = random.randrange(len(token) + 1)
            tokens[at] = token[:place] + random.choice(NASTY) + token[place + random.randrange(2) :]
    return b"".join(tokens)


def requests(random: Random) -> Stream:
    """One to six requests on a connection; in half of the streams one is broken."""
    count = random.choice((1, 1, 2, 3, 4, 6))
    broken = random.randrange(count) if random.random() < 0.5 else None
    stream = Stream(b"", broken=broken is not None)
    for index in range(count):
        tokens, message = _request(random, index == count - 1)
        if index == broken:
            stream.data += _break(random, tokens)
        else:
            stream.data += b"".join(tokens)
            if broken is None or index < broken:
                stream.expected.append(message)
        stream.ends.append(len(stream.data))
    return stream


STATUSES = (
    b"200 OK",
    b"200",
    b"201 Created",
    b"404 Not Found",
    b"500 ",
    b"206 Partial Content",
    b"304 Not Modified",
    b"204 No Content",
    b"299 caf\xe9",
)
INTERIM = (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n")


@dataclass
class Answer:
    """What an upstream says to one request, and then does."""

    data: bytes
    # The final response, where it is good.
    expected: Message | None
    # The upstream closes behind it.
    closes: bool
    # Bytes that belong to no response stand behind it.
    surplus: bool = False


def response(random: Random, method: bytes) -> Answer:
    """A response, with interim ones in front; in half of the cases broken, or with bytes behind it."""
    status = random.choice(STATUSES)
    tokens = [b"HTTP/1.1", b" ", status, CRLF]
    for _ in range(random.randrange(3)):
        tokens += [random.choice(NAMES), b":", b" ", random.choice(VALUES), CRLF]
    body = random.choice(BODIES) * random.choice((1, 1, 5))
    bodiless = method == b"HEAD" or status[:3] in (b"204", b"304")
    closes = random.random() < 0.1
    if closes:
        tokens += [b"Connection", b":", b" ", b"close", CRLF]
    framing = random.randrange(5)
    payload: list[bytes]
    if status[:3] == b"204":
        payload = []
    elif framing < 2:
        tokens += [b"Content-Length", b":", b" ", b"%d" % len(body), CRLF]
        payload = [body]
    elif framing < 4:
        tokens += [b"Transfer-Encoding", b":", b" ", b"chunked", CRLF]
        payload = _chunked(random, body)
    else:
        closes = True
        payload = [body]
    tokens.append(CRLF)
    if bodiless:
        payload, body = [], b""
    expected: Message | None = Message(status[:3], body=body)
    tokens += payload
    kind = random.random()
    surplus = False
    if kind < 0.4:
        data, expected = _break(random, tokens), None
    elif kind < 0.5:
        # Poison for whoever comes next.
        surplus = True
        data = b"".join(tokens) + random.choice(
            (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", b"\r\n", b"x")
        )
        if framing == 4:
            expected = None
    else:
        data = b"".join(tokens)
    if random.random() < 0.1:
        data = random.choice(INTERIM) + data
    return Answer(data, expected, closes, surplus)
