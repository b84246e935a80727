"""How busy the machine was, as a program sees it that wants nothing: for how long a process was kept from a core.

Every process of a peer waits as long before it can follow an event, whatever its own work costs. So a worst lag
says little without this figure beside it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from types import TracebackType
from typing import Self

NAP_S = 0.001


class Sleeper:
    """A process that sleeps for 1 ms at a time, at the priority of everybody; use it as a context manager."""

    longest_ms: float = 0.0
    """The longest that it had to wait for a core, known after the end."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.cluster.pauses"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        said, _ = self._process.communicate(timeout=10)
        self.longest_ms = float(said)


def sleep_until_told() -> float:
    """Naps until standard input ends; the longest nap beyond its time, in milliseconds."""
    os.set_blocking(sys.stdin.fileno(), False)
    longest = 0.0
    while True:
        begun = time.monotonic()
        time.sleep(NAP_S)
        longest = max(longest, time.monotonic() - begun - NAP_S)
        try:
            if not os.read(sys.stdin.fileno(), 1):
                return longest * 1000
        except BlockingIOError:
            continue


if __name__ == "__main__":
    print("napping", flush=True)
    print(sleep_until_told())
