"""The client that judges the demo: what it counts as answered, failed and lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fairlead.lab import Load

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def response(status: int, body: str, *, extra: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{extra}\r\n{body}".encode()


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[Load]:
    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield Load("127.0.0.1", port, host="a", rate=200, connections=2)


async def test_answers_are_counted_by_pod() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(response(200, "pod=a\n"))

    async with server(answer) as load:
        await load.run(0.1)
    assert load.tally.answered == load.tally.sent == load.tally.pods["a"] == 20
    assert not load.tally.lost


async def test_an_error_of_a_pod_is_no_lost_request_but_one_of_the_gateway_is() -> None:
    answers = iter([response(500, "pod=a\n"), response(503, "no endpoint"), *[response(200, "pod=a\n")] * 50])

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(next(answers))

    async with server(answer) as load:
        await load.run(0.1)
    assert load.tally.errors == {"500 from a": 1}
    assert load.tally.lost == {"503 from the gateway": 1}


async def test_a_connection_that_dies_with_a_request_is_a_lost_request_and_is_not_tried_again() -> None:
    seen = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        while await reader.readuntil(b"\r\n\r\n"):
            seen += 1
            if seen == 3:
                writer.close()
                return
            writer.write(response(200, "pod=a\n"))

    async with server(answer) as load:
        await load.run(0.1)
    assert load.tally.lost == {"IncompleteReadError": 1}
    assert seen == load.tally.sent


async def test_a_connection_that_the_server_ends_politely_is_replaced() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response(200, "pod=a\n", extra="Connection: close\r\n"))
        writer.close()

    async with server(answer) as load:
        await load.run(0.1)
    assert load.tally.answered == 20
    assert not load.tally.lost
