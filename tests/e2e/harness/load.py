"""The load client as a test sees it: a process that is started, stopped and asked what happened."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

import msgspec

from tests.e2e.harness.client import Plan, Record

ROOT = Path(__file__).resolve().parents[3]


class Result:
    """The records of a load, in the order in which the requests were due."""

    def __init__(self, records: list[Record]) -> None:
        self.records = records

    def where(self, keep: Callable[[Record], bool]) -> Result:
        """Only the records for which `keep` says yes."""
        return Result([record for record in self.records if keep(record)])

    @property
    def failed(self) -> list[Record]:
        """Every request that was not answered by a 200."""
        return [record for record in self.records if not record.ok]

    def per_pod(self) -> Counter[str]:
        """Answers by Pod."""
        return Counter(record.pod for record in self.records if record.ok)

    def skew(self, pods: Iterable[str]) -> tuple[float, int]:
        """(hottest/mean, number of idle Pods) over the given Pods."""
        counts = self.per_pod()
        shares = [counts[pod] for pod in pods]
        return max(shares) * len(shares) / max(1, sum(shares)), shares.count(0)

    @property
    def opened(self) -> int:
        """How many connections were opened; as many as the plan has where every one was kept alive."""
        return sum(record.opened for record in self.records)

    def slowest(self) -> float:
        """The longest latency in seconds, failures included; 0 for no records."""
        return max((record.latency for record in self.records), default=0.0)

    def describe(self, limit: int = 12) -> str:
        """A summary for a failing assertion: how many of what, and the first failures."""
        kinds = Counter(record.error or str(record.status) for record in self.records)
        start = self.records[0].due if self.records else 0.0
        spent = f"slowest {self.slowest() * 1000:.0f} ms; {self.opened} connections opened"
        lines = [f"{len(self.records)} requests: {dict(kinds)}; {spent}"]
        lines += [
            f"  at {record.due - start:.3f} s, connection {record.connection}, {record.host}: "
            f"{record.error or record.status} after {record.latency * 1000:.0f} ms"
            for record in self.failed[:limit]
        ]
        return "\n".join(lines)


class Load:
    """A running client. Use it as a context manager: leaving it ends the process."""

    def __init__(self, plan: Plan, prefix: list[str]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="fairlead-load-"))
        self._out = self._folder / "records"
        self._plan = plan
        self._process = subprocess.Popen(
            [
                *prefix,
                sys.executable,
                "-m",
                "tests.e2e.harness.client",
                msgspec.json.encode(plan).decode(),
                self._out,
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._started = self._process.stdout.readline().strip() == "started"

    def stop(self) -> Result:
        """Lets the requests under way end and returns all records."""
        self._process.terminate()
        return self.wait()

    def wait(self) -> Result:
        """Waits for the end of the plan and returns all records."""
        code = self._process.wait(timeout=self._plan.seconds + 2 * self._plan.timeout + 10)
        assert code == 0, f"the load client ended with {code}"
        assert self._started, "the load client never had an answer"
        return Result(msgspec.json.decode(self._out.read_bytes(), type=list[Record]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)
