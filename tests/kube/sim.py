"""Drives a reflector against a `World` in virtual time, checks its laws at each step and counts its requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

from fairlead.kube import (
    Deleted,
    KubeError,
    Mended,
    Put,
    Readable,
    Reflector,
    ReflectorSettings,
    Store,
    Undecodable,
    Unreadable,
    VersionTooLarge,
    compare_versions,
    ref_of,
    service_of_slice,
)
from fairlead.kube._decode import Broken
from fairlead.kube._effects import (
    AwaitServer,
    Bookmark,
    Ended,
    Event,
    Failed,
    Items,
    Late,
    List,
    Listed,
    Observed,
    Opened,
    Operation,
    PageEnd,
    Sleep,
    Stalled,
    Step,
    StreamError,
    Watch,
    Woke,
)
from fairlead.kube._errors import Gone
from fairlead.resources import EndpointSlice, Ref
from tests.kube.world import World, form

REQUEST = 0.002
"""Virtual seconds that a request takes."""


class Sim:
    def __init__(
        self, world: World | None = None, *, seed: int = 1, settings: ReflectorSettings | None = None
    ) -> None:
        self.world = world or World()
        self.store: Store[EndpointSlice] = Store(service_of_slice)
        self.reflector = Reflector(self.store, random=Random(seed), settings=settings)
        self.now = 1000.0
        self.requests: list[tuple[float, List | Watch]] = []
        self.view: dict[Ref, EndpointSlice] = {}
        self.state: list[str] = []
        """What was told of the collection: `ok` or an error's code, in order."""
        self.findings: Counter[Ref | None] = Counter()
        self.changes: list[object] = []
        self.operation: Operation | None = None
        self.position: int | None = None
        """How far the open watch has delivered; None while none is open."""
        self.resets = 0
        """Resets that have taken the version back."""
        self.reachable = True
        self._take(self.reflector.start())

    # feeding, with the laws

    def feed(self, event: Event[EndpointSlice]) -> Step[EndpointSlice]:
        version = self.reflector.version
        step = self.reflector.handle(event, self.now)
        if isinstance(event, StreamError | Failed | Ended | Stalled | Late | Woke | Opened):
            touched = [change for change in step.changes if isinstance(change, Put | Deleted)]
            assert not touched, f"{event} changed objects: {touched}"
        if compare_versions(self.reflector.version, version) == -1:
            assert self.reflector.stats.resets > self.resets, "the version went back without a reset"
            self.resets = self.reflector.stats.resets
        self._take(step)
        assert {ref_of(o): o for o in self.store} == self.view
        for obj in self.view.values():
            assert form(obj) in self.world.ever, f"an object that never was: {obj}"
        return step

    def _take(self, step: Step[EndpointSlice]) -> None:
        for change in step.changes:
            self.changes.append(change)
            match change:
                case Put():
                    self.view[ref_of(change.object)] = change.object
                case Deleted():
                    last = self.view.pop(ref_of(change.object))
                    assert last == change.object, "a removal carries the last known form"
                case Readable():
                    self.state.append("ok")
                case Unreadable():
                    self.state.append(change.code)
                case Undecodable():
                    self.findings[change.ref] += 1
                case Mended():
                    del self.findings[change.ref]
        if step.then is not None:
            self.position = None
            self.operation = step.then
            if isinstance(step.then, List | Watch):
                self.requests.append((self.now, step.then))

    # answering

    def answer(self) -> None:
        """Does what the machine wants, as a healthy server would."""
        operation = self.operation
        if isinstance(operation, Sleep):
            self.now += operation.seconds
            self.feed(Woke())
        elif isinstance(operation, AwaitServer):
            self.now += 0.75
            if self.reachable:
                self.feed(Woke(recovered=True))
        elif isinstance(operation, List):
            self.now += REQUEST
            self._answer_list(operation)
        elif isinstance(operation, Watch):
            self.now += REQUEST
            self._answer_watch(operation)

    def _answer_list(self, operation: List) -> None:
        wanted = int(operation.version or 0)
        if wanted > self.world.version:
            self.feed(Failed(VersionTooLarge("Too large resource version", status=504)))
            return
        self.list_with(list(self.world.objects.values()), str(self.world.version))

    def list_with(
        self, objects: Sequence[EndpointSlice | Broken], version: str, continue_token: str = ""
    ) -> None:
        if self.feed(Listed(version, continue_token)).then is not None:
            return
        middle = len(objects) // 2
        self.feed(Items(objects[:middle]))
        self.feed(Items(objects[middle:]))
        self.feed(PageEnd())

    def _answer_watch(self, operation: Watch) -> None:
        if self.position is not None:
            return
        version = int(operation.version)
        if self.world.is_gone(version) and version < self.world.version:
            self.feed(Failed(Gone("too old resource version", status=410)))
            return
        self.feed(Opened())
        self.position = version

    def deliver(self, count: int = 1_000_000) -> int:
        """Hands over up to `count` of the events that the open watch is behind; how many it were."""
        done = 0
        while self.position is not None and done < count:
            pending = self.world.since(self.position)
            if not pending:
                break
            self.position = pending[0].version
            self.feed(Observed(pending[0].type, pending[0].object))
            done += 1
        return done

    def bookmark(self) -> None:
        self.deliver()
        if self.position is not None and self.world.version >= self.position:
            self.position = self.world.version
            self.feed(Bookmark(str(self.world.version)))

    def fail(self, error: KubeError) -> None:
        """The list or watch under way fails, before it is answered or in its connection."""
        self.now += REQUEST
        self.feed(Failed(error))

    def stream_error(self, error: KubeError) -> None:
        self.feed(StreamError(error))

    # running

    def run_until_watching(self, limit: float = 60.0) -> None:
        """Answers in good health until a watch is open."""
        until = self.now + limit
        while self.position is None:
            assert self.now < until, f"no watch within {limit} s"
            self.answer()

    def settle(self, limit: float) -> None:
        """A quiet, healthy world: the copy must be true within `limit` seconds."""
        until = self.now + limit
        while True:
            self.run_until_watching(max(1.0, until - self.now))
            self.deliver()
            if self.position is not None and self.view == self.world.objects:
                return
            assert self.now < until, f"not true after {limit} s: {self.view} is not {self.world.objects}"
            self.pass_time(30.0)

    def pass_time(self, seconds: float) -> None:
        """Time passes on an open watch: bookmarks each minute, stalls, and ends as asked for."""
        until = self.now + seconds
        while self.now < until:
            if self.position is None or not isinstance(self.operation, Watch):
                self.answer()
                continue
            opened, operation = self.requests[-1][0], self.operation
            quiet_end = opened + operation.inactivity
            end = opened + operation.timeout
            speaks = self.world.version >= self.position
            if speaks:
                bookmark = self.now + 60.0
                if bookmark < min(until, end):
                    self.now = bookmark
                    self.bookmark()
                elif end <= until:
                    self.now = max(self.now, end)
                    self.bookmark()
                    if self.position is not None:
                        self.feed(Ended())
                else:
                    self.now = until
            elif quiet_end <= until:
                self.now = max(self.now, quiet_end)
                self.feed(Stalled())
            else:
                self.now = until

    def lists(self) -> list[List]:
        return [operation for _, operation in self.requests if isinstance(operation, List)]

    def watches(self) -> list[Watch]:
        return [operation for _, operation in self.requests if isinstance(operation, Watch)]

    def assert_no_hot_loop(self) -> None:
        """At most 5 requests in any second and 16 in any 10 seconds, whatever the server did."""
        times = [at for at, _ in self.requests]
        for window, most in ((1.0, 5), (10.0, 16)):
            start = 0
            for end, at in enumerate(times):
                while at - times[start] >= window:
                    start += 1
                assert end - start + 1 <= most, f"{end - start + 1} requests within {window} s"
