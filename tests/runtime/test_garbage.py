"""What the controller lets the garbage collector do."""

import asyncio
import gc
from collections.abc import Iterator

import pytest

from fairlead.runtime import _garbage


class Node:
    """Refers to itself, so only the collector finds it."""

    found = 0

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        Node.found += 1


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    Node.found = 0
    _garbage.spare_the_old()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_much_that_is_alive_is_not_looked_through() -> None:
    kept = [[] for _ in range(100_000)]  # type: list[list[object]]
    pauses: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        pauses.append(info["generation"])

    gc.callbacks.append(note)
    kept += [[] for _ in range(100_000)]
    gc.callbacks.remove(note)
    assert set(pauses) <= {0, 1}
    before = gc.get_freeze_count()
    gc.collect(1)
    _garbage.tidy()
    assert gc.get_freeze_count() - before >= len(kept)


def test_a_little_old_garbage_is_collected_at_rest() -> None:
    nodes = [Node() for _ in range(10)]
    gc.collect(1)
    nodes.clear()
    gc.collect(1)
    assert Node.found == 0
    _garbage.tidy()
    assert Node.found == 10


async def test_the_young_are_collected_while_something_is_going_on() -> None:
    garbage = _garbage.Garbage(at_rest=lambda: False)
    running = asyncio.create_task(garbage.run())
    garbage.stir()
    Node()
    async with asyncio.timeout(10):
        while not Node.found:
            await asyncio.sleep(0)
    running.cancel()
