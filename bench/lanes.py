"""How long the controller's loop is held, and how long an endpoint change waits, while all Routes change.

Method: a whole Controller (lanes, translation with the proxy's own validation, Store, control stream, status, admin
API) in this process, with a source that tells it ROUTES HTTPRoutes, each with a Service of its own and
ENDPOINTS / ROUTES ready Pods, and one proxy in a process of its own that reads every frame and acks. Scenes, one
after the other: a Listener is renamed, so that every Route changes; the proxy connects anew and knows nothing; the
Gateway is removed with all that hangs on it; it comes back. Every EVERY_MS an endpoint of some Service changes.

A hold is what the loop does between two looks at its sockets and timers: one callback. The table gives the longest
of each kind: `loop` is any callback, the others are parts of callbacks, `collector` a pause for garbage. An endpoint
change waits from when it is due until its Delta has been published; its computing time counts from the start of
the callback that was running when it was due. Computing is this thread's processor time: unlike wall time it
leaves out what other processes took.

    python -m bench.lanes [--routes 10000] [--endpoints 20000] [--every-ms 7]
"""

# ruff: noqa: SLF001, ASYNC110 - it looks into a running controller, from outside of its tasks

import argparse
import asyncio
import gc
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.control import ENDPOINTS, ROUTES, Lanes, Scene, Waits
from bench.translate import endpoint, gateway, percentile, slice_, universe
from fairlead.base import SystemClock, configure_logging
from fairlead.resources import Kind, kind_of
from fairlead.runtime._controller import Controller
from fairlead.runtime._sources import Attached
from fairlead.runtime._validation import core_validate
from fairlead.runtime.instance import Settings, instance_paths
from fairlead.snapshot import SCHEMA, Ack, Hello, Position, encode_frame
from fairlead.sources import Change, Removed, Sink, Synced, Upserted
from fairlead.status import StatusKeeper
from fairlead.stream import Session, Store, StreamServer
from fairlead.translate import Delta, Translator

LENGTH = struct.Struct(">I")
PARTS: tuple[tuple[type, str], ...] = (
    (Translator, "apply"),
    (Translator, "endpoints_lane"),
    (Translator, "configuration_lane"),
    (Controller, "_publish"),
    (Store, "commit"),
    (StatusKeeper, "update"),
    (Session, "poll"),
    (Session, "receive"),
    (StatusKeeper, "acked"),
    (StatusKeeper, "take_changed"),
)


class Longest:
    """The longest of each kind of hold, in seconds: wall, computing."""

    def __init__(self) -> None:
        self.kinds: dict[str, tuple[float, float]] = {}

    def note(self, kind: str, wall: float, cpu: float) -> None:
        before = self.kinds.get(kind, (0.0, 0.0))
        self.kinds[kind] = max(before[0], wall), max(before[1], cpu)

    def timed(self, kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **keywords: Any) -> Any:
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                return function(*args, **keywords)
            finally:
                self.note(kind, time.perf_counter() - wall, time.thread_time() - cpu)

        return call


class Callbacks:
    """Every callback of the loop: when it started."""

    def __init__(self, longest: Longest) -> None:
        self.walls: list[float] = []
        self.cpus: list[float] = []
        run = asyncio.Handle._run

        def timed(handle: asyncio.Handle) -> None:
            wall, cpu = time.monotonic(), time.thread_time()
            self.walls.append(wall)
            self.cpus.append(cpu)
            run(handle)
            longest.note("loop", time.monotonic() - wall, time.thread_time() - cpu)

        asyncio.Handle._run = timed  # type: ignore[method-assign, assignment]

    def computed_at(self, wall: float) -> float:
        """The processor time at the start of the callback that ran at `wall`, or ran last before."""
        return self.cpus[max(0, bisect_right(self.walls, wall) - 1)]


class Script:
    """The source: tells what the scenes say."""

    def __init__(self) -> None:
        self.sink: Sink | None = None

    async def run(self, sink: Sink) -> None:
        self.sink = sink
        await asyncio.get_running_loop().create_future()

    def tell(self, *changes: Change) -> None:
        assert self.sink is not None
        self.sink(changes)


