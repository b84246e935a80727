"""`fairlead run` on the cluster's network: its start, its two halves, its metrics and its end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.e2e.harness import access_log
from tests.e2e.harness.api import Object
from tests.e2e.harness.cluster import GATEWAY_CIDR, Cluster
from tests.e2e.harness.waiting import eventually

HEALTH = ("127.0.0.1", 19901)
"""Where a proxy serves /metrics, /livez and /readyz; every cluster has a loopback of its own."""

_SERIES = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)", re.MULTILINE)


class Fairlead:
    """One instance. `folder` holds its state, its sockets and its log, and outlives restarts."""

    def __init__(
        self,
        cluster: Cluster,
        folder: Path,
        *,
        kubeconfig: Path | None = None,
        address_pool: str = GATEWAY_CIDR,
        health: tuple[str, int] = HEALTH,
    ) -> None:
        """Of several instances at a time each needs a folder, a pool and a health address of its own."""
        self.cluster = cluster
        self.health = health
        self.folder = folder
        self.log = folder / "log"
        self._kubeconfig = kubeconfig or cluster.kubeconfig
        self._address_pool = address_pool
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def environment(self) -> dict[str, str]:
        """What its processes and the command line need to find each other."""
        return os.environ | {"XDG_RUNTIME_DIR": str(self.folder), "XDG_STATE_HOME": str(self.folder)}

    def start(self, *options: str, ready: bool = True) -> None:
        """Starts `fairlead run` and, if `ready` is set, waits until /readyz says so."""
        command = [
            *self.cluster.network.prefix,
            sys.executable,
            "-m",
            "fairlead",
            "run",
            f"--kubeconfig={self._kubeconfig}",
            f"--address-pool={self._address_pool}",
            f"--health-address={self.health[0]}:{self.health[1]}",
            "--drain-grace=1",
            *options,
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment
            )
        if ready:
            eventually("/readyz answers 200", self._checked_ready)

    def stop(self) -> None:
        """SIGTERM, and an end in good time; what is left after that is killed and is a failure."""
        if self._process is None:
            return
        halves = self.halves()
        self._process.terminate()
        try:
            code = self._process.wait(timeout=20)
            assert code == 0, f"fairlead run ended with {code}:\n{self.tail()}"
        except subprocess.TimeoutExpired:
            for pid in (*halves.values(), self._process.pid):
                _kill(pid)
            raise AssertionError(f"fairlead run did not end within 20 s of SIGTERM:\n{self.tail()}") from None
        finally:
            self._process = None

    def get(self, *arguments: str) -> str:
        """What `fairlead get ...` prints."""
        done = subprocess.run(
            [*self.cluster.network.prefix, sys.executable, "-m", "fairlead", "get", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=self.environment,
        )
        assert done.returncode == 0, f"fairlead get {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def instance(self) -> Object:
        """What it says of itself on its admin socket."""
        socket = self.folder / "fairlead" / "default.sock"
        command = ["curl", "--silent", "--fail", "--max-time", "5", "--unix-socket", str(socket)]
        done = subprocess.run([*command, "http://fairlead/api/v1/instance"], capture_output=True, check=False)
        assert done.returncode == 0, f"the admin API does not answer: curl ended with {done.returncode}"
        said: Object = json.loads(done.stdout)
        return said

    def halves(self) -> dict[str, int]:
        """The process ids of `controller` and `proxy`, those that are running."""
        assert self._process is not None
        found = {}
        for pid in _children(self._process.pid):
            words = _command(pid)
            for half in ("controller", "proxy"):
                if half in words or f"fairlead.{half}" in words:
                    found[half] = pid
        return found

    def kill(self, half: str) -> None:
        """SIGKILL for the controller or the proxy; returns when that process is gone."""
        pid = self.halves()[half]
        _kill(pid)
        eventually(f"the {half} is gone", lambda: self.halves().get(half) != pid)

    def wait_for_new(self, half: str, old: int, *, within: float = 10) -> int:
        """Waits until the supervisor has started this half again."""

        def look() -> int:
            pid = self.halves().get(half, old)
            return 0 if pid == old else pid

        return eventually(f"a new {half}", look, within=within)

    def ready(self) -> bool:
        """Whether /readyz answers 200."""
        return self.cluster.status(*self.health, "localhost", "/readyz") == 200

    def _checked_ready(self) -> bool:
        assert self._process is not None
        code = self._process.poll()
        if code is not None:
            raise RuntimeError(f"fairlead run ended with {code}:\n{self.tail()}")
        return self.ready()

    def metrics(self) -> list[tuple[str, str, float]]:
        """Every sample of /metrics as (name, labels as written, value)."""
        text = self.cluster.get(*self.health, "localhost", "/metrics").body
        return [(name, labels or "", float(value)) for name, labels, value in _SERIES.findall(text)]

    def metric(self, name: str) -> float:
        """One metric, summed over its labels; there has to be one."""
        values = [value for found, _, value in self.metrics() if found == name]
        assert values, f"no {name} in /metrics"
        return sum(values)

    def assert_nothing_in_flight(self) -> None:
        """Every gauge of requests in flight is 0 again. A last answer may still be on its way into them."""

        def look() -> bool:
            gauges = [sample for sample in self.metrics() if sample[0].endswith("_in_flight")]
            assert gauges, "no gauge of requests in flight in /metrics"
            above = [sample for sample in gauges if sample[2] != 0]
            assert not above, f"still in flight: {above}"
            return True

        eventually("all in-flight gauges are 0", look, within=5)

    def access_log(self) -> list[access_log.Line]:
        """A line for each request that is over. The last ones may still be on their way into the file."""
        return access_log.lines(self.log)

    def said(self, event: str) -> list[Object]:
        """The lines of the log, but for the access log, that tell of this event."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if event in line]
        return [said for said in map(json.loads, lines) if said.get("event") == event]

    def tail(self, lines: int = 40) -> str:
        """The end of the log, without the lines of the access log."""
        text = self.log.read_text(errors="replace").splitlines()
        return "\n".join([line for line in text if access_log.MARK not in line][-lines:])


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and _command(pid):
        time.sleep(0.005)


def _children(pid: int) -> list[int]:
    try:
        return [
            int(word)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for word in (task / "children").read_text().split()
        ]
    except FileNotFoundError:
        return []


def _command(pid: int) -> list[str]:
    """The words of a running process's command line; none for one that is gone or a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []
