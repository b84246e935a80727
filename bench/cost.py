"""Costs that a busy machine does not change: memory and system calls."""

from __future__ import annotations

import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.build import installed
from bench.generator import Load
from bench.proxies import Proxy, wait_until

CONNECTIONS = 4_000
_FEW, _MANY = 2_000, 12_000
"""Two runs of different length: what connections and the rest cost cancels out in the difference."""
_LATER_PATH = "/later"
"""Answered by the backend seconds later."""
_BACKEND_AT_REST = 50
"""Descriptors that the backend has open without connections, at most."""


def allow_files(count: int = 20_000) -> int:
    """Lets this process and those that it starts open more files; gives how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = min(count, hard) if hard != resource.RLIM_INFINITY else count
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


def idle_connection_bytes(proxy: Proxy, load: Load, connections: int = CONNECTIONS) -> float:
    """User memory per idle kept-alive client connection of a fresh proxy: the growth of the proportional set size.

    A quarter of the connections is there before: with them everything has been used once. No burst of requests comes
    first, since what that took and gives back later would count as well.
    """
    first = connections // 4
    with load.holding(proxy.target, first):
        before = _pss(proxy)
        with load.holding(proxy.target, connections - first):
            return (_pss(proxy) - before) / (connections - first)


def busy_connection_bytes(
    proxy: Proxy, load: Load, backend: int, connections: int = CONNECTIONS
) -> float | None:
    """User memory per client connection of a fresh proxy, the only one, whose request waits for its backend.

    The connection to the backend is in it. None where the requests were not all under way at once, or not all were
    answered.
    """

    def taken() -> int:
        return len(list(Path(f"/proc/{backend}/fd").iterdir()))

    wait_until("the end of earlier connections to the backend", lambda: taken() < _BACKEND_AT_REST)
    load.run(proxy.target, requests=_FEW, seconds=10)
    before = _pss(proxy)
    with load.running(
        proxy.target, path=_LATER_PATH, connections=connections, requests=connections, seconds=20
    ) as under_way:
        try:
            wait_until("the backend to have all requests", lambda: taken() >= connections)
        except TimeoutError:
            return None
        # The last of them are on their way.
        time.sleep(0.5)
        during, in_time = _pss(proxy), not under_way.done()
        report = under_way.result()
    if report.errors or report.requests < connections or not in_time:
        print(f"{proxy.name}: {report.errors} errors with {connections} requests at once", file=sys.stderr)
        return None
    return (during - before) / connections


def _pss(proxy: Proxy) -> int:
    total = 0
    for process in proxy.processes():
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
        found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
        assert found is not None
        total += int(found[1]) * 1024
    return total


def system_calls(proxy: Proxy, load: Load) -> dict[str, float] | None:
    """System calls per saturated request by name, most first; None where strace is missing or may not trace."""
    strace = installed("strace")
    if strace is None:
        return None
    load.run(proxy.target, requests=_FEW, seconds=10)
    counted = []
    for requests in (_FEW, _MANY):
        calls = _counted(strace, proxy, load, requests)
        if calls is None:
            return None
        counted.append(calls)
    few, many = counted
    difference = many[1] - few[1]
    per_request = {name: (count - few[0].get(name, 0)) / difference for name, count in many[0].items()}
    return dict(sorted(per_request.items(), key=lambda each: -each[1]))


def _counted(program: Path, proxy: Proxy, load: Load, requests: int) -> tuple[dict[str, int], int] | None:
    with tempfile.NamedTemporaryFile("r", suffix=".strace") as output:
        traced = [word for process in proxy.processes() for word in ("-p", str(process))]
        command = [str(program), "-c", "-f", "-U", "calls,name", "-o", output.name, *traced]
        strace = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            assert strace.stderr is not None
            # It says so once it has attached, or why it cannot.
            if "attached" not in strace.stderr.readline():
                return None
            report = load.run(proxy.target, requests=requests, seconds=60)
        finally:
            strace.send_signal(signal.SIGINT)
            strace.communicate(timeout=30)
        lines = [re.fullmatch(r"\s*(\d+)\s+(\w+)\s*", line) for line in output]
        # Connections, time and wake-ups of other threads are in both runs.
        return {found[2]: int(found[1]) for found in lines if found and found[2] != "total"}, report.requests
