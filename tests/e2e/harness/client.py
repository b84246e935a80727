"""The load client: sends requests on kept-alive HTTP/1.1 connections and never repeats one.

A program of its own, so that it runs on the cluster's network and keeps its schedule whatever the test does
meanwhile: `python -m tests.e2e.harness.client PLAN-AS-JSON OUT`. It prints `started` after the first answer,
ends when the plan does or on SIGTERM, and then writes its records to OUT.

* Open loop (`rate` is set): each request has a due time, and its latency counts from there. It goes to the
  connection that has been idle longest. Where all are busy it opens one of `extra` further ones, so that a server
  that holds some requests does not hold back the others; beyond that it waits.
* Closed loop: every connection sends its next request when it has the last answer.

A connection that the server closes between two requests is opened anew, and the record of the request that did it
says so: on connections that are kept alive no more are opened than the plan has. One that closes, or breaks, after a
request was written fails that request.
"""

from __future__ import annotations

import asyncio
import gc
import random
import re
import resource
import signal
import sys
import time
from collections import deque
from pathlib import Path

import msgspec

_POD = re.compile(rb"host=(\S+)")
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:\s*close", re.IGNORECASE)


class Plan(msgspec.Struct, kw_only=True):
    """What to send. Times are in seconds; `seconds` and `total`, whichever comes first, end the load."""

    address: str
    port: int
    hosts: list[str]
    """Host header of the requests, taken in turn."""
    path: str = "/"
    method: str = "GET"
    body_bytes: int = 0
    identified: bool = False
    """Every request carries an id of its own: as x-test-id (see the echo image), as x-request-id for access logs."""
    connections: int = 1
    extra: int = 0
    """In open loop: so many more may be opened while all are busy."""
    rate: float | None = None
    """Requests per second in open loop; None for closed loop."""
    poisson: bool = False
    """Exponential gaps instead of even ones."""
    seconds: float = 120.0
    total: int = 10_000_000
    timeout: float = 5.0


class Record(msgspec.Struct, array_like=True):
    """One request; the times are of the machine's monotonic clock, which all processes share."""

    number: int
    host: str
    connection: int
    due: float
    sent: float = 0.0
    done: float = 0.0
    status: int = 0
    """0 when there was no answer."""
    pod: str = ""
    error: str = ""
    """connect, closed, reset, timeout, or unsent: the load ended while it still waited for a connection.

    Empty when an answer came, whatever its status.
    """
    opened: bool = False
    """A connection was opened for it: none was there, or the server had closed it."""
    request_id: str = ""
    """Where the plan is identified."""
    offered: float = 0.0
    """When the client came to it: later than due by its own lateness, before sent by the wait for a connection."""

    @property
    def ok(self) -> bool:
        return self.status == 200 and not self.error

    @property
    def latency(self) -> float:
        """Seconds from when it was due, so that waiting for a connection counts."""
        return self.done - self.due


class Answer:
    """Reads one response after the other from the bytes of a connection."""

    def __init__(self) -> None:
        self.buffer = bytearray()

    def take(self, *, ended: bool = False) -> tuple[int, bytes, bool] | None:
        """The (status, body, connection closes) of a complete response at the buffer's start, or None."""
        while True:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return None
            head = bytes(self.buffer[: end + 2])
            status = int(head[9:12])
            if status >= 200:
                break
            del self.buffer[: end + 4]
        body_at = end + 4
        closes = _CLOSE.search(head) is not None
        if length := _LENGTH.search(head):
            body_end = body_at + int(length[1])
        elif _CHUNKED.search(head):
            last = self.buffer.find(b"0\r\n\r\n", body_at)
            body_end = last + 5 if last >= 0 else sys.maxsize
        else:
            body_end, closes = (len(self.buffer) if ended else sys.maxsize), True
        if len(self.buffer) < body_end:
            return None
        body = bytes(self.buffer[body_at:body_end])
        del self.buffer[:body_end]
        return status, body, closes


