"""slowhttptest in all its modes: clients that behave notice nothing.

The program is Debian's. Where it is missing and cannot be installed, its part is counted as not run.
"""

import http.client
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.programs import program
from tests.proxy.conftest import World, wait_until

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = 1_000
PER_SECOND = 250
SECONDS = 9
# What slowhttptest itself takes for a server that is out of service.
PATIENCE_S = 3
# What the proxy allows, so that its defence fires while the attack lasts.
ALLOWED_MS = 3_000
# What it counts then. Ranges are answered like any other request; and what a slow reader leaves is with the kernel, which
# keeps all of it (a limit for those who leave more is in the tests of the data path).
COUNTED = {"slow_headers": "request_head_timeout", "slow_body": "stream_idle_timeout"}
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
MODES = {
    "slow_headers": ["-H", "-i", "2", "-x", "16"],
    "slow_body": ["-B", "-i", "5", "-x", "16", "-s", "8192"],
    "range": ["-R", "-a", "10", "-b", "3000"],
    "slow_read": ["-X", "-k", "3", "-n", "1", "-w", "10", "-y", "50", "-z", "16"],
}


@pytest.fixture(scope="module")
def slowhttptest() -> str:
    return program("slowhttptest")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    backend = subprocess.Popen(
        [sys.executable, "-m", "tests.http1.slow_backend"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert backend.stdout is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = World(tmp_path_factory.mktemp("proxy"), int(backend.stdout.readline()), port)
    timeouts = {"request_head_ms": ALLOWED_MS, "stream_idle_ms": ALLOWED_MS}
    process = world.configure(access_log=False, timeouts=timeouts)
    try:
        wait_until("readiness", lambda: world.health("/readyz")[0] == 200)
        yield world
        assert process.poll() is None, "the proxy has ended"
    finally:
        process.kill()
        process.communicate()
        backend.kill()
        backend.communicate()


@dataclass
class Client:
    """A client that behaves: one request after the other, each second one on a new connection."""

    port: int
    stop: threading.Event
    failures: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def run(self) -> None:
        kept = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with closing(kept):
            while not self.stop.wait(0.02):
                self.ask(kept)
                with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)) as fresh:
                    self.ask(fresh)

    def ask(self, connection: http.client.HTTPConnection) -> None:
        start = time.monotonic()
        try:
            connection.request("GET", "/")
            response = connection.getresponse()
            body = response.read()
            if (response.status, body) != (200, b"ok"):
                self.failures.append(f"{response.status} {body!r}")
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(repr(error))
            connection.close()
        self.seconds.append(time.monotonic() - start)


def metric(world: World, name: str) -> float:
    page = world.health("/metrics")[1]
    found = [line for line in page.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
    return sum(float(line.rpartition(" ")[2]) for line in found)


def connections(world: World) -> float:
    return metric(world, "fairlead_downstream_connections")


def answered(world: World) -> float:
    return metric(world, "fairlead_http_requests_total")


def refused(world: World, reason: str) -> float:
    return metric(world, f'fairlead_http_requests_refused_total{{reason="{reason}"}}')


@pytest.mark.parametrize("mode", MODES)
def test_clients_that_behave_notice_nothing(
    mode: str, world: World, slowhttptest: str, tmp_path: Path
) -> None:
    stop = threading.Event()
    clients = [Client(world.bind_port, stop) for _ in range(4)]
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    held: list[float] = []
    counted = {reason: refused(world, reason) for reason in COUNTED.values()}
    before = answered(world)
    path = "large" if mode == "slow_read" else ""
    attack = subprocess.Popen(
        [
            *(slowhttptest, *MODES[mode], "-c", str(CONNECTIONS), "-r", str(PER_SECOND), "-l", str(SECONDS)),
            *("-p", str(PATIENCE_S), "-v", "1", "-u", f"http://127.0.0.1:{world.bind_port}/{path}"),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + SECONDS + 10
        while attack.poll() is None and time.monotonic() < deadline:
            held.append(connections(world))
            assert world.health("/readyz")[0] == 200
            time.sleep(0.5)
    finally:
        attack.kill()
        said = attack.communicate()[0]
        stop.set()
        for thread in threads:
            thread.join()
    failures = [failure for client in clients for failure in client.failures]
    seconds = sorted(second for client in clients for second in client.seconds)
    print(
        f"{mode}: {max(held):.0f} connections held, {len(seconds)} requests beside them, "
        f"99 % within {seconds[len(seconds) * 99 // 100] * 1e3:.0f} ms, slowest {seconds[-1] * 1e3:.0f} ms"
    )
    verdicts = set(re.findall(r"service available:\s+(\w+)", _COLOUR.sub("", said)))
    assert verdicts == {"YES"}, said
    assert not failures, failures[:5]
    assert len(seconds) > 100
    if reason := COUNTED.get(mode):
        count = refused(world, reason) - counted[reason]
        print(f"{mode}: {count:.0f} refused by {reason}")
        # On a busy machine the attack is slower than it should be.
        assert count > CONNECTIONS / 10, "the proxy's own limit has not ended them"
    elif mode == "range":
        # One request on each connection, answered like any other.
        theirs = answered(world) - before - len(seconds)
        print(f"{mode}: {theirs:.0f} requests of the attack")
        assert CONNECTIONS * 0.5 < theirs <= CONNECTIONS * 1.5, "there was no attack"
    else:
        assert max(held) > CONNECTIONS / 2, "there was no attack"
    wait_until("their connections' end", lambda: connections(world) <= 1)
