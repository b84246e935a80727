"""The socket: permissions, several proxies, proxies that break or stall."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from fairlead.snapshot import FromProxy, Key, Kind, Rejection, Stats, Subscribe, Telemetry, encode_frame
from fairlead.stream import Adopted, Event, Gone, Greeted, Measured, Store, StreamServer
from tests.stream.model import ModelProxy, decoded, encoded, route, upserts

A = encoded(Kind.ROUTE, "a", route("a"))
B = encoded(Kind.ROUTE, "b", route("b"))


def accept(key: Key, body: bytes) -> Rejection | None:
    return None


class Rig:
    """A server on a socket, and the events that it told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[Event] = []
        self.changed = asyncio.Event()
        self.server = StreamServer(Store(accept), epoch=1, on_event=self._on_event)

    def _on_event(self, event: Event) -> None:
        self.events.append(event)
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def listening(self) -> None:
        async with asyncio.timeout(5):
            while True:
                try:
                    _, writer = await asyncio.open_unix_connection(self.path)
                except OSError:
                    await asyncio.sleep(0)
                else:
                    writer.close()
                    await writer.wait_closed()
                    return


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path / "s.sock")
    task = asyncio.create_task(rig.server.run(rig.path))
    await rig.listening()
    yield rig
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def receive(reader: asyncio.StreamReader) -> bytes:
    header = await reader.readexactly(4)
    return header + await reader.readexactly(struct.unpack(">I", header)[0])


async def follow(proxy: ModelProxy, path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        await follow_on(proxy, reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def follow_on(proxy: ModelProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    answer: FromProxy | None = proxy.hello()
    while True:
        if answer is not None:
            writer.write(encode_frame(answer))
        frame = await receive(reader)
        subscribed = isinstance(decoded(frame), Subscribe)
        answer = Telemetry(at_ms=1) if subscribed else proxy.take(frame)


@asynccontextmanager
async def following(rig: Rig, *proxies: ModelProxy) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(follow(proxy, rig.path)) for proxy in proxies]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_only_the_owner_may_connect(rig: Rig) -> None:
    assert rig.path.stat().st_mode & 0o777 == 0o600


async def test_several_proxies_follow_at_once(rig: Rig) -> None:
    proxies = [ModelProxy(), ModelProxy()]
    rig.server.publish(upserts(A))
    rig.server.open()
    async with following(rig, *proxies):
        await rig.until(lambda: sum(isinstance(event, Adopted) for event in rig.events) == 2)
        rig.server.publish(upserts(B))
        await rig.until(lambda: sum(isinstance(event, Adopted) for event in rig.events) == 4)
    assert all(proxy.bodies == {A.key: A.body, B.key: B.body} for proxy in proxies)
    await rig.until(lambda: sum(isinstance(event, Gone) for event in rig.events) == 2)
    assert rig.server.proxies == ()


async def test_nothing_arrives_before_opening(rig: Rig) -> None:
    proxy = ModelProxy()
    rig.server.publish(upserts(A))
    async with following(rig, proxy):
        await rig.until(lambda: any(isinstance(event, Greeted) for event in rig.events))
        assert proxy.updates == []
        rig.server.open()
        await rig.until(lambda: any(isinstance(event, Adopted) for event in rig.events))


@pytest.mark.parametrize("payload", [b"\xc1\xc1\xc1", b"\x81\xa1\xff\xc0", b"\x81\xa1x" + b"\x91" * 100_000])
async def test_broken_bytes_end_that_connection_only(rig: Rig, payload: bytes) -> None:
    proxy = ModelProxy()
    rig.server.publish(upserts(A))
    rig.server.open()
    async with following(rig, proxy):
        reader, writer = await asyncio.open_unix_connection(rig.path)
        writer.write(struct.pack(">I", len(payload)) + payload)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        rig.server.publish(upserts(B))
        await rig.until(lambda: set(proxy.bodies) == {A.key, B.key})


async def test_a_stalled_proxy_is_cut_off_and_holds_nobody_up(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fairlead.stream._server.STALL_S", 0.5)
    big = [encoded(Kind.ROUTE, f"r{n}", route(f"r{n}", padding=900_000)) for n in range(8)]
    proxy, stalled = ModelProxy(), ModelProxy()
    rig.server.publish(upserts(*big))
    rig.server.open()
    _, writer = await asyncio.open_unix_connection(rig.path)
    writer.write(encode_frame(stalled.hello()))
    async with following(rig, proxy):
        await rig.until(lambda: len(proxy.bodies) == 8)
        await rig.until(lambda: any(isinstance(event, Gone) for event in rig.events))
        assert len(rig.server.proxies) == 1
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def test_telemetry_is_asked_of_proxies_present_and_to_come(rig: Rig) -> None:
    early, late = ModelProxy(), ModelProxy()
    rig.server.open()
    async with following(rig, early):
        await rig.until(lambda: any(isinstance(event, Greeted) for event in rig.events))
        rig.server.subscribe(Subscribe(period_ms=200))
        await rig.until(lambda: sum(isinstance(event, Measured) for event in rig.events) == 1)
        async with following(rig, late):
            await rig.until(lambda: sum(isinstance(event, Measured) for event in rig.events) == 2)


async def test_the_controllers_counters_reach_every_proxy(rig: Rig) -> None:
    proxies = [ModelProxy(), ModelProxy()]
    async with following(rig, *proxies):
        await rig.until(lambda: len(rig.server.proxies) == 2)
        for count in (1, 2):
            rig.server.tell(Stats())
            async with asyncio.timeout(5):
                while not all(len(proxy.stats) == count for proxy in proxies):
                    await asyncio.sleep(0.001)


async def test_what_a_dead_controller_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    for _ in range(2):
        rig = Rig(path)
        task = asyncio.create_task(rig.server.run(path))
        await rig.listening()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        path.touch()
    assert path.exists()