class Connection(asyncio.Protocol):
    """One kept-alive connection, with at most one request on its way."""

    def __init__(self, number: int, load: Load) -> None:
        self.number = number
        self.load = load
        self.transport: asyncio.Transport | None = None
        self.record: Record | None = None
        self.answer = Answer()
        self.timer: asyncio.TimerHandle | None = None
        self.opening: asyncio.Task[None] | None = None

    def send(self, record: Record) -> None:
        """Starts a request; `load.finished` is called when it is over."""
        self.record = record
        record.connection = self.number
        self.timer = self.load.loop.call_later(self.load.plan.timeout, self.fail, "timeout")
        if self.transport is None or self.transport.is_closing():
            self.opening = self.load.loop.create_task(self._open(record))
        else:
            self._write(record)

    def close(self) -> None:
        """Ends the connection; no request is on its way."""
        if self.transport is not None:
            self.transport.close()

    async def _open(self, record: Record) -> None:
        plan = self.load.plan
        try:
            await self.load.loop.create_connection(lambda: self, plan.address, plan.port)
        except OSError:
            self.fail("connect")
        else:
            record.opened = True
            self._write(record)

    def _write(self, record: Record) -> None:
        assert self.transport is not None
        self.answer.buffer.clear()
        record.sent = time.monotonic()
        self.transport.write(self.load.request(record))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.answer.buffer += data
        self._read(ended=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._read(ended=True)
        if self.record is not None and self.record.sent:
            self.fail("reset" if exc else "closed")

    def _read(self, *, ended: bool) -> None:
        record = self.record
        if record is None or not (taken := self.answer.take(ended=ended)):
            return
        status, body, closes = taken
        if closes and self.transport is not None:
            self.transport.close()
            self.transport = None
        record.status = status
        if pod := _POD.search(body):
            record.pod = pod[1].decode()
        self._over(record)

    def fail(self, error: str) -> None:
        record = self.record
        if record is None:
            return
        record.error = error
        if self.opening is not None:
            self.opening.cancel()  # no effect on one that is done
        if self.transport is not None:
            self.transport.abort()
            self.transport = None
        self._over(record)

    def _over(self, record: Record) -> None:
        record.done = time.monotonic()
        self.record = None
        if self.timer is not None:
            self.timer.cancel()
        self.load.finished(self, record)


class Load:
    """Hands requests to connections by the plan's schedule."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.loop = asyncio.get_running_loop()
        self.random = random.Random(1)
        self.idle: deque[Connection] = deque()
        self.waiting: deque[Record] = deque()
        self.records: list[Record] = []
        self.connections: list[Connection] = []
        self.open_requests = 0
        self.stopping = False
        self.over = asyncio.Event()
        self._run = f"{time.time_ns():x}"
        self._body = b"x" * plan.body_bytes

    def request(self, record: Record) -> bytes:
        """The bytes of a request."""
        head = f"{self.plan.method} {self.plan.path} HTTP/1.1\r\nHost: {record.host}\r\n"
        if self.plan.identified:
            head += f"x-test-id: {record.request_id}\r\nx-request-id: {record.request_id}\r\n"
        if self._body or self.plan.method in {"POST", "PUT", "PATCH"}:
            head += f"content-length: {len(self._body)}\r\n"
        return (head + "\r\n").encode() + self._body

    def start(self) -> None:
        """Begins; every connection is opened by its first request."""
        self.connections = [Connection(number, self) for number in range(self.plan.connections)]
        self.loop.call_later(self.plan.seconds, self.stop)
        if self.plan.rate is None:
            for connection in self.connections:
                self._next_of(connection)
        else:
            self.idle.extend(self.connections)
            self._next_due(self.loop.time())

    def stop(self) -> None:
        """No new requests; those that are due already are still sent, for as long as one may take."""
        if not self.stopping:
            self.stopping = True
            self.loop.call_later(self.plan.timeout, self._give_up_waiting)
            self._end_if_done()

    def _give_up_waiting(self) -> None:
        for record in self.waiting:
            record.error, record.done = "unsent", time.monotonic()
        self.open_requests -= len(self.waiting)
        self.waiting.clear()
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self.stopping and not self.open_requests:
            self.over.set()

    def finished(self, connection: Connection, record: Record) -> None:
        """Called by a connection when its request is over."""
        self.open_requests -= 1
        if record is self.records[0]:
            print("started", flush=True)
        if self.plan.rate is None:
            # From the loop, not from here: answers that come at once must not deepen the stack.
            self.loop.call_soon(self._next_of, connection)
        elif self.waiting:
            connection.send(self.waiting.popleft())
        else:
            self.idle.append(connection)
        self._end_if_done()

    def _new_record(self, due: float) -> Record:
        number = len(self.records)
        record = Record(number, self.plan.hosts[number % len(self.plan.hosts)], -1, due)
        record.offered = time.monotonic()
        if self.plan.identified:
            record.request_id = f"{self._run}-{number}"
        self.records.append(record)
        self.open_requests += 1
        return record

    def _next_of(self, connection: Connection) -> None:
        if self.stopping or len(self.records) >= self.plan.total:
            self.stop()
            return
        connection.send(self._new_record(time.monotonic()))

    def _next_due(self, due: float) -> None:
        """Sends what is due by now and sets the clock for the next. `due` is in the loop's time."""
        assert self.plan.rate is not None
        while due <= self.loop.time():
            if self.stopping or len(self.records) >= self.plan.total:
                self.stop()
                return
            record = self._new_record(due)  # the loop's clock is the monotonic one
            if self.idle:
                self.idle.popleft().send(record)
            elif len(self.connections) < self.plan.connections + self.plan.extra:
                self.connections.append(Connection(len(self.connections), self))
                self.connections[-1].send(record)
            else:
                self.waiting.append(record)
            due += self.random.expovariate(self.plan.rate) if self.plan.poisson else 1 / self.plan.rate
        self.loop.call_at(due, self._next_due, due)


async def run(plan: Plan) -> list[Record]:
    """Runs the plan to its end."""
    load = Load(plan)
    load.loop.add_signal_handler(signal.SIGTERM, load.stop)
    load.start()
    await load.over.wait()
    for connection in load.connections:
        connection.close()
    await asyncio.sleep(0)  # sockets are closed in the loop's next turn
    return load.records


def main() -> int:
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    # Every connection is a descriptor, and `extra` may be thousands.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.disable()  # a collection over 100,000 records would be seen as latency
    records = asyncio.run(run(plan))
    Path(sys.argv[2]).write_bytes(msgspec.json.encode(records))
    return 0


if __name__ == "__main__":
    sys.exit(main())
