"""The Lease of an installation: who of several instances writes status.

The shell of `_election`: reads and writes the object and keeps the machine going.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Protocol

import msgspec

from fairlead.base import UNDECODABLE, Clock, SystemClock, get_logger
from fairlead.kube._election import Effect, Election, LeaseSettings, LeaseSpec, Read, Record, Wait, Write
from fairlead.kube._errors import AlreadyExists, Conflict, KubeError, NotFound, ProtocolError

_log = get_logger("kube.lease")


class LeaseApi(Protocol):
    """The part of `Client` that is used."""

    async def get(self, path: str) -> bytes: ...

    async def create(self, path: str, body: bytes) -> bytes: ...

    async def merge_patch(self, path: str, body: bytes, *, subresource: str = "") -> bytes: ...


class _Meta(msgspec.Struct, rename="camel", omit_defaults=True):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class _LeaseObject(msgspec.Struct, rename="camel", omit_defaults=True):
    api_version: str
    kind: str
    metadata: _Meta
    spec: LeaseSpec = LeaseSpec()


class _Patch(msgspec.Struct):
    metadata: _Meta
    spec: LeaseSpec


def lease_name(controller_name: str) -> str:
    """The Lease's name: the controller name, which is a domain and a path, as one DNS subdomain."""
    allowed = "".join(
        c if c.isascii() and (c.isalnum() or c in "-.") else "-" for c in controller_name.lower()
    )
    return allowed.strip("-.")[:253].rstrip("-.")


class Lease:
    """Takes part in the election while `run` runs."""

    def __init__(
        self,
        api: LeaseApi,
        *,
        namespace: str,
        name: str,
        identity: str,
        random: Random,
        on_change: Callable[[], None] | None = None,
        settings: LeaseSettings | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`on_change` is called when `held`, `holder` or the code of `problem` has changed."""
        self.namespace = namespace
        self.name = name
        self.problem: KubeError | None = None
        """Why the Lease could not be read or written last; None: it could."""
        self._api = api
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._election = Election(identity, random=random, settings=settings)
        self._on_change = on_change or (lambda: None)
        self._clock = clock or SystemClock()
        self._was: tuple[bool, str | None, str | None] = (False, None, None)

    @property
    def held(self) -> bool:
        """Whether this instance may write status now; to be asked before each write."""
        return self._election.holds(self._clock.monotonic())

    @property
    def holder(self) -> str | None:
        """Who holds the lease, as far as is known: for people."""
        return self._election.holder

    async def run(self) -> None:
        """Takes part until cancelled; gives the lease back at the end."""
        effect = self._election.start()
        fence: asyncio.TimerHandle | None = None
        try:
            while True:
                effect = await self._perform(effect)
                if fence is not None:
                    fence.cancel()
                remaining = self._election.remaining(self._clock.monotonic())
                fence = asyncio.get_running_loop().call_later(remaining, self._tell) if remaining else None
                self._tell()
        finally:
            if fence is not None:
                fence.cancel()
            await self._release()

    async def _perform(self, effect: Effect) -> Effect:
        election = self._election
        try:
            match effect:
                case Wait():
                    await asyncio.sleep(effect.seconds)
                    return election.woke(self._clock.monotonic())
                case Read():
                    async with asyncio.timeout(election.settings.renew_deadline / 2):
                        record = await self._read()
                    self.problem = None
                    return election.read(record, self._clock.monotonic())
                case Write():
                    async with asyncio.timeout(election.settings.renew_deadline / 2):
                        record = await self._write(effect)
                    self.problem = None
                    return election.written(record, self._clock.monotonic())
        except (Conflict, AlreadyExists):
            return election.failed(conflict=True, now=self._clock.monotonic())
        except TimeoutError:
            self.problem = KubeError("the Lease could not be read or written in time", code="Timeout")
        except KubeError as error:
            self.problem = error
        # A Lease that is gone is made anew at once; one that cannot be made, for want of its namespace, is not.
        deleted = (
            isinstance(self.problem, NotFound) and isinstance(effect, Write) and effect.version is not None
        )
        return election.failed(conflict=deleted, now=self._clock.monotonic())

    async def _read(self) -> Record | None:
        try:
            return _record(await self._api.get(f"{self._collection}/{self.name}"))
        except NotFound:
            return None

    async def _write(self, write: Write) -> Record:
        now = datetime.fromtimestamp(self._clock.wall(), UTC).isoformat(timespec="microseconds")
        now = now.replace("+00:00", "Z")
        spec = LeaseSpec(
            holder_identity=write.holder,
            lease_duration_seconds=write.duration,
            acquire_time=now if write.acquires else None,
            renew_time=now,
            lease_transitions=write.transitions,
        )
        if write.version is None:
            lease = _LeaseObject(
                "coordination.k8s.io/v1", "Lease", _Meta(name=self.name, namespace=self.namespace), spec
            )
            return _record(await self._api.create(self._collection, msgspec.json.encode(lease)))
        patch = _Patch(_Meta(resource_version=write.version), spec)
        return _record(
            await self._api.merge_patch(f"{self._collection}/{self.name}", msgspec.json.encode(patch))
        )

    async def _release(self) -> None:
        write = self._election.release(self._clock.monotonic())
        self._tell()
        if write is None:
            return
        try:
            async with asyncio.timeout(self._election.settings.retry_period):
                await self._write(write)
        except (KubeError, TimeoutError) as error:
            _log.info("the Lease could not be given back", lease=self.name, error=str(error))

    def _tell(self) -> None:
        now = (self.held, self.holder, self.problem.code if self.problem is not None else None)
        if now != self._was:
            self._was = now
            self._on_change()


def _record(body: bytes) -> Record:
    try:
        lease = msgspec.json.decode(body, type=_LeaseObject)
    except UNDECODABLE as error:
        raise ProtocolError(f"the Lease cannot be read: {error}", code="LeaseUnreadable") from error
    return Record(lease.metadata.resource_version, lease.spec)
