"""Ratios come from pairs, and the better peer is the one that is harder to beat."""

import csv
from pathlib import Path

import pytest

from bench.cases import CASES, servers
from bench.figures import Slice, better_peer, rows, spread
from bench.report import Results, markdown, write


def slice_(cpu_us: float, errors: int = 0) -> Slice:
    return Slice(cpu_us=cpu_us, rate=1e6 / cpu_us, p50_us=100, p99_us=300, errors=errors, foreign=0)


# The machine is twice as slow in the second round, and half again in the third.
ROUNDS = [
    {"Fairlead": slice_(10 * speed), "nginx": slice_(16 * speed), "HAProxy": slice_(20 * speed, errors=1)}
    for speed in (1, 2, 1.5)
]


def test_the_ratio_does_not_see_how_fast_the_machine_is() -> None:
    fairlead, haproxy, nginx = rows(ROUNDS, "Fairlead")
    assert (fairlead.proxy, fairlead.ratio) == ("Fairlead", None)
    assert nginx.ratio is not None
    assert haproxy.ratio is not None
    assert (nginx.ratio.low, nginx.ratio.median, nginx.ratio.high) == pytest.approx((0.625,) * 3)
    assert haproxy.ratio.median == pytest.approx(0.5)
    assert (fairlead.cpu_us.median, haproxy.errors, nginx.rounds) == (15, 3, 3)


def test_the_better_peer_is_the_one_with_the_higher_ratio() -> None:
    found = rows(ROUNDS, "Fairlead")
    peer = better_peer(found)
    assert peer is not None
    assert peer.proxy == "nginx"
    assert better_peer(found[:1]) is None


def test_a_spread_is_the_median_with_its_quartiles() -> None:
    assert spread([7.0]).low == 7.0
    found = spread([1.0, 2.0, 3.0, 4.0, 100.0])
    assert (found.low, found.median, found.high) == (2.0, 3.0, 4.0)


def test_servers_are_all_different() -> None:
    for count in (1, 4, 4_000):
        found = servers(count)
        assert len(set(found)) == count
        assert all(1 <= int(part) <= 250 for host, _ in found for part in host.split(".")[3:])


def test_a_report_holds_every_case_and_what_is_missing(tmp_path: Path) -> None:
    results = Results(
        machine="2 cores",
        versions={"nginx": "1.22"},
        missing=["HAProxy"],
        cases=[(case, rows(ROUNDS, "Fairlead")) for case in CASES],
        costs=[],
        change=None,
    )
    text = markdown(results)
    assert "HAProxy: not measured" in text
    for case in CASES:
        assert text.count(f"| {case.name} |") == 4
    assert text.count("not reached") == sum(case.target < 0.625 for case in CASES)
    write(results, tmp_path)
    table = list(csv.DictReader((tmp_path / "figures.csv").read_text().splitlines()))
    assert len(table) == 3 * len(CASES)
    assert (table[0]["proxy"], table[0]["ratio"], table[1]["ratio"]) == ("Fairlead", "", "0.500")
    for plot in ("cpu.svg", "p99.svg"):
        picture = (tmp_path / plot).read_text()
        assert picture.count("<rect") == 1 + 3 + 3 * len(CASES)
