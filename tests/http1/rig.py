"""A real proxy between a client and a backend that both live here, in one thread and one loop.

Nothing else talks to the proxy, so what arrives at the backend during an exchange comes from that exchange.
"""

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.http1.readers import Agreed, Message, RefusedError

__all__ = ["Exchange", "Reply", "Rig", "Upstream"]

PATIENCE_S = 20.0
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Reply:
    """What the backend answers with: packets, and whether it closes then."""

    pieces: list[bytes] = field(default_factory=lambda: [_OK])
    closes: bool = False
    pause_s: float = 0


@dataclass
class Upstream:
    """A connection from the proxy to the backend."""

    socket: socket.socket
    read: Agreed = field(default_factory=Agreed)
    # Closed by the proxy.
    ended: bool = False


@dataclass
class Exchange:
    """What one client connection came to."""

    received: bytes = b""
    # Closed by the proxy, in order or by a reset.
    ended: bool = False
    # Requests that arrived meanwhile.
    arrived: list[Message] = field(default_factory=list)
    # One of them came before the last piece of the answer to the one before it had left.
    overtook: bool = False


class Rig:
    """The loop. `port` is the proxy's; `listener` is where it finds the backend."""

    def __init__(self, port: int, listener: socket.socket) -> None:
        self.port = port
        self.upstreams: list[Upstream] = []
        self.answer: Callable[[Message], Reply] = lambda _: Reply()
        self._listener = listener
        self._listener.setblocking(False)
        self._poll = select.epoll()
        self._poll.register(listener.fileno(), select.EPOLLIN)
        self._by_fd: dict[int, Upstream] = {}
        self._exchange = Exchange()

    def close(self) -> None:
        for upstream in self.upstreams:
            upstream.socket.close()
        self._poll.close()

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setblocking(False)
        self._poll.register(client.fileno(), select.EPOLLIN)
        return client

    def disconnect(self, client: socket.socket) -> None:
        self._poll.unregister(client.fileno())
        client.close()

    def exchange(
        self,
        pieces: list[bytes],
        *,
        enough: Callable[[bytes], bool] | None = None,
        client: socket.socket | None = None,
        pause_s: float = 0,
    ) -> Exchange:
        """Sends the pieces and reads until it is enough, or to the end.

        A pause lets the proxy take each piece by itself; results never depend on it.
        Without `enough` our direction ends behind the pieces. A client that was given stays open.
        """
        own = client is None
        client = client or self.connect()
        result = Exchange()
        self._exchange = result
        try:
            for piece in pieces:
                self._send(client, piece)
                self._turn(client, result, pause_s)
            if enough is None:
                try:
                    client.shutdown(socket.SHUT_WR)
                except OSError:
                    result.ended = True
            deadline = time.monotonic() + PATIENCE_S
            while not result.ended and not (enough is not None and enough(result.received)):
                assert time.monotonic() < deadline, f"no end: {b''.join(pieces)!r} gave {result.received!r}"
                self._turn(client, result, 1)
        finally:
            if own:
                self.disconnect(client)
        return result

    def settle(self, done: Callable[[], bool]) -> None:
        """Lets the backend's side go on until something holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline, "waited in vain"
            self._turn(None, Exchange(), 0.01)

    def _send(self, client: socket.socket, data: bytes) -> None:
        while data:
            try:
                data = data[client.send(data) :]
            except BlockingIOError:
                self._turn(None, Exchange(), 0.01)
            except OSError:
                # RefusedError and closed: what was answered is still to be read.
                return

    def _turn(self, client: socket.socket | None, result: Exchange, timeout: float) -> None:
        for fd, _ in self._poll.poll(timeout):
            if client is not None and fd == client.fileno():
                self._receive(client, result)
            elif fd == self._listener.fileno():
                self._accept()
            elif fd in self._by_fd:
                self._serve(self._by_fd[fd])

    @staticmethod
    def _receive(client: socket.socket, result: Exchange) -> None:
        try:
            data = client.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        result.received += data
        result.ended = result.ended or not data

    def _accept(self) -> None:
        accepted, _ = self._listener.accept()
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        upstream = Upstream(accepted)
        self.upstreams.append(upstream)
        self._by_fd[accepted.fileno()] = upstream
        self._poll.register(accepted.fileno(), select.EPOLLIN)

    def _serve(self, upstream: Upstream) -> None:
        try:
            data = upstream.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end(upstream)
            return
        try:
            messages = upstream.read.feed(data)
        except RefusedError as error:
            msg = f"forwarded: {bytes(upstream.read.raw[-4000:])!r}"
            raise AssertionError(msg) from error
        for message in messages:
            self._exchange.arrived.append(message)
            reply = self.answer(message)
            try:
                for piece in reply.pieces:
                    upstream.socket.sendall(piece)
                    if reply.pause_s:
                        time.sleep(reply.pause_s)
                self._exchange.overtook |= len(reply.pieces) > 1 and _is_readable(upstream.socket)
            except OSError:
                self._end(upstream)
                return
            if reply.closes or message.last:
                self._end(upstream)
                return

    def _end(self, upstream: Upstream) -> None:
        if not upstream.ended:
            upstream.ended = True
            fd = upstream.socket.fileno()
            del self._by_fd[fd]
            self._poll.unregister(fd)
            upstream.socket.close()


def _is_readable(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
