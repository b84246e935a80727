"""The reflector's shell: does what the machine asks for and tells it what happened.

Laws:
1. The event loop is never held for longer than `SLICE`: lists and bursts of events are worked off in slices.
2. Changes are handed over in the order in which they became known, in batches.
3. Only `KubeError`s are expected here; anything else is a defect and leaves `run`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Generic, Protocol, TypeVar

from fairlead.base import Clock, SystemClock
from fairlead.kube._decode import Broken, ItemDecoder, split_line, split_list, version_of
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
    PageEnd,
    Sleep,
    Stalled,
    Step,
    StoreChange,
    StreamError,
    Watch,
    Woke,
)
from fairlead.kube._errors import KubeError, ProtocolError, Unreachable, error_from_answer
from fairlead.kube._health import ServerHealth
from fairlead.kube._reflector import Reflector
from fairlead.kube._store import HasMetadata

T = TypeVar("T", bound=HasMetadata)

SLICE = 0.002
"""Seconds."""


class Api(Protocol):
    """The part of `Client` that is used."""

    async def list_(
        self, path: str, *, version: str = "", limit: int = 0, continue_token: str = ""
    ) -> bytes: ...

    def watch(
        self, path: str, *, version: str, seconds: int
    ) -> AbstractAsyncContextManager[AsyncIterator[list[bytes]]]: ...


class Follower(Generic[T]):
    """Runs one reflector."""

    def __init__(
        self,
        reflector: Reflector[T],
        *,
        api: Api,
        path: str,
        type_: type[T],
        health: ServerHealth,
        emit: Callable[[Sequence[StoreChange[T]]], None],
        clock: Clock | None = None,
    ) -> None:
        self._reflector = reflector
        self._api = api
        self._path = path
        self._decoder = ItemDecoder(type_)
        self._health = health
        self._emit = emit
        self._clock = clock or SystemClock()

    async def run(self) -> None:
        """Follows the collection until cancelled."""
        step = self._reflector.start()
        while True:
            match step.then:
                case List():
                    step = await self._list(step.then)
                case Watch():
                    step = await self._watch(step.then)
                case Sleep():
                    step = self._feed(Woke(recovered=await self._sleep(step.then)))
                case AwaitServer():
                    await self._health.wait()
                    step = self._feed(Woke(recovered=True))
                case None:
                    raise AssertionError("the machine has nothing to do")

    def _feed(self, event: Event[T]) -> Step[T]:
        step = self._reflector.handle(event, self._clock.monotonic())
        if step.changes:
            self._emit(step.changes)
        return step

    def _fail(self, error: KubeError) -> Step[T]:
        if isinstance(error, Unreachable):
            self._health.unreachable()
        return self._feed(Failed(error))

    async def _sleep(self, operation: Sleep) -> bool:
        """Sleeps; whether it was cut short because an outage has ended."""
        if not operation.until_recovery:
            await asyncio.sleep(operation.seconds)
            return False
        try:
            async with asyncio.timeout(operation.seconds):
                await self._health.recovery()
        except TimeoutError:
            return False
        return True

    async def _list(self, operation: List) -> Step[T]:
        late = asyncio.get_running_loop().call_later(
            self._reflector.settings.late_after, lambda: self._feed(Late())
        )
        try:
            part = split_list(
                await self._api.list_(
                    self._path,
                    version=operation.version,
                    limit=operation.limit,
                    continue_token=operation.continue_token,
                )
            )
        except KubeError as error:
            return self._fail(error)
        finally:
            late.cancel()
        step = self._feed(Listed(part.version, part.continue_token))
        if step.then is not None:
            return step
        batch: list[T | Broken] = []
        until = time.perf_counter() + SLICE
        for raw in part.items:
            batch.append(self._decoder.decode(raw))
            if time.perf_counter() >= until:
                self._feed(Items(batch))
                batch = []
                await asyncio.sleep(0)
                until = time.perf_counter() + SLICE
        self._feed(Items(batch))
        return self._feed(PageEnd())

    async def _watch(self, operation: Watch) -> Step[T]:
        loop = asyncio.get_running_loop()
        ends = loop.time() + operation.longest
        try:
            async with (
                self._api.watch(self._path, version=operation.version, seconds=operation.timeout) as stream,
                asyncio.timeout(operation.inactivity) as patience,
            ):
                self._feed(Opened())
                async for lines in stream:
                    patience.reschedule(min(loop.time() + operation.inactivity, ends))
                    step = await self._lines(lines)
                    if step.then is not None:
                        return step
        except TimeoutError:
            return self._feed(Ended() if loop.time() >= ends else Stalled())
        except KubeError as error:
            return self._fail(error)
        return self._feed(Ended())

    async def _lines(self, lines: Sequence[bytes]) -> Step[T]:
        """Works off a batch; its step has something to do next if the stream is to be left."""
        changes: list[StoreChange[T]] = []
        until = time.perf_counter() + SLICE
        try:
            for line in lines:
                step = self._reflector.handle(self._event(line), self._clock.monotonic())
                changes += step.changes
                if step.then is not None:
                    return step
                if time.perf_counter() >= until:
                    if changes:
                        self._emit(changes)
                        changes = []
                    await asyncio.sleep(0)
                    until = time.perf_counter() + SLICE
        finally:
            if changes:
                self._emit(changes)
        return Step()

    def _event(self, line: bytes) -> Event[T]:
        try:
            event = split_line(line)
        except ProtocolError as error:
            return StreamError(error)
        match event.type:
            case "ADDED" | "MODIFIED" | "DELETED":
                return Observed(event.type, self._decoder.decode(event.object))
            case "BOOKMARK":
                return Bookmark(version_of(event.object))
            case "ERROR":
                return StreamError(error_from_answer(None, event.object))
            case _:
                return StreamError(ProtocolError(f"a watch event of type {event.type!r} is unknown"))
