"""The load client against a server of known behaviour, on loopback: it repeats nothing and hides nothing."""

import asyncio
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest

from tests.e2e.harness.client import Answer, Plan, Record, run
from tests.e2e.harness.load import ROOT

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhost=pod\n"
Handler = Callable[[int, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(handle: Handler) -> AsyncIterator[int]:
    """Calls `handle` with the number of each request whose head has arrived; yields the port."""
    count = 0
    open_: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                count += 1
                await handle(count, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_.add(asyncio.create_task(serve(reader, writer)))

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        async with listening:
            yield listening.sockets[0].getsockname()[1]
    finally:
        # A server that ends leaves its connections to themselves: their sockets would outlive the loop.
        for task in open_:
            task.cancel()
        await asyncio.gather(*open_, return_exceptions=True)


async def load(port: int, **options: object) -> list[Record]:
    fields: dict[str, object] = {"address": "127.0.0.1", "port": port, "hosts": ["x"], "timeout": 1.0}
    return await run(Plan(**(fields | options)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (OK, (200, b"host=pod\n", False)),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, (200, b"host=pod\n", False)),
        (b"HTTP/1.1 503 No\r\nConnection: close\r\ncontent-length: 0\r\n\r\n", (503, b"", True)),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            (200, b"2\r\nab\r\n0\r\n\r\n", False),
        ),
    ],
)
def test_an_answer_is_complete_with_its_last_byte_only(raw: bytes, expected: tuple[int, bytes, bool]) -> None:
    answer = Answer()
    for byte in raw[:-1]:
        answer.buffer.append(byte)
        assert answer.take() is None
    answer.buffer.append(raw[-1])
    assert answer.take() == expected
    assert not answer.buffer


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    answer = Answer()
    answer.buffer += b"HTTP/1.1 200 OK\r\n\r\nhost=pod\n"
    assert answer.take() is None
    assert answer.take(ended=True) == (200, b"host=pod\n", True)


async def test_a_connection_that_breaks_fails_its_request_and_nothing_is_repeated() -> None:
    seen = 0

    async def handle(number: int, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen = number
        if number % 3 == 0:
            writer.close()
        else:
            writer.write(OK)

    async with server(handle) as port:
        records = await load(port, total=9)
    assert [record.error for record in records] == ["", "", "closed"] * 3
    assert seen == 9
    assert {record.pod for record in records if record.ok} == {"pod"}


async def test_a_connection_that_the_server_closes_between_requests_is_opened_anew() -> None:
    async def handle(_: int, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"))

    async with server(handle) as port:
        records = await load(port, total=5)
    assert [record.status for record in records] == [200] * 5
    assert all(record.opened for record in records)


async def test_a_connection_that_is_kept_is_opened_once() -> None:
    async def handle(_: int, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)

    async with server(handle) as port:
        records = await load(port, connections=2, rate=500.0, total=20)
    assert [record.number for record in records if record.opened] == [0, 1]


async def test_more_connections_than_the_soft_limit_of_descriptors() -> None:
    async def handle(_: int, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)

    async with server(handle) as port:
        plan = Plan(address="127.0.0.1", port=port, hosts=["x"], connections=100, rate=1000.0, total=100)
        with tempfile.NamedTemporaryFile() as out:
            words = (sys.executable, "-m", "tests.e2e.harness.client", msgspec.json.encode(plan), out.name)
            client = await asyncio.create_subprocess_exec(
                *("sh", "-c", 'ulimit -S -n 64 && exec "$@"', "sh", *words), stdout=PIPE, cwd=ROOT
            )
            await client.communicate()
            records = msgspec.json.decode(out.read(), type=list[Record])
    assert [(record.status, record.opened) for record in records] == [(200, True)] * 100


async def test_silence_is_a_timeout_and_does_not_stop_the_others() -> None:
    async def handle(number: int, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if number == 1:
            await asyncio.sleep(30)
        writer.write(OK)

    async with server(handle) as port:
        records = await load(port, connections=2, rate=50.0, total=20, timeout=0.5)
    assert [record.error for record in records] == ["timeout"] + [""] * 19


async def test_nobody_there_is_a_failed_connect() -> None:
    async with server(lambda *_: asyncio.sleep(0)) as port:
        pass
    records = await load(port, total=2)
    assert [record.error for record in records] == ["connect", "connect"]


async def test_in_open_loop_latency_counts_from_the_time_a_request_was_due() -> None:
    async def handle(number: int, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if number == 1:
            await asyncio.sleep(0.3)
        writer.write(OK)

    async with server(handle) as port:
        records = await load(port, connections=1, rate=100.0, total=10)
    assert all(record.ok for record in records)
    # The second was due 10 ms after the first and had to wait for the only connection.
    assert records[1].latency > 0.25
    assert records[1].done - records[1].sent < records[1].latency


async def test_what_found_no_connection_until_the_end_is_told() -> None:
    async def handle(*_: object) -> None:
        await asyncio.sleep(30)

    async with server(handle) as port:
        records = await load(port, connections=1, rate=100.0, total=50, timeout=0.4)
    assert len(records) == 50
    errors = [record.error for record in records]
    assert set(errors) == {"timeout", "unsent"}
    assert errors[-1] == "unsent"


async def test_a_server_that_holds_requests_does_not_hold_back_the_others() -> None:
    async def handle(number: int, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if number <= 5:
            await asyncio.sleep(30)
        writer.write(OK)

    async with server(handle) as port:
        records = await load(port, connections=2, extra=20, rate=100.0, total=50, timeout=0.5)
    assert sum(record.error == "timeout" for record in records) == 5
    assert sum(record.ok for record in records) == 45
    assert max(record.latency for record in records if record.ok) < 0.4
