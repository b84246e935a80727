"""What a saturated request may cost, counted and not timed: a busy machine changes none of it.

Memory allocations are held in `crates/proxy/tests/lean`. The figures come from two runs of different length against a
real proxy with one worker; their difference is what requests alone cost.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from bench import callgrind, cost
from bench.cases import IDLE_BYTES_MAX, INSTRUCTIONS_MAX, SYSTEM_CALLS_MAX
from bench.generator import Load
from bench.proxies import BareFairlead
from tests.programs import program as debian_program

pytestmark = pytest.mark.process


Started = Callable[[list[str]], AbstractContextManager[BareFairlead]]


@pytest.fixture
def proxy_behind(
    load: Load, program: Path, free_ports: Callable[[int], list[int]], tmp_path: Path
) -> Started:
    """Starts a proxy, behind these words, in front of a backend."""

    @contextmanager
    def start(prefix: list[str]) -> Iterator[BareFairlead]:
        port, *backends = free_ports(5)
        servers = [("127.0.0.1", each) for each in backends]
        with load.backend("127.0.0.1", backends):
            proxy = BareFairlead(program, tmp_path, port, servers, prefix)
            try:
                proxy.start()
                yield proxy
            finally:
                proxy.stop()

    return start


def test_a_request_takes_two_reads_and_two_writes(load: Load, proxy_behind: Started) -> None:
    debian_program("strace")
    counts = []
    # How requests and answers fall into turns is chance, and a connection that is taken in the turn in which it was
    # given back costs a look: of three runs one may have had more of them.
    for _ in range(3):
        with proxy_behind([]) as proxy:
            calls = cost.system_calls(proxy, load)
        if calls is None:
            pytest.skip("strace may not trace here: it needs root or kernel.yama.ptrace_scope=0")
        counts.append(calls)
        if sum(map(lean, counts)) == 2:
            return
    pytest.fail(f"more than two reads and two writes, or {SYSTEM_CALLS_MAX} calls, in most runs: {counts}")


def lean(calls: Mapping[str, float]) -> bool:
    """Whether these are two reads, two writes and little else per request."""
    reads = sum(count for name, count in calls.items() if name.startswith(("read", "recv")))
    writes = sum(count for name, count in calls.items() if name.startswith(("write", "send")))
    return max(reads, writes) <= 2.1 and sum(calls.values()) <= SYSTEM_CALLS_MAX


def test_a_request_takes_few_instructions(load: Load, proxy_behind: Started, tmp_path: Path) -> None:
    debian_program("valgrind")
    with proxy_behind(callgrind.prefix(tmp_path)) as proxy:
        found = callgrind.count(proxy, load, tmp_path)
    assert found.instructions <= INSTRUCTIONS_MAX


def test_an_idle_connection_holds_no_buffer(load: Load, proxy_behind: Started) -> None:
    connections = min(cost.CONNECTIONS, cost.allow_files() - 100)
    with proxy_behind([]) as proxy:
        count = cost.idle_connection_bytes(proxy, load, connections)
    assert count <= IDLE_BYTES_MAX
