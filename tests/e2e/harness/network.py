"""The cluster's network namespace, as the test's own process reaches into it."""

from __future__ import annotations

import ctypes
import http.client
import os
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_CLONE_NEWNET = 0x40000000


def _enter(path: str) -> None:
    """Moves the calling thread, and only that, into the network namespace at `path`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {path}")
    finally:
        os.close(descriptor)


class Network:
    """Opens connections on the cluster's network and says how to run a program there.

    A socket belongs to the namespace of the thread that made it, for life: one thread lives inside and makes
    them, every other may use them.
    """

    def __init__(self, name: str) -> None:
        self.path = Path("/run/netns") / name
        self._inside = ThreadPoolExecutor(
            max_workers=8, thread_name_prefix=name, initializer=_enter, initargs=(str(self.path),)
        )

    @property
    def prefix(self) -> list[str]:
        """Words before a command that make it run on this network."""
        return ["nsenter", f"--net={self.path}"]

    def connect(self, address: str, port: int, timeout: float) -> socket.socket:
        """A TCP connection; raises OSError as the socket module does."""
        return self._inside.submit(socket.create_connection, (address, port), timeout).result()

    def close(self) -> None:
        """Ends the threads inside; open sockets stay usable."""
        self._inside.shutdown()


class HTTPConnection(http.client.HTTPConnection):
    """`http.client` on the cluster's network, over TLS where a context is given."""

    def __init__(
        self,
        network: Network,
        address: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        timeout: float = 5,
    ) -> None:
        super().__init__(address, port, timeout=timeout)
        self._network = network
        self._tls = tls

    def connect(self) -> None:
        assert isinstance(self.timeout, int | float)
        self.sock = self._network.connect(self.host, self.port, self.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host)
