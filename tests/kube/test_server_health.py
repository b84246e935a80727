"""One probe for all while connecting fails; virtual time by a patched sleep."""

import asyncio
from random import Random

import pytest

from fairlead.base import VirtualClock
from fairlead.kube import HealthSettings, ServerHealth, Unreachable
from fairlead.kube._health import Outage


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    made = VirtualClock()
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        made.advance(seconds)
        await real(0)

    monkeypatch.setattr("fairlead.kube._health.asyncio.sleep", sleep)
    return made


class Server:
    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.probes: list[float] = []
        self.up_at = float("inf")
        self.ready_at = float("inf")

    async def probe(self) -> bool:
        now = self.clock.monotonic()
        self.probes.append(now)
        if now < self.up_at:
            raise Unreachable("refused")
        return now >= self.ready_at


async def test_in_health_nobody_probes(clock: VirtualClock) -> None:
    server = Server(clock)
    health = ServerHealth(server.probe, random=Random(1), clock=clock)
    await health.wait()
    assert server.probes == []
    assert not health.down


async def test_eight_reflectors_share_one_probe_and_all_wake(clock: VirtualClock) -> None:
    server = Server(clock)
    server.up_at = server.ready_at = clock.monotonic() + 20
    health = ServerHealth(server.probe, random=Random(1), clock=clock)
    health.unreachable()
    await asyncio.gather(*(health.wait() for _ in range(8)))
    gaps = [b - a for a, b in zip(server.probes, server.probes[1:], strict=False)]
    assert all(0.5 <= gap <= 1.0 for gap in gaps)
    assert 20 <= len(server.probes) <= 41
    assert clock.monotonic() - server.up_at <= 1.0 + 8 * 0.1
    assert not health.down


async def test_a_server_that_starts_is_waited_for_until_it_is_ready(clock: VirtualClock) -> None:
    server = Server(clock)
    server.up_at = clock.monotonic() + 5
    server.ready_at = server.up_at + 4
    health = ServerHealth(server.probe, random=Random(1), clock=clock)
    health.unreachable()
    await health.wait()
    assert server.ready_at <= clock.monotonic() <= server.ready_at + 0.3 + 0.1


async def test_a_server_that_answers_and_never_gets_ready_is_tried_all_the_same(clock: VirtualClock) -> None:
    server = Server(clock)
    server.up_at = clock.monotonic() + 5
    health = ServerHealth(server.probe, random=Random(1), clock=clock)
    health.unreachable()
    await health.wait()
    assert 15 <= clock.monotonic() - server.up_at <= 18


async def test_the_end_of_an_outage_is_told_to_those_who_wait_for_something_else(clock: VirtualClock) -> None:
    server = Server(clock)
    server.up_at = server.ready_at = clock.monotonic() + 3
    health = ServerHealth(server.probe, random=Random(1), clock=clock)
    health.unreachable()
    told = asyncio.create_task(health.recovery())
    await asyncio.sleep(0)
    assert not told.done()
    await health.wait()
    await told
    later = asyncio.create_task(health.recovery())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not later.done(), "each outage is told once"
    later.cancel()
    await asyncio.wait([later])


async def test_when_the_one_who_probes_is_cancelled_the_next_takes_over(clock: VirtualClock) -> None:
    server = Server(clock)
    server.up_at = server.ready_at = clock.monotonic() + 20
    health = ServerHealth(server.probe, random=Random(1), clock=clock)
    health.unreachable()
    first = asyncio.create_task(health.wait())
    second = asyncio.create_task(health.wait())
    for _ in range(5):
        await asyncio.sleep(0)
    first.cancel()
    await second
    assert not health.down
    assert first.cancelled()


def test_answers_that_stop_begin_the_starting_time_anew() -> None:
    outage = Outage(HealthSettings(), Random(1))
    assert not outage.is_over(False, 0)
    assert not outage.is_over(None, 10)
    assert not outage.is_over(False, 14)
    assert not outage.is_over(False, 16)
    assert outage.is_over(False, 29)
