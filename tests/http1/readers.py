"""Other readings of an HTTP/1.1 byte stream: h11, llhttp (through httptools), and careless ones.

Every reader is fed bytes and gives Messages. Where two readers of the same bytes differ, one of them could be
led to take a part of a body for a request.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import h11
import httptools

__all__ = [
    "STYLES",
    "Agreed",
    "Careless",
    "Message",
    "RefusedError",
    "UnknownMethodError",
    "as_h11",
    "as_llhttp",
    "carelessly",
    "llhttp_knows",
    "until_refused",
]

_HEAD_MAX = 256 * 1024


class RefusedError(Exception):
    """A reader takes the bytes for no message; `found` are those in front, if they came in the same packet."""

    def __init__(self, message: str, found: Sequence["Message"] = ()) -> None:
        super().__init__(message)
        self.found = found


class UnknownMethodError(RefusedError):
    """llhttp refuses a method that is not on its list.

    That is no fault of the message; but whoever takes a part of a body for a request stumbles over its first word just
    so. It excuses llhttp only if the next request, by another reader's word, has a method that is not on the list.
    """


@dataclass(slots=True)
class Message:
    """A request or a response as one reader understood it."""

    # A request's method, a response's status.
    kind: bytes = b""
    target: bytes = b""
    host: bytes = b""
    body: bytes = b""
    # The connection ends with it, by its own word.
    last: bool = False

    def same(self, other: "Message") -> bool:
        """Whether both say the same, persistence apart."""
        return (self.kind, self.target, self.host, self.body) == (
            other.kind,
            other.target,
            other.host,
            other.body,
        )


class as_h11:  # noqa: N801 - named after the library that reads
    """h11, one connection per request, so that no answers are needed.

    RFC 9112 section 2.2 lets a server pass over an empty line in front of a request; h11 does not. What is read from a
    client may have one, what was forwarded must not.
    """

    def __init__(self, *, empty_line_first: bool = False) -> None:
        self._connection = self._fresh()
        self._message: Message | None = None
        self._passes_over = empty_line_first
        self._at_start = True

    @staticmethod
    def _fresh() -> h11.Connection:
        return h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_MAX)

    def feed(self, data: bytes) -> list[Message]:
        done: list[Message] = []
        try:
            self._receive(data)
            while True:
                event = self._connection.next_event()
                if event in (h11.NEED_DATA, h11.PAUSED):
                    return done
                if isinstance(event, h11.Request):
                    host = next((value for name, value in event.headers if name == b"host"), b"")
                    last = any(
                        name == b"connection" and value.lower() == b"close" for name, value in event.headers
                    )
                    self._message = Message(event.method, event.target, host, last=last)
                elif isinstance(event, h11.Data) and self._message is not None:
                    self._message.body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage) and self._message is not None:
                    done.append(self._message)
                    self._message = None
                    rest = self._connection.trailing_data[0]
                    self._connection = self._fresh()
                    self._at_start = True
                    if not rest:
                        return done
                    self._receive(rest)
        except h11.RemoteProtocolError as error:
            raise RefusedError(str(error), done) from error

    def _receive(self, data: bytes) -> None:
        if self._passes_over and self._at_start:
            data = data.removeprefix(b"\r\n")
        # Nothing is not received: to h11 that is the end.
        if data:
            self._connection.receive_data(data)
        self._at_start = False

    @property
    def is_between(self) -> bool:
        """Nothing of a further message has come."""
        return self._message is None and not self._connection.trailing_data[0]

    @property
    def method(self) -> bytes:
        """Of the message that is under way, as much of it as has come."""
        if self._message is not None:
            return self._message.kind
        found: bytes = self._connection.trailing_data[0].partition(b" ")[0]
        return found


class as_llhttp:  # noqa: N801
    """llhttp, as httptools builds it: without lenient flags."""

    def __init__(self) -> None:
        self._fresh()

    def _fresh(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._message = Message()
        self._done: list[Message] = []

    def on_message_begin(self) -> None:
        self._message = Message()

    def on_url(self, url: bytes) -> None:
        self._message.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"host":
            self._message.host = value.strip(b" \t")

    def on_body(self, data: bytes) -> None:
        self._message.body += data

    def on_message_complete(self) -> None:
        self._message.kind = self._parser.get_method()
        self._done.append(self._message)

    def feed(self, data: bytes) -> list[Message]:
        done: list[Message] = []
        try:
            while data:
                try:
                    self._parser.feed_data(data)
                    data = b""
                except httptools.HttpParserUpgrade as upgrade:
                    data = data[upgrade.args[0] :]
                    done += self._done
                    self._fresh()
        except httptools.HttpParserInvalidMethodError as error:
            raise UnknownMethodError(str(error), done + self._done) from error
        except httptools.HttpParserError as error:
            raise RefusedError(str(error), done + self._done) from error
        done += self._done
        self._done = []
        return done


def llhttp_knows(method: bytes) -> bool:
    """Whether llhttp takes these bytes for a method, or for the beginning of one."""
    try:
        httptools.HttpRequestParser(as_llhttp()).feed_data(method)
    except httptools.HttpParserInvalidMethodError:
        return False
    return True


@dataclass(frozen=True)
class Careless:
    """What a careless reader does."""

    name: str
    # Lines end at LF, whatever precedes it.
    bare_lf: bool = False
    # Which of several lengths counts.
    last_length: bool = False
    # A length counts more than chunks.
    length_first: bool = False
    # Field names as CGI writes them.
    cgi_names: bool = False
    # These methods have no body, whatever the head says.
    bodiless: frozenset[bytes] = frozenset()


_METHODS = frozenset({b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"TRACE"})
STYLES = (
    Careless("plain"),
    Careless("lines end at LF, names as in CGI", bare_lf=True, cgi_names=True),
    Careless("the last length, before chunks", last_length=True, length_first=True, cgi_names=True),
    Careless("no bodies where they have no meaning", bodiless=_METHODS),
)
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_NOT_A_NAME = re.compile(rb"[^a-z0-9]+")


@dataclass
class _Cut:
    """A position in bytes that are all there."""

    data: bytes
    at: int = 0
    bare_lf: bool = False

    def line(self) -> bytes | None:
        end = self.data.find(b"\n" if self.bare_lf else b"\r\n", self.at)
        if end < 0:
            return None
        found = self.data[self.at : end]
        self.at = end + (1 if self.bare_lf else 2)
        return found.rstrip(b"\r") if self.bare_lf else found


def _fields(cut: _Cut, style: Careless) -> list[tuple[bytes, bytes]] | None:
    found: list[tuple[bytes, bytes]] = []
    while (line := cut.line()) is not None:
        if not line:
            return found
        name, _, value = line.partition(b":")
        name = name.lower()
        if style.cgi_names and (plain := _NOT_A_NAME.sub(b"-", name).strip(b"-")) in _FRAMING:
            name = plain
        found.append((name.strip(), value.strip(b" \t\x0b\x0c")))
    return None


def _chunks(cut: _Cut) -> bytes | None:
    body = b""
    while (line := cut.line()) is not None:
        digits = re.match(rb"[ \t]*(?:0x)?([0-9a-fA-F]+)", line)
        size = int(digits[1], 16) if digits else 0
        if size == 0:
            while line := cut.line():
                pass
            return body if line is not None else None
        body += cut.data[cut.at : cut.at + size]
        cut.at += size
        if cut.line() is None:
            return None
    return None


def carelessly(data: bytes, style: Careless) -> Iterator[Message]:
    """The requests that a careless reader finds; it ends where the bytes do, or where one ends the connection."""
    cut = _Cut(data, bare_lf=style.bare_lf)
    while (line := cut.line()) is not None:
        parts = line.split()
        fields = _fields(cut, style)
        if len(parts) < 2 or fields is None:
            return
        message = Message(parts[0], parts[1])
        lengths = []
        chunked = False
        for name, value in fields:
            if name == b"host":
                message.host = value
            elif name == b"content-length":
                lengths.append(value)
            elif name == b"transfer-encoding":
                chunked = chunked or b"chunked" in value.lower()
            elif name == b"connection":
                message.last = message.last or b"close" in value.lower()
        if parts[0] not in style.bodiless:
            if lengths and not (chunked and not style.length_first):
                digits = re.match(rb"[+]?(\d+)", lengths[-1 if style.last_length else 0])
                size = int(digits[1]) if digits else 0
                message.body = data[cut.at : cut.at + size]
                cut.at += size
                if cut.at > len(data):
                    return
            elif chunked:
                body = _chunks(cut)
                if body is None:
                    return
                message.body = body
        yield message
        if message.last:
            return


class Agreed:
    """h11 and llhttp over the same bytes, packet by packet."""

    def __init__(self) -> None:
        self.raw = bytearray()
        self.messages: list[Message] = []
        # Messages that h11 alone has read: the method of one was unknown to llhttp, and no packet has begun since.
        self.alone = 0
        self._h11 = as_h11()
        self._llhttp: as_llhttp | None = as_llhttp()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that ended with these bytes, by both; RefusedError if one says otherwise."""
        self.raw += data
        first = self._h11.feed(data)
        if self._llhttp is None:
            self.alone += len(first)
        else:
            self._agree(first, self._llhttp, data)
        if self._llhttp is None and self._h11.is_between:
            self._llhttp = as_llhttp()
        self.messages += first
        return first

    def _agree(self, first: list[Message], llhttp: as_llhttp, data: bytes) -> None:
        try:
            second = llhttp.feed(data)
        except UnknownMethodError as unknown:
            second = list(unknown.found)
            excused = first[len(second)].kind if len(first) > len(second) else self._h11.method
            if llhttp_knows(excused):
                msg = f"llhttp stumbles where h11 reads {excused!r}, behind {second} of {first}"
                raise RefusedError(msg) from unknown
            self.alone += len(first) - len(second)
            self._llhttp = None
            first = first[: len(second)]
        if len(first) != len(second) or not all(map(Message.same, first, second)):
            raise RefusedError(f"h11 reads {first}, llhttp reads {second}")


def until_refused(
    make: Callable[[], as_h11 | as_llhttp], data: bytes
) -> tuple[list[Message], RefusedError | None]:
    """What a reader finds in front of the first thing that it refuses, and why it does if it does."""
    reader = make()
    found: list[Message] = []
    try:
        # Byte by byte would be exact but slow: a packet per line is as exact for requests.
        for piece in data.splitlines(keepends=True):
            found += reader.feed(piece)
    except RefusedError as refused:
        return [*found, *refused.found], refused
    return found, None
