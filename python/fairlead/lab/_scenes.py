"""The demo's scenes: what happens to the Pods while the load goes on.

A scene starts from a Deployment of `REPLICAS` even Pods and ends with one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum

import msgspec

from fairlead.lab._deployment import Deployment

REPLICAS = 4

Say = Callable[[str], None]


class Scene(StrEnum):
    """What to watch."""

    STEADY = "steady"
    SCALE = "scale"
    ROLLING_UPDATE = "rolling-update"
    SLOW_POD = "slow-pod"
    FAILING_POD = "failing-pod"


class Script(msgspec.Struct, frozen=True):
    """A scene's story: what it shows, and what it does in `seconds`."""

    shows: str
    play: Callable[[Deployment, float, Say], Awaitable[None]]


async def _steady(_: Deployment, seconds: float, say: Say) -> None:
    say(f"{REPLICAS} even Pods: every Pod gets the same share, from every connection")
    await asyncio.sleep(seconds)


async def _scale(pods: Deployment, seconds: float, say: Say) -> None:
    for replicas in (REPLICAS + 3, 2, REPLICAS):
        say(f"scale to {replicas} Pods")
        await pods.scale(replicas)
        await asyncio.sleep(seconds / 3)


async def _rolling_update(pods: Deployment, seconds: float, say: Say) -> None:
    say("rolling update: each Pod is replaced by a new one")
    await pods.roll(pause_s=max(0.2, seconds / REPLICAS - 0.5))


async def _slow_pod(pods: Deployment, seconds: float, say: Say) -> None:
    slow = pods.ready[0]
    say(f"{slow.name} takes 200 ms: its share falls until it is well again")
    await pods.command(slow, "/-/slow/200")
    await asyncio.sleep(seconds * 2 / 3)
    say(
        f"{slow.name} is well again: its share comes back as its latency average decays, within half a minute"
    )
    await pods.command(slow, "/-/slow/2")
    await asyncio.sleep(seconds / 3)


async def _failing_pod(pods: Deployment, seconds: float, say: Say) -> None:
    failing = pods.ready[-1]
    say(f"{failing.name} answers 500 at once: fast failures attract no traffic here")
    await pods.command(failing, "/-/fail/100")
    await asyncio.sleep(seconds * 2 / 3)
    say(f"{failing.name} is well again")
    await pods.command(failing, "/-/fail/0")
    await asyncio.sleep(seconds / 3)


SCENES: dict[Scene, Script] = {
    Scene.STEADY: Script("even shares", _steady),
    Scene.SCALE: Script("scale up and down", _scale),
    Scene.ROLLING_UPDATE: Script("a rolling update", _rolling_update),
    Scene.SLOW_POD: Script("a slow Pod", _slow_pod),
    Scene.FAILING_POD: Script("a Pod that fails fast", _failing_pod),
}
