"""Telemetry is asked for while somebody looks, and not otherwise."""

import asyncio

from fairlead.admin import Looking, TelemetryBook
from fairlead.admin._looking import LINGER_S, PERIOD_MS
from fairlead.base import VirtualClock
from fairlead.snapshot import Subscribe, Telemetry
from tests.admin.rig import stats


class Rig:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.book = TelemetryBook()
        self.asked: list[int] = []
        self.proxies = ["p"]
        self.looking = Looking(
            self.book, subscribe=self._subscribe, proxies=lambda: self.proxies, clock=self.clock
        )

    def _subscribe(self, subscribe: Subscribe) -> None:
        self.asked.append(subscribe.period_ms)
        if subscribe.period_ms:
            for proxy in self.proxies:
                asyncio.get_running_loop().call_soon(self.tell, proxy)

    def tell(self, proxy: str) -> None:
        self.looking.measured(proxy, Telemetry(at_ms=0, endpoints=(stats(1, 10),)))


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
