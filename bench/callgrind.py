"""User instructions and heap allocations per request, counted by callgrind: a busy machine changes neither.

Two runs of different length are counted; what connections and the rest cost cancels out in their difference.
"""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import msgspec

from bench.build import installed
from bench.generator import Load
from bench.proxies import Proxy, wait_until

FEW, MANY = 2_000, 12_000
_ALLOCATING = {"malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"}
_PATIENCE_S = 30.0


class Counted(msgspec.Struct, frozen=True):
    """Per saturated request."""

    instructions: float
    """In user space."""
    allocations: float
    """Calls of the C library's allocator."""


def prefix(folder: Path) -> list[str]:
    """The words before a command that make `count` work; the dumps go into the folder."""
    return [
        str(installed("valgrind") or "valgrind"),
        "--quiet",
        "--tool=callgrind",
        "--instr-atstart=no",
        "--dump-line=no",
        f"--callgrind-out-file={folder}/callgrind.out",
    ]


def count(proxy: Proxy, load: Load, folder: Path) -> Counted:
    """Of a proxy that runs under callgrind."""
    load.run(proxy.target, requests=FEW, seconds=60)
    _control(proxy, "--instr=on")
    found: list[tuple[int, int, int]] = []
    for requests in (FEW, MANY):
        _control(proxy, "--zero")
        report = load.run(proxy.target, requests=requests, seconds=120)
        _control(proxy, f"--dump={requests}")
        dump = _newest(folder, len(found) + 1)
        found.append((*totals(dump), report.requests))
    _control(proxy, "--instr=off")
    few, many = found
    requests = many[2] - few[2]
    return Counted(
        instructions=(many[0] - few[0]) / requests,
        # A few of the program's life may fall into either run.
        allocations=max(0, many[1] - few[1]) / requests,
    )


def totals(dump: str) -> tuple[int, int]:
    """(instructions, calls of the allocator) in the text of a dump.

    The format tells a name once as `(number) name` and later as `(number)`; a line `cfn=` names who is called and the
    line `calls=` after it how often.
    """
    found = re.search(r"^(?:summary|totals): (\d+)", dump, re.MULTILINE)
    if found is None:
        raise ValueError("a dump of callgrind without a total")
    allocating: set[str] = set()
    allocations, called = 0, ""
    for line in dump.splitlines():
        kind, _, value = line.partition("=")
        if kind in {"fn", "cfn"}:
            called, _, name = value.partition(" ")
            if name in _ALLOCATING:
                allocating.add(called)
        elif kind == "calls" and called in allocating:
            allocations += int(value.split()[0])
    return int(found[1]), allocations


def _control(proxy: Proxy, word: str) -> None:
    command = [str(installed("callgrind_control") or "callgrind_control"), word, str(proxy.pid)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def _newest(folder: Path, dumps: int) -> str:
    """The text of the latest of so many dumps, once it is whole."""
    wait_until("a dump of callgrind", lambda: len(list(folder.glob("callgrind.out.*"))) >= dumps)
    newest = max(folder.glob("callgrind.out.*"), key=lambda path: path.stat().st_mtime_ns)
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        text = newest.read_text()
        if re.search(r"^(?:summary|totals): ", text, re.MULTILINE):
            return text
        time.sleep(0.05)
    raise TimeoutError(f"{newest} has no total")
