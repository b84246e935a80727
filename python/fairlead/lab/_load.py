"""An open-loop client that never retries: what it counts as lost, a user would have seen fail.

Requests start on a fixed schedule on kept-alive connections, one at a time on each; latency counts from the
scheduled time, so a stall is seen by every request that it held up (no coordinated omission).
"""

import asyncio
from collections import Counter, deque
from contextlib import suppress

import msgspec

TIMEOUT_S = 5.0
_HEAD_END = b"\r\n\r\n"


class Tally(msgspec.Struct):
    """What came back."""

    sent: int = 0
    answered: int = 0
    errors: Counter[str] = msgspec.field(default_factory=Counter)
    """What a Pod itself answered with 500: seen by the client, but no request of the gateway's was lost."""
    lost: Counter[str] = msgspec.field(default_factory=Counter)
    pods: Counter[str] = msgspec.field(default_factory=Counter)
    latencies_ms: deque[float] = msgspec.field(default_factory=lambda: deque(maxlen=100_000))

    def percentile(self, share: float) -> float:
        """The latency in milliseconds that `share` (0 to 1) of the answers did not exceed."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Load:
    """`rate` requests per second to `address:port`, until stopped."""

    def __init__(self, address: str, port: int, *, host: str, rate: float, connections: int = 16) -> None:
        self._address = address
        self._port = port
        self._request = f"GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: fairlead-demo\r\n\r\n".encode()
        self._interval_s = 1 / rate
        self._due: asyncio.Queue[float] = asyncio.Queue()
        self._connections = connections
        self.tally = Tally()

    async def run(self, seconds: float) -> None:
        """Sends for `seconds`, then waits for what is under way."""
        async with asyncio.TaskGroup() as tasks:
            clients = [
                tasks.create_task(self._client(), name=f"client {n}") for n in range(self._connections)
            ]
            loop = asyncio.get_running_loop()
            start = loop.time()
            due = 0.0
            while due < seconds:
                await asyncio.sleep(max(0.0, start + due - loop.time()))
                self._due.put_nowait(start + due)
                self.tally.sent += 1
                due += self._interval_s
            for _ in clients:
                self._due.put_nowait(-1)

    async def _client(self) -> None:
        stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while (due := await self._due.get()) >= 0:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    if stream is None:
                        stream = await asyncio.open_connection(self._address, self._port)
                    keep = await self._exchange(*stream, due)
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                self.tally.lost[type(error).__name__] += 1
                keep = False
            if not keep and stream is not None:
                await _close(stream[1])
                stream = None
        if stream is not None:
            await _close(stream[1])

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, due: float) -> bool:
        writer.write(self._request)
        head = (await reader.readuntil(_HEAD_END)).decode("latin-1").lower()
        status = int(head[9:12])
        length = int(head.partition("content-length:")[2].partition("\r\n")[0] or 0)
        body = (await reader.readexactly(length)).decode("latin-1")
        pod = body.partition("pod=")[2].strip()
        self.tally.latencies_ms.append((asyncio.get_running_loop().time() - due) * 1000)
        if status == 200:
            self.tally.answered += 1
            self.tally.pods[pod] += 1
        elif pod:
            self.tally.errors[f"{status} from {pod}"] += 1
        else:
            self.tally.lost[f"{status} from the gateway"] += 1
        return "connection: close" not in head


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
