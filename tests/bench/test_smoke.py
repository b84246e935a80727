"""A round of the benchmark from its beginning to the page; how fast anything was is not judged."""

import random
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench import build, cases, control
from bench.figures import rows
from bench.generator import Load
from bench.measure import Bench
from bench.proxies import BareFairlead, Direct, HAProxy, Nginx, Proxy
from bench.report import markdown
from bench.results import Measured, Results

pytestmark = pytest.mark.process

PEERS: dict[str, type[Proxy]] = {"nginx": Nginx, "haproxy": HAProxy}


def test_a_short_round_ends_in_a_page(
    load: Load, program: Path, free_ports: Callable[[int], list[int]], tmp_path: Path
) -> None:
    kinds: list[tuple[type[Proxy], Path]] = [(BareFairlead, program)]
    # Those that the machine has; a test installs none.
    had = {kind: build.installed(name) for name, kind in PEERS.items()}
    kinds += [(kind, path) for kind, path in had.items() if path is not None]
    ports, backends = free_ports(len(kinds)), free_ports(4)
    servers = [("127.0.0.1", port) for port in backends]
    measured = []
    with load.backend("127.0.0.1", backends) as backend, ExitStack() as stack:
        proxies: list[Proxy] = [Direct(Path(), tmp_path, 0, servers)]
        for port, (kind, path) in zip(ports, kinds, strict=True):
            proxy = kind(path, tmp_path, port, servers)
            stack.callback(proxy.stop)
            proxy.start()
            proxies.append(proxy)
        bench = Bench(load, backend, random.Random(1))
        for name in ("100 B, 64 connections, saturated", "100 B, open loop, 5,000/s"):
            (case,) = (each for each in cases.CASES if each.name == name)
            taken = [bench.round(case, proxies, slice_s=(0.1, 0.2), retries=1)]
            measured.append(Measured(case, taken, rows(taken, BareFairlead.name)))

    for each in measured:
        assert {row.proxy for row in each.rows} == {proxy.name for proxy in proxies}
        for row in each.rows:
            assert (row.errors, row.rate > 0, row.p50_us <= row.p99_us.median) == (0, True, True)
            assert (row.cpu_us.median > 0) is (row.proxy != Direct.name)
    text = markdown(Results(machine="", date="", load_average="", versions={}, missing=[], cases=measured))
    assert text.count("| Fairlead |") == len(measured)


def test_the_controller_s_part_ends_in_a_page() -> None:
    found = control.measure(routes=100, endpoints=200, runs=1)
    assert found.taken_in.endpoints == 20_000
    assert found.taken_in.decode_ms.best > 0
    assert found.taken_in.store_ms.best > 0
    assert found.taken_in.kept_mb > 1
    assert (found.lanes.routes, found.lanes.endpoints) == (100, 200)
    assert len({scene.name for scene in found.lanes.scenes}) == 4
    for scene in found.lanes.scenes:
        assert scene.computing_ms.p50 <= scene.computing_ms.p99 <= scene.computing_ms.longest
        assert scene.holds_ms["loop"][1] > 0
    assert found.lanes.scenes[0].changes > 0
    text = markdown(Results(machine="", date="", load_average="", versions={}, missing=[], control=found))
    assert "| a Listener is renamed |" in text
