"""`fairlead demo`: real Pods as local processes, a real gateway in front, and a client that counts."""

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from fairlead import api
from fairlead.lab._deployment import Deployment
from fairlead.lab._instance import DemoInstance, DemoStartError
from fairlead.lab._load import Load, Tally
from fairlead.lab._manifests import GATEWAY_PORT, HOST, SERVICE, write_manifests
from fairlead.lab._scenes import REPLICAS, SCENES, Scene
from fairlead.lab._table import Screen, endpoint_lines, hints, tally_line

RATE = 200.0
FIRST_ANSWER_S = 15.0
_DRAW_S = 0.5


class Demo:
    """One run of the demo."""

    def __init__(self, scenes: Sequence[Scene], seconds: float) -> None:
        self._scenes = scenes
        self._seconds = seconds
        self._said: list[str] = []
        self._live = sys.stdout.isatty()
        self._screen = Screen()

    async def run(self) -> int:
        """Plays the scenes; 0 when no request was lost."""
        with tempfile.TemporaryDirectory(prefix="fairlead-demo-") as home:
            manifests = write_manifests(Path(home, "manifests"))
            pods, instance = Deployment(SERVICE, manifests), DemoInstance(manifests, Path(home))
            try:
                await asyncio.gather(pods.scale(REPLICAS), instance.start())
                address = await instance.address("demo")
                return await self._play(pods, instance, address, home)
            finally:
                await pods.close()
                await instance.stop()

    async def _play(self, pods: Deployment, instance: DemoInstance, address: str, home: str) -> int:
        load = Load(address, GATEWAY_PORT, host=HOST, rate=RATE)
        tries = hints(address, GATEWAY_PORT, HOST, home)
        if not self._live:
            print("\n".join(tries))  # noqa: T201 - the demo speaks to people
        await self._first_answer(instance, address)
        drawing = asyncio.create_task(self._draw(instance, load, tries), name="table")
        loading = asyncio.create_task(load.run(len(self._scenes) * self._seconds + 0.5), name="load")
        try:
            for scene in self._scenes:
                started = time.monotonic()
                await SCENES[scene].play(pods, self._seconds, self._say)
                await asyncio.sleep(max(0.0, self._seconds - (time.monotonic() - started)))
            await loading
            endpoints = await instance.list(api.Endpoint, api.Collection.ENDPOINTS)
        finally:
            loading.cancel()
            drawing.cancel()
            with suppress(asyncio.CancelledError):
                await drawing
        tally = load.tally
        report = [*endpoint_lines(endpoints), tally_line(tally)]
        report += [f"  lost: {count} x {what}" for what, count in tally.lost.most_common()]
        report += [f"  {count} x {what}" for what, count in tally.errors.most_common(3)]
        print("\n".join(report))  # noqa: T201 - the demo speaks to people
        return 1 if tally.lost or not tally.answered else 0

    async def _first_answer(self, instance: DemoInstance, address: str) -> None:
        # Programmed says that the configuration is adopted; the endpoints may still be on their way.
        tally = Tally()
        try:
            async with asyncio.timeout(FIRST_ANSWER_S):
                while not tally.answered:
                    probe = Load(address, GATEWAY_PORT, host=HOST, rate=100.0, connections=1)
                    await probe.run(0.01)
                    tally = probe.tally
                    await asyncio.sleep(0.05)
        except TimeoutError:
            seen = ", ".join([*tally.lost, *tally.errors]) or "nothing"
            raise DemoStartError(
                f"the gateway at {address}:{GATEWAY_PORT} does not lead to the Pods: {seen}",
                hint=instance.last_words(),
            ) from None

    def _say(self, text: str) -> None:
        self._said.append(text)
        if not self._live:
            print(text, flush=True)  # noqa: T201 - the demo speaks to people

    async def _draw(self, instance: DemoInstance, load: Load, tries: list[str]) -> None:
        # The instance measures over windows while somebody looks, so look even where nothing is drawn.
        while True:
            endpoints = await instance.list(api.Endpoint, api.Collection.ENDPOINTS)
            if self._live:
                saying = self._said[-1] if self._said else ""
                self._screen.draw(
                    [f"▶ {saying}", "", *endpoint_lines(endpoints), "", tally_line(load.tally), "", *tries]
                )
            await asyncio.sleep(_DRAW_S)


def play(scenes: Sequence[Scene], seconds: float) -> int:
    """Plays the scenes, `seconds` each. Returns the exit code: 1 when a request was lost."""
    try:
        return asyncio.run(Demo(scenes, seconds).run())
    except KeyboardInterrupt:
        return 130
