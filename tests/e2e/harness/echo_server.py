"""WebSocket Pods in a process of their own: `python -m tests.e2e.harness.echo_server PORT...`.

Each port is a Pod. It sends every message back as it came, and answers a plain GET with its port. SIGTERM ends it.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from aiohttp import WSMsgType, web

__all__ = ["serve"]


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


async def serve(ports: list[int]) -> None:
    """Serves until SIGTERM; says `ready` once every port listens."""
    application = web.Application()
    application.router.add_get("/{path:.*}", _answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    for port in ports:
        await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    print("ready", flush=True)
    await end.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve([int(word) for word in sys.argv[1:]]))
