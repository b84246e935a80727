"""WebSocket Pods in a process of their own: `python -m tests.e2e.harness.echo_server COUNT`.

Each of so many ports is a Pod; it names them in a line as soon as all listen. It sends every message back as it came, and answers a plain GET with its port. SIGTERM ends it.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiohttp import WSMsgType, web

__all__ = ["echo_pods", "serve"]


@contextmanager
def echo_pods(count: int) -> Iterator[list[int]]:
    """Ports of so many Pods, in a process of their own."""
    command = [sys.executable, "-m", "tests.e2e.harness.echo_server", str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as process:
        assert process.stdout is not None
        yield [int(port) for port in process.stdout.readline().split()]
        process.terminate()
        assert process.wait(timeout=20) == 0


async def _answer(request: web.Request) -> web.StreamResponse:
    if request.headers.get("Upgrade") is None:
        return web.Response(text=str(request.transport.get_extra_info("sockname")[1]))  # type: ignore[union-attr]
    echo = web.WebSocketResponse(max_msg_size=0)
    await echo.prepare(request)
    async for message in echo:
        if message.type is WSMsgType.BINARY:
            await echo.send_bytes(message.data)
        elif message.type is WSMsgType.TEXT:
            await echo.send_str(message.data)
    return echo


async def serve(count: int) -> None:
    """Serves until SIGTERM; prints the ports once every one listens."""
    application = web.Application()
    application.router.add_get("/{path:.*}", _answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    listening = [socket.create_server(("127.0.0.1", 0), backlog=1024) for _ in range(count)]
    for each in listening:
        await web.SockSite(runner, each, backlog=1024).start()
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    print(*[each.getsockname()[1] for each in listening], flush=True)
    await end.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
