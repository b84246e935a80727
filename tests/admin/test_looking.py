"""Telemetry is asked for while somebody looks, and not otherwise."""

import asyncio

import msgspec

from fairlead.admin import Looking, TelemetryBook
from fairlead.admin._looking import LINGER_S, MOST_NAMED, PERIOD_MS
from fairlead.base import VirtualClock
from fairlead.snapshot import Subscribe, Telemetry
from tests.admin.rig import BACKEND, stats


class Rig:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.book = TelemetryBook()
        self.asked: list[int] = []
        self.backends: list[tuple[str, ...] | None] = []
        self.proxies = ["p"]
        self.looking = Looking(
            self.book, subscribe=self._subscribe, proxies=lambda: self.proxies, clock=self.clock
        )

    def _subscribe(self, subscribe: Subscribe) -> None:
        self.asked.append(subscribe.period_ms)
        self.backends.append(subscribe.backends)
        if subscribe.period_ms:
            for proxy in self.proxies:
                asyncio.get_running_loop().call_soon(self.tell, proxy)

    def tell(self, proxy: str) -> None:
        """What a proxy tells of all that it was asked for."""
        names = (self.backends[-1] if self.backends else None) or (BACKEND,)
        endpoints = tuple(msgspec.structs.replace(stats(1, 10), backend=name) for name in names)
        self.looking.measured(proxy, Telemetry(at_ms=0, endpoints=endpoints))


async def test_the_first_look_waits_for_the_first_numbers() -> None:
    rig = Rig()
    await rig.looking.look()
    assert rig.asked == [PERIOD_MS]
    assert rig.book.has(["p"])


async def test_further_looks_ask_for_nothing_new() -> None:
    rig = Rig()
    await rig.looking.look()
    await rig.looking.look()
    assert rig.asked == [PERIOD_MS]


async def test_a_look_without_proxies_does_not_wait() -> None:
    rig = Rig()
    rig.proxies = []
    await rig.looking.look()
    assert rig.asked == [PERIOD_MS]


async def test_the_subscription_ends_some_time_after_the_last_look() -> None:
    rig = Rig()
    await rig.looking.look()
    rig.clock.advance(LINGER_S / 2)
    rig.looking.tick()
    assert rig.asked == [PERIOD_MS]
    await rig.looking.look()
    rig.clock.advance(LINGER_S + 1)
    rig.looking.tick()
    assert rig.asked == [PERIOD_MS, 0]
    assert not rig.book.has(["p"])
    rig.tell("p")
    assert not rig.book.has(["p"]), "a late frame is not taken for news"
    await rig.looking.look()
    assert rig.asked == [PERIOD_MS, 0, PERIOD_MS]


async def test_only_what_is_looked_at_is_measured() -> None:
    rig = Rig()
    await rig.looking.look(frozenset({BACKEND}))
    assert rig.backends == [(BACKEND,)]
    await rig.looking.look(frozenset({BACKEND}))
    rig.clock.advance(LINGER_S / 2)
    await rig.looking.look(frozenset({BACKEND, "Service/default/api/80"}))
    assert rig.backends[1:] == [("Service/default/api/80", BACKEND)]
    rig.clock.advance(LINGER_S / 2 + 1)
    await rig.looking.look(frozenset({BACKEND}))
    rig.looking.tick()
    assert len(rig.backends) == 2, "somebody may look at both again"
    rig.clock.advance(LINGER_S / 2)
    rig.looking.tick()
    assert rig.backends[2:] == [(BACKEND,)]
    assert rig.book.knows(BACKEND), "what is still looked at keeps its samples"
    await rig.looking.look()
    assert rig.backends[3:] == [None]


async def test_of_very_many_backends_all_are_measured() -> None:
    rig = Rig()
    await rig.looking.look(frozenset(f"b{number}" for number in range(MOST_NAMED + 1)))
    assert rig.backends == [None]


async def test_rates_are_not_counted_from_before_the_subscription() -> None:
    rig = Rig()
    await rig.looking.look(frozenset({"Service/default/api/80"}))
    rig.clock.advance(5.0)
    await rig.looking.look(frozenset({BACKEND}))
    traffic = rig.book.backend(BACKEND)
    assert traffic is not None
    assert traffic.requests_per_second is None
    assert traffic.window_s == 0
