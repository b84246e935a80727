"""Ratios come from pairs, and the better peer is the one that is harder to beat."""

import pytest

from bench.cases import servers
from bench.figures import Slice, hardest, rows, spread


def slice_(cpu_us: float, *, p99_us: float = 300, errors: int = 0) -> Slice:
    return Slice(
        cpu_us=cpu_us,
        busy=0.9,
        rate=5_000,
        p50_us=100,
        p99_us=p99_us,
        p99_9_us=2 * p99_us,
        wait_p99_us=20,
        errors=errors,
        foreign=0,
    )


# The machine is twice as slow in the second round, and half again in the third.
ROUNDS = [
    {
        "Fairlead": slice_(10 * speed, p99_us=200 * speed),
        "nginx": slice_(16 * speed, p99_us=400 * speed),
        "HAProxy": slice_(20 * speed, p99_us=250 * speed, errors=1),
        "no proxy": slice_(0, p99_us=50 * speed),
    }
    for speed in (1, 2, 1.5)
]


def test_the_ratio_does_not_see_how_fast_the_machine_is() -> None:
    fairlead, haproxy, nginx, _ = rows(ROUNDS, "Fairlead")
    assert (fairlead.proxy, fairlead.ratio, fairlead.p99_ratio) == ("Fairlead", None, None)
    assert nginx.ratio is not None
    assert haproxy.ratio is not None
    assert (nginx.ratio.low, nginx.ratio.median, nginx.ratio.high) == pytest.approx((0.625,) * 3)
    assert haproxy.ratio.median == pytest.approx(0.5)
    assert nginx.p99_ratio is not None
    assert nginx.p99_ratio.median == pytest.approx(0.5)
    assert (fairlead.cpu_us.median, haproxy.errors, nginx.rounds) == (15, 3, 3)


def test_the_ratio_is_of_pairs_and_not_of_medians() -> None:
    # The medians are equal (20 and 20), yet within each round Fairlead takes half, the same, and a quarter more.
    rounds = [
        {"Fairlead": slice_(mine), "nginx": slice_(theirs)} for mine, theirs in ((10, 20), (20, 20), (50, 40))
    ]
    found = rows(rounds, "Fairlead")[1].ratio
    assert found is not None
    assert (found.low, found.median, found.high) == pytest.approx((0.75, 1.0, 1.125))


def test_where_there_is_no_proxy_there_is_no_ratio() -> None:
    direct = rows(ROUNDS, "Fairlead")[-1]
    assert (direct.proxy, direct.ratio, direct.p99_ratio, direct.p99_us.median) == (
        "no proxy",
        None,
        None,
        75,
    )


def test_the_better_peer_is_the_one_with_the_higher_ratio() -> None:
    found = rows(ROUNDS, "Fairlead")
    cpu, p99 = hardest(found, lambda row: row.ratio), hardest(found, lambda row: row.p99_ratio)
    assert cpu is not None
    assert p99 is not None
    assert (cpu[0], p99[0]) == ("nginx", "HAProxy")
    assert p99[1].median == pytest.approx(0.8)
    assert hardest(found[:1], lambda row: row.ratio) is None


def test_a_spread_is_the_median_with_its_quartiles() -> None:
    assert spread([7.0]).low == 7.0
    found = spread([1.0, 2.0, 3.0, 4.0, 100.0])
    assert (found.low, found.median, found.high) == (2.0, 3.0, 4.0)


def test_servers_are_all_different() -> None:
    for count in (1, 4, 4_000):
        found = servers(count)
        assert len(set(found)) == count
        assert all(1 <= int(part) <= 250 for host, _ in found for part in host.split(".")[3:])
