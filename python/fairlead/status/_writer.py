"""Writes statements into the API: only changes, only while this instance holds the Lease.

Laws:
1. At most one write of an object is under way, at most `MAX_WRITES` in all; a Gateway is written at most once
   per `GATEWAY_INTERVAL_S`, so that a burst of routes does not become a burst of writes.
2. A conflict means that somebody else wrote: the object is read again and the merge done anew, at once.
   Any other failure, a status of another shape and a defect of ours included, is tried again later, with backoff,
   and holds up no other object. So is a 404, in silence, until the source says too that the object is gone.
3. Nothing is read or written for an object whose statement did not change.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Protocol

import msgspec

from fairlead import api
from fairlead.base import UNDECODABLE, Clock, FairleadError, Turns, get_logger
from fairlead.resources import KINDS, Kind, Ref
from fairlead.status._book import Name
from fairlead.status._keeper import StatusKeeper
from fairlead.status._merge import merge_ancestors, merge_class, merge_gateway, merge_parents

GATEWAY_INTERVAL_S = 1.0
MAX_WRITES = 8
MAX_CONFLICTS = 10
_TICK_S = 0.02
_RETRY_MIN_S = 0.5
_RETRY_MAX_S = 30.0


class StatusConflictError(FairleadError):
    """The object has changed since it was read."""

    code = "Conflict"
    retryable = True


class StatusGoneError(FairleadError):
    """The object is gone."""

    code = "NotFound"


class StatusUnreadableError(FairleadError):
    """The live status has another shape than its CRD gives it."""

    code = "StatusUnreadable"


class Live(msgspec.Struct, frozen=True):
    """An object as the API has it now."""

    uid: str
    resource_version: str
    status: msgspec.Raw
    """Its `status`, `{}` where it has none."""


class StatusApi(Protocol):
    """What the writer needs of the API server. Errors are FairleadErrors."""

    async def read(self, kind: Kind, ref: Ref) -> Live:
        """The object. Raises StatusGoneError."""
        ...

    async def patch(self, kind: Kind, ref: Ref, body: bytes) -> None:
        """JSON merge patch of the status subresource. Raises StatusConflictError, StatusGoneError."""
        ...

    async def apply(self, kind: Kind, ref: Ref, body: bytes) -> None:
        """Server-side apply of the status subresource. Raises StatusGoneError."""
        ...


class _Lists(msgspec.Struct, frozen=True):
    parents: tuple[msgspec.Raw, ...] = ()
    ancestors: tuple[msgspec.Raw, ...] = ()


class _Due(msgspec.Struct):
    at: float
    failures: int = 0


class StatusWriter:
    """Keeps the API's statuses equal to what the keeper says."""

    def __init__(
        self,
        keeper: StatusKeeper,
        status_api: StatusApi,
        *,
        clock: Clock,
        may_write: Callable[[], bool],
        turns: Turns | None = None,
    ) -> None:
        self._keeper = keeper
        self._api = status_api
        self._clock = clock
        self._may_write = may_write
        self._turns = turns or Turns()
        self._due: dict[Name, _Due] = {}
        self._under_way: set[Name] = set()
        self._written_at: dict[Name, float] = {}
        """When Gateways were written last."""
        self._wake = asyncio.Event()
        self._log = get_logger("status")
        self.writes = 0
        """Writes done so far."""

    def wake(self) -> None:
        """The keeper has something new to say, or the right to write has changed."""
        self._wake.set()

    def rewrite_all(self) -> None:
        """Compares every object with the API again: after winning the Lease."""
        for name in self._keeper.names():
            self._due.setdefault(name, _Due(0.0))
        self.wake()

    async def run(self) -> None:
        """Writes until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._wake.clear()
                now = self._clock.monotonic()
                for name in self._keeper.take_changed():
                    self._due[name] = _Due(now)
                for name in self._startable(now):
                    self._under_way.add(name)
                    tasks.create_task(
                        self._write(name, self._due.pop(name)), name=f"status of {name[0]} {name[1]}"
                    )
                await self._pause()

    async def _pause(self) -> None:
        if self._keeper.behind:
            await self._turns.next()
            return
        busy = self._keeper.waiting or (self._due and self._may_write())
        try:
            async with asyncio.timeout(_TICK_S if busy else None):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _startable(self, now: float) -> list[Name]:
        if not self._may_write():
            return []
        free = MAX_WRITES - len(self._under_way)
        # The interval counts from the end of the last write: what became due during it waits as well.
        due = (
            name
            for name, one in self._due.items()
            if max(one.at, self._earliest(name)) <= now and name not in self._under_way
        )
        return [name for name, _ in zip(due, range(free), strict=False)]

    def _earliest(self, name: Name) -> float:
        interval = GATEWAY_INTERVAL_S if name[0] is Kind.GATEWAY else 0.0
        return self._written_at.get(name, -interval) + interval

    async def _write(self, name: Name, due: _Due) -> None:
        kind, ref = name
        try:
            await self._merge_anew(kind, ref)
        except StatusGoneError:
            if self._keeper.uid_of(kind, ref) is None:
                self._forget(name)
            else:
                self._postpone(name, due)
        except FairleadError as error:
            self._log.warning(
                "status not written", kind=kind, ref=str(ref), code=error.code, error=str(error)
            )
            self._postpone(name, due)
        except Exception:  # noqa: BLE001 - law 2: logged, and tried again
            self._log.exception("a defect while writing a status", kind=kind, ref=str(ref))
            self._postpone(name, due)
        finally:
            self._under_way.discard(name)
            self.wake()

    def _postpone(self, name: Name, due: _Due) -> None:
        delay = min(_RETRY_MAX_S, _RETRY_MIN_S * 2 ** min(due.failures, 10)) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
        self._due.setdefault(name, _Due(self._clock.monotonic() + delay, due.failures + 1))

    def _forget(self, name: Name) -> None:
        self._written_at.pop(name, None)
        self._keeper.forget(*name)

    async def _merge_anew(self, kind: Kind, ref: Ref) -> None:
        """Merges and writes, again and again while others write in between."""
        for _ in range(MAX_CONFLICTS):
            try:
                return await self._merge(kind, ref)
            except StatusConflictError:
                continue
        raise StatusConflictError(f"{kind} {ref} changes faster than its status can be merged")

    async def _merge(self, kind: Kind, ref: Ref) -> None:
        wire = self._keeper.status_to_write(kind, ref)
        if wire is None:
            self._forget((kind, ref))
            return
        live = await self._api.read(kind, ref)
        uid = self._keeper.uid_of(kind, ref)
        if uid is not None and live.uid != uid:
            return  # a new object of the same name: its own status comes
        await self._send(kind, ref, live, wire)
        if uid is None:
            self._forget((kind, ref))

    async def _send(self, kind: Kind, ref: Ref, live: Live, wire: api.ObjectStatus) -> None:
        try:
            merged = self._merged(live.status, wire)
        except UNDECODABLE as error:
            raise StatusUnreadableError(f"the live status cannot be read: {error}") from error
        match merged:
            case None:
                pass
            case _Lists():
                await self._patched(kind, ref, live, merged)
            case _:
                await self._applied(kind, ref, merged)

    def _merged(self, live: msgspec.Raw, wire: api.ObjectStatus) -> api.ObjectStatus | _Lists | None:
        """What to write; None where the live status says it already."""
        match wire:
            case api.GatewayStatus():
                return merge_gateway(msgspec.json.decode(live, type=api.GatewayStatus), wire)
            case api.GatewayClassStatus():
                return merge_class(msgspec.json.decode(live, type=api.GatewayClassStatus), wire)
            case api.RouteStatus():
                lists = msgspec.json.decode(live, type=_Lists)
                parents = merge_parents(lists.parents, wire.parents, self._keeper.controller_name)
                return None if parents is None else _Lists(parents=parents)
            case api.PolicyStatus():
                lists = msgspec.json.decode(live, type=_Lists)
                ancestors = merge_ancestors(lists.ancestors, wire.ancestors, self._keeper.controller_name)
                return None if ancestors is None else _Lists(ancestors=ancestors)

    async def _applied(self, kind: Kind, ref: Ref, status: api.ObjectStatus) -> None:
        metadata = {"name": ref.name} | ({"namespace": ref.namespace} if ref.namespace else {})
        body = {
            "apiVersion": KINDS[kind].api_version,
            "kind": kind.value,
            "metadata": metadata,
            "status": status,
        }
        await self._api.apply(kind, ref, msgspec.json.encode(body))
        self._wrote(kind, ref)

    async def _patched(self, kind: Kind, ref: Ref, live: Live, lists: _Lists) -> None:
        field = "parents" if kind is Kind.HTTP_ROUTE else "ancestors"
        body = {
            "metadata": {"resourceVersion": live.resource_version},
            "status": {field: getattr(lists, field)},
        }
        await self._api.patch(kind, ref, msgspec.json.encode(body))
        self._wrote(kind, ref)

    def _wrote(self, kind: Kind, ref: Ref) -> None:
        self.writes += 1
        if kind is Kind.GATEWAY:
            self._written_at[kind, ref] = self._clock.monotonic()
