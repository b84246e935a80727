"""A sample Pod as a local process: `python -m fairlead.lab.pod ADDRESS PORT NAME`.

Answers every request with its name. Control paths, for the scenes:
    /-/slow/MILLISECONDS   every answer takes that long from now on
    /-/fail/PERCENT        that share of the answers is a 500, at once

On SIGTERM it goes on answering for `DRAIN_S`, tells kept-alive clients to leave, and exits: what a well-behaved
Pod does between the termination signal and the end of its grace period.
"""

import asyncio
import random
import signal
import sys
from contextlib import suppress

DRAIN_S = 1.0
_HEAD_END = b"\r\n\r\n"


class Behaviour:
    """What a Pod does now."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.delay_s = 0.002
        self.failing = 0.0
        self.leaving = False

    def command(self, path: str) -> None:
        """Obeys a control path."""
        _, _, verb, value = path.split("/")
        if verb == "slow":
            self.delay_s = float(value) / 1000
        elif verb == "fail":
            self.failing = float(value) / 100


class _Connection(asyncio.Protocol):
    """One kept-alive connection; requests without bodies, one at a time."""

    def __init__(self, pod: Behaviour) -> None:
        self._pod = pod
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the base class's signature
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(_HEAD_END)) >= 0:
            head, self._buffer = self._buffer[:end], self._buffer[end + len(_HEAD_END) :]
            method, target, _ = head.decode("latin-1").split(" ", 2)
            self._request(method, target)

    def _request(self, method: str, path: str) -> None:
        if path.startswith("/-/"):
            self._pod.command(path)
            self._answer(method, 200)
        elif random.random() < self._pod.failing:  # noqa: S311 - a sample's dice
            self._answer(method, 500)
        else:
            asyncio.get_running_loop().call_later(self._pod.delay_s, self._answer, method, 200)

    def _answer(self, method: str, status: int) -> None:
        if self._transport is None:
            return
        body = f"pod={self._pod.name}\n".encode()
        reason = "OK" if status == 200 else "Internal Server Error"
        closing = "Connection: close\r\n" if self._pod.leaving else ""
        head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n{closing}\r\n"
        self._transport.write(head.encode() + (b"" if method == "HEAD" else body))
        if self._pod.leaving:
            self._transport.close()


async def serve(address: str, port: int, name: str) -> None:
    """Serves until SIGTERM, then drains."""
    pod = Behaviour(name)
    loop = asyncio.get_running_loop()
    told_to_leave = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told_to_leave.set)
    server = await loop.create_server(lambda: _Connection(pod), address, port, reuse_address=True)
    print("ready", flush=True)  # noqa: T201 - the line that the starter waits for
    await told_to_leave.wait()
    pod.leaving = True
    await asyncio.sleep(DRAIN_S)
    server.close()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
