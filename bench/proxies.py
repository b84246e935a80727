"""The proxies under measurement: one worker each, all doing the same work, each on a port of its own.

Same work: HTTP/1.1 kept alive on both sides, X-Forwarded-For and -Proto added, no access log, no TLS.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.controller import Controller, endpoint

_TEMPLATES = Path(__file__).parent / "peers"
_PATIENCE_S = 30.0
_MANY = 64
"""Above so many endpoints the peers get what their guides advise for many."""

Servers = Sequence[tuple[str, int]]


class Proxy(ABC):
    """One process, or one with a child, that stands between load and backend."""

    name: str

    def __init__(
        self, program: Path, folder: Path, port: int, servers: Servers, prefix: Sequence[str] = ()
    ) -> None:
        self.program = program
        self.folder = folder
        self.port = port
        self.servers = servers
        self.prefix = list(prefix)
        """Words before the command, such as those that pin it to a core."""
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def start(self) -> None:
        """Returns when it answers."""

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return "127.0.0.1", self.port

    @property
    def target(self) -> str:
        """The same as the load generator takes it."""
        host, port = self.address
        return f"{host}:{port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def processes(self) -> list[int]:
        """The process and its children, which are the workers of some."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [self.pid, *map(int, children.split())]

    def stop(self) -> None:
        """Ends it; harmless where it has never started."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _spawn(self, *command: str) -> None:
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self.prefix, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _answering(self) -> None:
        wait_until(f"{self.name} to listen", lambda: listening(self.port), self._process)


class Direct(Proxy):
    """No proxy: the load goes straight to the first server. What is left is the load generator's and backend's share."""

    name = "no proxy"

    def start(self) -> None:
        wait_until(f"{self.target} to listen", lambda: listening(self.servers[0][1]))

    @property
    def address(self) -> tuple[str, int]:
        return self.servers[0]

    def processes(self) -> list[int]:
        return []


class Fairlead(Proxy):
    """Fairlead with its defaults, under a controller in the benchmark's hands."""

    name = "Fairlead"
    workers = 1

    def __init__(
        self, program: Path, folder: Path, port: int, servers: Servers, prefix: Sequence[str] = ()
    ) -> None:
        """`program` is an interpreter that has Fairlead."""
        super().__init__(program, folder, port, servers, prefix)
        stream = folder / f"stream-{port}"
        stream.unlink(missing_ok=True)
        self.controller = Controller(stream)

    def start(self) -> None:
        config = {
            "instance": "bench",
            "workers": self.workers,
            "access_log": False,
            "stream_socket": str(self.controller.path),
            "drain": {"grace_s": 0, "deadline_s": 2},
        }
        self._spawn(*self.command(json.dumps(config)))
        endpoints = [endpoint(index, *server) for index, server in enumerate(self.servers)]
        self.controller.configure(self.port, endpoints)
        self._answering()

    def command(self, config: str) -> list[str]:
        """How it is started with this configuration."""
        # Isolated: not what lies in the working directory or in PYTHONPATH, but what is installed.
        return [str(self.program), "-I", "-m", "fairlead.proxy", "--config", config]

    def stop(self) -> None:
        super().stop()
        self.controller.close()


class FourWorkers(Fairlead):
    """Fairlead with more workers than anything is compared with."""

    workers = 4


class BareFairlead(Fairlead):
    """The proxy's own program, without an interpreter."""

    def command(self, config: str) -> list[str]:
        return [str(self.program), config]


class Peer(Proxy):
    """A program with a configuration file."""

    template: str
    server_line: str
    few: str
    many: str

    def start(self) -> None:
        lines = [
            self.server_line.format(index=index, address=address, port=port)
            for index, (address, port) in enumerate(self.servers)
        ]
        values = {
            "FOLDER": str(self.folder),
            "PORT": str(self.port),
            "BALANCE": self.many if len(self.servers) > _MANY else self.few,
            "SERVERS": "\n    ".join(lines),
        }
        text = (_TEMPLATES / self.template).read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        config = self.folder / self.template
        config.write_text(text)
        self._spawn(*self.command(config))
        self._answering()

    @abstractmethod
    def command(self, config: Path) -> list[str]:
        """How it is started with this configuration."""


class Nginx(Peer):
    """nginx: a master and one worker."""

    name = "nginx"
    template = "nginx.conf"
    server_line = "server {address}:{port} max_fails=0;"
    few = "keepalive 512;"
    many = "random two least_conn; keepalive 4096;"

    def command(self, config: Path) -> list[str]:
        return [str(self.program), "-p", str(self.folder), "-c", str(config)]


class HAProxy(Peer):
    """HAProxy with one thread, in the foreground."""

    name = "HAProxy"
    template = "haproxy.cfg"
    server_line = "server s{index} {address}:{port}"
    few = "balance roundrobin"
    many = "balance roundrobin"

    def command(self, config: Path) -> list[str]:
        return [str(self.program), "-db", "-f", str(config)]


class Envoy(Peer):
    """Envoy with one worker."""

    name = "Envoy"
    template = "envoy.yaml"
    server_line = "{{endpoint: {{address: {{socket_address: {{address: {address}, port_value: {port}}}}}}}}},"
    few = "lb_policy: ROUND_ROBIN"
    many = "lb_policy: ROUND_ROBIN"

    def command(self, config: Path) -> list[str]:
        alone = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
        return [str(self.program), "--config-path", str(config), *alone]


def listening(port: int) -> bool:
    """Whether something accepts connections at the port of this host."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def wait_until(what: str, done: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    """Waits for it as long as the process lives and patience lasts."""
    until = time.monotonic() + _PATIENCE_S
    while not done():
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"waited for {what}, but its process ended with {process.returncode}")
        if time.monotonic() > until:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.02)
