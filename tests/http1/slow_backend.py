"""A backend for many connections at a time: `python -m tests.http1.slow_backend` prints its port.

A process of its own, so that it does not hold up the clients that are watched. Answers GET and HEAD at once, `/large`
with 256 KiB, and whatever has a body once that is there. Ends with its standard input.
"""

import asyncio
import re
import sys

LARGE = b"x" * (256 << 10)
_LENGTH = re.compile(rb"(?im)^content-length: *(\d+)")


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if found := _LENGTH.search(head):
                await reader.readexactly(int(found[1]))
            body = LARGE if b" /large" in head[:20] else b"ok"
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body))
            if not head.startswith(b"HEAD"):
                writer.write(body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main())
