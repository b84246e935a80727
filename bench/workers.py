"""How few connections are spread over several workers. Asked of the kernel, not of the proxy."""

from __future__ import annotations

import re
import socket
from contextlib import ExitStack
from pathlib import Path

import msgspec

from bench.controller import HOST
from bench.proxies import Proxy, wait_until

CONNECTIONS = 16
TRIALS = 100
_PATIENCE_S = 10.0
_REQUEST = f"GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode()
_ESTABLISHED = "01"


class Workers(msgspec.Struct, frozen=True):
    """Connections per worker in many trials."""

    trials: list[list[int]]
    """Each: connections by worker, fullest first."""

    @property
    def ratios(self) -> list[float]:
        """The fullest worker's connections over the emptiest one's, in each trial; infinite where one has none."""
        return [each[0] / each[-1] if each[-1] else float("inf") for each in self.trials]


def measure(proxy: Proxy, workers: int, trials: int = TRIALS) -> Workers:
    """Opens 16 connections at once, again and again, and counts when each has carried a request."""
    found = []
    for _ in range(trials):
        with ExitStack() as stack:
            sockets = [
                stack.enter_context(socket.create_connection(proxy.address)) for _ in range(CONNECTIONS)
            ]
            for each in sockets:
                each.settimeout(_PATIENCE_S)
                each.sendall(_REQUEST)
            for each in sockets:
                if not each.recv(1 << 16).startswith(b"HTTP/1.1 200 "):
                    raise RuntimeError(f"{proxy.name} does not answer on each of {CONNECTIONS} connections")
            # Who has answered is where the connection stays.
            counts = per_epoll(proxy)
        found.append(sorted(counts + [0] * (workers - len(counts)), reverse=True))
        wait_until("the connections' end", lambda: not per_epoll(proxy))
    return Workers(trials=found)


def per_epoll(proxy: Proxy) -> list[int]:
    """Client connections by event loop, which is one per worker; without those that have none."""
    folder = Path(f"/proc/{proxy.pid}")
    clients = _sockets_at(folder, proxy.port)
    sockets: set[int] = set()
    loops: list[int] = []
    for descriptor in (folder / "fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if target == "anon_inode:[eventpoll]":
            loops.append(int(descriptor.name))
        elif target.removeprefix("socket:[").removesuffix("]") in clients:
            sockets.add(int(descriptor.name))
    counts = []
    for loop in loops:
        watched = re.findall(r"^tfd:\s+(\d+)", (folder / "fdinfo" / str(loop)).read_text(), re.MULTILINE)
        counts.append(sum(int(number) in sockets for number in watched))
    return [count for count in counts if count]


def _sockets_at(folder: Path, port: int) -> set[str]:
    """The inodes of established connections to a port, of the process's network namespace."""
    found = set()
    for line in (folder / "net" / "tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_, inode = line.split()[:10]
        if state == _ESTABLISHED and int(local.partition(":")[2], 16) == port:
            found.add(inode)
    return found