class Changes:
    """Endpoint changes on a timer, and what each waited."""

    def __init__(self, script: Script, callbacks: Callbacks, every_s: float, routes: int, each: int) -> None:
        self._script = script
        self._callbacks = callbacks
        self._every_s = every_s
        self._routes = routes
        self._each = each
        self._number = 0
        self._due: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.waits: list[tuple[float, float]] = []

    def start(self) -> None:
        self.waits.clear()
        self._due.clear()
        self._next(asyncio.get_running_loop().time())

    def stop(self) -> None:
        assert self._timer is not None
        self._timer.cancel()

    def published(self, delta: Delta) -> None:
        for item in delta.endpoints:
            due = self._due.pop(item.name, None)
            if due is not None:
                wait = time.monotonic() - due, time.thread_time() - self._callbacks.computed_at(due)
                self.waits.append(wait)

    def _next(self, after: float) -> None:
        loop = asyncio.get_running_loop()
        due = max(after + self._every_s, loop.time())
        self._timer = loop.call_at(due, self._change, due)

    def _change(self, due: float) -> None:
        self._number += 1
        target = self._number * 7919 % self._routes
        first = target * self._each
        changed = slice_(
            f"s{target}", 0, [endpoint(first + index, self._number) for index in range(self._each)]
        )
        self._due[f"Service/bench/s{target}/80"] = due
        self._script.tell(Upserted(Kind.ENDPOINT_SLICE, changed, due))
        self._next(due)


class Rig:
    """The controller, measured."""

    def __init__(self, folder: Path, routes: int, endpoints: int, every_s: float) -> None:
        self.longest = Longest()
        for owner, name in PARTS:
            setattr(owner, name, self.longest.timed(f"{owner.__name__}.{name}", getattr(owner, name)))
        self.script = Script()
        callbacks = Callbacks(self.longest)
        self.changes = Changes(self.script, callbacks, every_s, routes, endpoints // routes)
        publish = StreamServer.publish

        def published(server: StreamServer, delta: Delta, *, event_ms: int | None = None) -> None:
            publish(server, delta, event_ms=event_ms)
            self.changes.published(delta)

        StreamServer.publish = published  # type: ignore[method-assign, assignment]
        gc.callbacks.append(self._collected)
        settings = Settings(directory=folder, instance="lanes", log_level="warning", state_dir=folder)
        os.environ["XDG_RUNTIME_DIR"] = str(folder)
        self.paths = instance_paths("lanes", state_dir=folder)
        self.controller = Controller(
            settings,
            self.paths,
            attached=Attached(source=self.script),
            validate=core_validate(),
            clock=SystemClock(),
        )
        self._routes = routes
        self._collecting = (0.0, 0.0)

    def _collected(self, phase: str, info: dict[str, int]) -> None:
        now = time.perf_counter(), time.thread_time()
        if phase == "start":
            self._collecting = now
        else:
            kind = f"collector, generation {info['generation']}"
            self.longest.note(kind, now[0] - self._collecting[0], now[1] - self._collecting[1])

    async def quiet(self, routes: int) -> None:
        """Until the proxy serves everything and as many Routes as given have a status."""
        adopted = -1
        while True:
            await asyncio.sleep(0.25)
            about = self.controller._about()
            statuses = self.controller._statuses
            named = sum(kind is Kind.HTTP_ROUTE for kind, _ in statuses.names()) if adopted >= 0 else -1
            before, adopted = adopted, max((proxy.generation or 0 for proxy in about.proxies), default=-1)
            settled = self.controller._translator.idle and not statuses.waiting
            if about.ready and settled and adopted == before and named == routes:
                return

    async def scene(self, name: str, action: Callable[[], None], *, routes: int) -> Scene:
        """Runs one scene to its end."""
        self.changes.start()
        await asyncio.sleep(0.2)
        self.longest.kinds.clear()
        self.changes.waits.clear()
        wall, cpu = time.perf_counter(), time.thread_time()
        generation = self.controller._store.generation
        action()
        await asyncio.sleep(0.2)
        while not self._done(routes, generation):
            await asyncio.sleep(0.05)
        self.changes.stop()
        found = self._found(name, time.perf_counter() - wall, time.thread_time() - cpu)
        await self.quiet(routes)
        return found

    def _done(self, routes: int, generation: int) -> bool:
        """Whether a proxy serves what the scene began with a change of `generation`, and all statuses say so."""
        statuses, translator = self.controller._statuses, self.controller._translator
        if translator._world.queue or translator._world.outbox or statuses.waiting or statuses.behind:
            return False
        acked = [proxy.generation or 0 for proxy in self.controller._inventory.proxies]
        if not acked or min(acked) <= generation:
            return False
        return routes == sum(kind is Kind.HTTP_ROUTE for kind, _ in statuses.names())

    def _found(self, name: str, wall: float, cpu: float) -> Scene:
        holds = sorted(self.longest.kinds.items(), key=lambda item: -item[1][1])
        return Scene(
            name=name,
            seconds=wall,
            computed_s=cpu,
            changes=len(self.changes.waits),
            wall_ms=waits([each[0] for each in self.changes.waits]),
            computing_ms=waits([each[1] for each in self.changes.waits]),
            holds_ms={kind: (took * 1000, computed * 1000) for kind, (took, computed) in holds},
        )


def waits(seconds: list[float]) -> Waits:
    """Of endpoint changes; where there were none, none has waited."""
    if not seconds:
        return Waits(p50=0.0, p99=0.0, longest=0.0)
    return Waits(
        p50=percentile(seconds, 0.5) * 1000,
        p99=percentile(seconds, 0.99) * 1000,
        longest=max(seconds) * 1000,
    )


def table(scene: Scene) -> str:
    """For people."""
    lines = [f"\n{scene.name}: {scene.seconds:.1f} s, {scene.computed_s:.1f} s computed"]
    lines += [f"    {'longest hold':34} {'wall ms':>9} {'computing ms':>13}"]
    lines += [
        f"    {kind:34} {wall:9.1f} {computing:13.1f}" for kind, (wall, computing) in scene.holds_ms.items()
    ]
    lines += [
        f"    {scene.changes} endpoint changes waited, {what:9}: p50 {found.p50:.1f}, p99 {found.p99:.1f}, "
        f"max {found.longest:.1f} ms"
        for what, found in (("wall", scene.wall_ms), ("computing", scene.computing_ms))
    ]
    return "\n".join(lines)


def proxy(path: str) -> None:
    """Reads frames and acks."""

    class Frame(msgspec.Struct):
        position: Position | None = None
        more: bool = False

    decoder = msgspec.msgpack.Decoder(Frame)
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(path)
        stream.sendall(encode_frame(Hello(schema=SCHEMA, instance="bench")))
        reader = stream.makefile("rb")
        while header := reader.read(LENGTH.size):
            frame = decoder.decode(reader.read(LENGTH.unpack(header)[0]))
            if frame.position is not None and not frame.more:
                stream.sendall(encode_frame(Ack(position=frame.position)))


def start_proxy(path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "bench.lanes", "--proxy", str(path)])


