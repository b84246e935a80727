"""Of all who work in slices one goes on at a time, and sockets and timers come between."""

import asyncio

from fairlead.base import Turns


async def test_two_workers_never_work_in_one_turn_of_the_loop() -> None:
    turns, worked = Turns(), list[tuple[str, int]]()
    turn = 0

    def count() -> None:
        nonlocal turn
        turn += 1
        asyncio.get_running_loop().call_soon(count)

    async def worker(name: str) -> None:
        for _ in range(5):
            await turns.next()
            worked.append((name, turn))

    asyncio.get_running_loop().call_soon(count)
    await asyncio.gather(*(worker(name) for name in "abc"))
    assert [name for name, _ in worked] == list("abcabcabcabcabc"), "first come, first served"
    assert len({at for _, at in worked}) == len(worked)


async def test_whoever_is_cancelled_while_waiting_costs_the_others_nothing() -> None:
    turns = Turns()
    waiting = [asyncio.create_task(turns.next()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[1].cancel()
    async with asyncio.timeout(5):
        await waiting[2]
        await turns.next()
