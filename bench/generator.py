"""The load generator's commands, and what it reports."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from bench.controller import HOST


class Latency(msgspec.Struct, frozen=True):
    """Microseconds, from the scheduled time where there is a schedule."""

    mean: float
    p50: float
    p90: float
    p99: float
    p99_9: float
    max: float


class Report(msgspec.Struct, frozen=True):
    """What one run has seen."""

    requests: int
    errors: int
    under_way: int
    waiting: int
    seconds: float
    rate: float
    latency_us: Latency
    p99_us_of_windows: list[float]
    """Of each quarter of a second, in their order."""
    wait_us: Latency
    """Between the time from which a request counts and its sending."""
    cpu_ns: list[int]
    """Of the processes asked for, in their order."""
    own_cpu_ns: int


class Load:
    """Runs the load generator."""

    def __init__(self, program: Path, prefix: Sequence[str] = ()) -> None:
        self.program = program
        self.prefix = list(prefix)

    def run(
        self,
        target: str,
        *,
        connections: int = 64,
        path: str = "/",
        rate: int = 0,
        seconds: float = 1.0,
        warm_up: float = 0.0,
        requests: int = 0,
        seed: int = 1,
        processes: Sequence[int] = (),
    ) -> Report:
        """One run; raises CalledProcessError where it fails."""
        options = {
            "connections": connections,
            "path": path,
            "rate": rate,
            "seconds": seconds,
            "warm-up": warm_up,
            "seed": seed,
            "host": HOST,
            "cpu": ",".join(map(str, processes)),
        } | ({"requests": requests} if requests else {})
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        command = [*self.prefix, str(self.program), "run", target, *words]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=seconds + warm_up + 60)
        return msgspec.json.decode(done.stdout, type=Report)

    @contextmanager
    def backend(self, address: str, ports: Sequence[int]) -> Iterator[int]:
        """A backend at these ports; gives its process id."""
        options = ["--address", address, "--ports", ",".join(map(str, ports))]
        with self._until_left("serve", *options) as pid:
            yield pid

    @contextmanager
    def holding(self, target: str, connections: int) -> Iterator[int]:
        """So many idle connections, each after one request."""
        with self._until_left("hold", target, "--connections", str(connections), "--host", HOST) as pid:
            yield pid

    @contextmanager
    def running(self, target: str, **options: Any) -> Iterator[Future[Report]]:
        """A run in the background, with the options of `run`; on leaving it is waited for."""
        with ThreadPoolExecutor(1) as thread:
            yield thread.submit(self.run, target, **options)

    @contextmanager
    def _until_left(self, *words: str) -> Iterator[int]:
        command = [*self.prefix, str(self.program), *words]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            # Its first line says that it is ready; an end without one is a failure that it has told on stderr.
            if not process.stdout.readline():
                raise RuntimeError(f"{' '.join(words)} failed")
            yield process.pid
        finally:
            process.terminate()
            process.communicate()
