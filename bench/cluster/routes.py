"""How soon a new HTTPRoute serves: a program on the cluster's network that makes routes and asks for them.

`python -m bench.cluster.routes KUBECONFIG NAMESPACE ADDRESS PORT SERVICE COUNT` creates COUNT routes, one per
50 ms, asks each route's host every 5 ms from the moment at which the API server accepted it, and prints a
JSON list of [milliseconds to the first 200, answers other than 404 before it].
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from pathlib import Path

import aiohttp

from tests.e2e.harness import manifests
from tests.e2e.harness.api import GATEWAY_API, credentials

EVERY_S = 0.05
ASK_EVERY_S = 0.005
GIVE_UP_S = 15.0


async def ask(address: str, port: int, host: str) -> int:
    """One request on a connection of its own; 0 where it fails."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(address, port), 2)
        writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        line = await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        return int(line.split()[1])
    except (OSError, TimeoutError, IndexError):
        return 0


async def until_served(address: str, port: int, host: str) -> tuple[float, int]:
    """(milliseconds to the first 200, other answers but 404)."""
    begun, others = time.monotonic(), 0
    while time.monotonic() - begun < GIVE_UP_S:
        status = await ask(address, port, host)
        if status == 200:
            break
        others += status != 404
        await asyncio.sleep(ASK_EVERY_S)
    return (time.monotonic() - begun) * 1000, others


async def run(
    server: str, tls: ssl.SSLContext, namespace: str, address: str, port: int, service: str, count: int
) -> None:
    url = f"{server}{GATEWAY_API}/namespaces/{namespace}/httproutes"
    loop = asyncio.get_running_loop()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:

        async def one(number: int) -> tuple[float, int]:
            host = f"new{number}.example"
            async with session.post(url, json=manifests.http_route(f"new{number}", host, service)) as answer:
                answer.raise_for_status()
            return await until_served(address, port, host)

        begun, tasks = loop.time(), []
        for number in range(count):
            await asyncio.sleep(begun + number * EVERY_S - loop.time())
            tasks.append(loop.create_task(one(number)))
        print(json.dumps(await asyncio.gather(*tasks)))


if __name__ == "__main__":
    kubeconfig, namespace, address, port, service, count = sys.argv[1:]
    asyncio.run(run(*credentials(Path(kubeconfig)), namespace, address, int(port), service, int(count)))