async def measure(routes: int, endpoints: int, every_s: float) -> Lanes:
    """All scenes, one after the other."""
    with tempfile.TemporaryDirectory(prefix="fairlead-lanes-") as text:
        rig = Rig(Path(text), routes, endpoints, every_s)
        running = asyncio.create_task(rig.controller.run(), name="controller")
        await asyncio.sleep(0.1)
        peer = start_proxy(rig.paths.stream_socket)
        try:
            start: Sequence[Change] = [
                Upserted(kind_of(item), item, 0.0) for item in universe(routes, endpoints)
            ]
            rig.script.tell(*start, *(Synced(kind) for kind in Kind))
            await rig.quiet(routes)

            def put(listener: str) -> None:
                rig.script.tell(Upserted(Kind.GATEWAY, gateway(listener), time.monotonic()))

            def replace_proxy() -> None:
                nonlocal peer
                peer.kill()
                peer.wait()
                peer = start_proxy(rig.paths.stream_socket)

            def remove() -> None:
                rig.script.tell(Removed(Kind.GATEWAY, gateway("after"), time.monotonic()))

            scenes = [
                await rig.scene("a Listener is renamed", lambda: put("after"), routes=routes),
                await rig.scene("the proxy connects anew", replace_proxy, routes=routes),
                await rig.scene("the Gateway goes", remove, routes=0),
                await rig.scene("the Gateway comes back", lambda: put("after"), routes=routes),
            ]
            return Lanes(routes=routes, endpoints=endpoints, scenes=scenes)
        finally:
            peer.kill()
            peer.wait()
            running.cancel()
            await asyncio.wait((running,))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--routes", type=int, default=ROUTES)
    parser.add_argument("--endpoints", type=int, default=ENDPOINTS)
    parser.add_argument("--every-ms", type=float, default=7.0)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--proxy", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.proxy:
        proxy(args.proxy)
        return
    configure_logging(level="warning")
    found = asyncio.run(measure(args.routes, args.endpoints, args.every_ms / 1000))
    if args.json:
        print(msgspec.json.encode(found).decode())
        return
    print(f"{found.routes} routes, {found.endpoints} endpoints, a change every {args.every_ms:.0f} ms")
    for scene in found.scenes:
        print(table(scene))


if __name__ == "__main__":
    main()
