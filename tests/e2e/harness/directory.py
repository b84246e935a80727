"""`fairlead run DIR` on loopback: a directory of manifests that the test writes, and the processes that follow it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.e2e.harness.waiting import eventually

__all__ = ["Directory"]

_IN_FLIGHT = re.compile(r"^(fairlead_(?:down|up)stream_\w+_in_flight)(?:\{.*\})? (\S+)$", re.MULTILINE)


class Directory:
    """One instance, started with these further arguments and variables; everything of it lives in `folder`."""

    def __init__(
        self,
        folder: Path,
        *,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = (sys.executable, "-m", "fairlead"),
    ) -> None:
        self._folder = folder
        self._program = program
        self._arguments = arguments
        self._manifests = folder / "manifests"
        self._manifests.mkdir()
        self._log = folder / "log"
        self._environment = os.environ | {
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "XDG_STATE_HOME": str(folder / "state"),
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, name: str, text: str) -> None:
        """Writes a manifest file as a careful editor does: whole, at once."""
        new = self._folder / "new"
        new.write_text(text)
        new.replace(self._manifests / name)

    def remove(self, name: str) -> None:
        """Removes a manifest file."""
        (self._manifests / name).unlink()

    def start(self) -> None:
        """Starts the processes and waits until the proxy is ready."""
        command = [*self._program, "run", str(self._manifests), "--drain-grace=0"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *self._arguments],
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        eventually("the proxy is ready", self._is_ready)

    def fairlead(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command that finds this instance."""
        return subprocess.run(
            [*self._program, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def address(self, gateway: str) -> str:
        """The Gateway's address, once it is programmed."""

        def look() -> str:
            done = self.fairlead("get", "gateways", gateway, "-o", "json")
            if done.returncode:
                return ""
            status = json.loads(done.stdout).get("status", {})
            programmed = any(
                one["type"] == "Programmed" and one["status"] == "True" for one in status["conditions"]
            )
            return str(status["addresses"][0]["value"]) if programmed else ""

        return eventually(f"Gateway {gateway} is programmed", look)

    def in_flight(self) -> dict[str, float]:
        """Each gauge of requests in flight, summed over its labels."""
        gauges: dict[str, float] = {}
        for name, value in _IN_FLIGHT.findall(self._health("/metrics")):
            gauges[name] = gauges.get(name, 0) + float(value)
        return gauges

    def stop(self) -> None:
        """Ends it at once; one that does not end is killed, and is a failure."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def tail(self, lines: int = 40) -> str:
        """The end of the log, without the lines of the access log."""
        text = self._log.read_text(errors="replace").splitlines()
        return "\n".join([line for line in text if '"response_flags"' not in line][-lines:])

    def _health(self, path: str) -> str:
        (ready,) = (self._folder / "run" / "fairlead").glob("*.ready.json")
        address = json.loads(ready.read_bytes())["health"]
        with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"fairlead run ended with {self._process.returncode}:\n{self.tail()}")
        try:
            return bool(self._health("/readyz"))
        except (OSError, ValueError):
            return False
