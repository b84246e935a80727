"""The Unix socket that proxies connect to.

Laws:
1. The socket has mode 0600 before anybody can connect.
2. Each proxy has a reader and a writer; a proxy that does not read for `STALL_S` is cut off, and holds up
   neither the others nor the Store: what waits for it is keys, not bytes.
3. A broken frame ends that connection only; the proxy connects again.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

from fairlead.base import UNDECODABLE, FairleadError, Turns, get_logger
from fairlead.snapshot import Stats, Subscribe, decode_from_proxy
from fairlead.stream._session import Event, Gone, ProtocolError, Session
from fairlead.stream._store import Store
from fairlead.translate import Delta

STALL_S = 30.0
"""How long a proxy may leave a frame unread."""

HELLO_S = 5.0
"""How long a connection may stay silent before its hello."""

_MAX_FRAME = 64 << 20
_BUFFER = 1 << 18
_LENGTH = struct.Struct(">I")


class StreamServer:
    """Serves the Store to every proxy that connects."""

    def __init__(
        self, store: Store, *, epoch: int, on_event: Callable[[Event], None], turns: Turns | None = None
    ) -> None:
        """`epoch`: see Session; `on_event` is called on the loop and returns at once; `turns`: for big updates."""
        self._store = store
        self._epoch = epoch
        self._on_event = on_event
        self._turns = turns or Turns()
        self._connections: dict[Session, asyncio.Event] = {}
        self._count = 0
        self._subscribe: Subscribe | None = None
        self._log = get_logger("stream")

    @property
    def proxies(self) -> tuple[str, ...]:
        """The proxies that have said hello and are connected."""
        return tuple(session.proxy for session in self._connections if session.proxy)

    def publish(self, delta: Delta, *, event_ms: int | None = None) -> None:
        """Commits `delta` and wakes the sessions; `event_ms`: Unix time of its oldest endpoint event."""
        keys = self._store.commit(delta)
        if not keys:
            return
        for session in self._connections:
            session.touch(keys, event_ms)
        self._wake()

    def open(self) -> None:
        """Lets streaming begin."""
        self._store.open()
        self._wake()

    def subscribe(self, subscribe: Subscribe) -> None:
        """Asks every proxy, present and to come, for telemetry."""
        self._subscribe = subscribe if subscribe.period_ms else None
        for session in self._connections:
            session.subscribe(subscribe)
        self._wake()

    def tell(self, stats: Stats) -> None:
        """Sends the controller's counters to every proxy that is connected."""
        for session in self._connections:
            session.tell(stats)
        self._wake()

    async def run(self, path: Path) -> None:
        """Listens on `path` until cancelled. The caller makes sure that no other process serves it."""
        listening = bind_private(path)
        async with asyncio.TaskGroup() as connections:

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                self._count += 1
                connections.create_task(
                    self._serve(reader, writer, self._count), name=f"stream-{self._count}"
                )

            server = await asyncio.start_unix_server(accept, sock=listening, limit=_BUFFER)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                server.close()
                _remove(path)

    def _wake(self) -> None:
        for event in self._connections.values():
            event.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        session = Session(self._store, epoch=self._epoch, number=number)
        wake = asyncio.Event()
        self._connections[session] = wake
        if self._subscribe is not None:
            session.subscribe(self._subscribe)
        writer.transport.set_write_buffer_limits(high=_BUFFER)
        try:
            async with asyncio.TaskGroup() as halves:
                sending = halves.create_task(
                    self._write(session, writer, wake), name=f"stream-{number}-write"
                )
                await self._read(session, reader, wake)
                sending.cancel()
        except* (ProtocolError, *UNDECODABLE, OSError, asyncio.IncompleteReadError) as group:
            self._log.warning("proxy cut off", proxy=session.proxy or number, reason=_reason(group))
        finally:
            del self._connections[session]
            if session.proxy:
                self._on_event(Gone(session.proxy))
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _read(self, session: Session, reader: asyncio.StreamReader, wake: asyncio.Event) -> None:
        async with asyncio.timeout(HELLO_S):
            payload = await _frame(reader)
        while payload is not None:
            session.receive(decode_from_proxy(payload))
            self._tell(session)
            wake.set()
            payload = await _frame(reader)

    async def _write(self, session: Session, writer: asyncio.StreamWriter, wake: asyncio.Event) -> None:
        while True:
            frames = session.poll()
            self._tell(session)
            if frames is None:
                await wake.wait()
                wake.clear()
                continue
            for frame in frames:
                if frame:
                    writer.write(frame)
                    async with asyncio.timeout(STALL_S):
                        await writer.drain()
                await self._turns.next()  # making a frame takes time
            self._tell(session)

    def _tell(self, session: Session) -> None:
        for event in session.take_events():
            self._on_event(event)


async def _frame(reader: asyncio.StreamReader) -> bytes | None:
    """The next frame's payload; None at the end of the stream."""
    with contextlib.suppress(ConnectionResetError):
        header = await reader.read(1)
        if header:
            header += await reader.readexactly(_LENGTH.size - 1)
            (length,) = _LENGTH.unpack(header)
            if length > _MAX_FRAME:
                raise ProtocolError(f"a frame of {length} bytes")
            return await reader.readexactly(length)
    return None


def bind_private(path: Path) -> socket.socket:
    """A listening Unix socket of mode 0600 in place of what a dead process left at `path`."""
    _remove(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listening.bind(os.fspath(path))
        path.chmod(0o600)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _reason(group: BaseExceptionGroup[BaseException]) -> str:
    first = group.exceptions[0]
    return str(first) if isinstance(first, FairleadError) else repr(first)
