"""Status into a cluster: the Lease says who writes, the writer writes.

An instance without the Lease says who holds it and writes nothing (`--no-status` takes no part at all).
"""

import asyncio
from collections.abc import Callable
from random import SystemRandom

import msgspec

from fairlead import kube, status
from fairlead.base import UNDECODABLE, Clock, Turns, get_logger
from fairlead.resources import KINDS, Kind, Ref


class KubeStatusApi:
    """The status subresource by a `kube.Client`; see `status.StatusApi`."""

    def __init__(self, client: kube.Client) -> None:
        self._client = client

    async def read(self, kind: Kind, ref: Ref) -> status.Live:
        try:
            body = await self._client.get(_path(kind, ref))
        except kube.NotFound as error:
            raise status.StatusGoneError(error.message) from error
        try:
            live = msgspec.json.decode(body, type=_Object)
        except UNDECODABLE as error:
            # A proxy in front that answers 200 with a page of its own, say.
            raise kube.ProtocolError(f"the answer is no object: {error}", code="ObjectUnreadable") from error
        return status.Live(live.metadata.uid, live.metadata.resource_version, live.status)

    async def patch(self, kind: Kind, ref: Ref, body: bytes) -> None:
        try:
            await self._client.merge_patch(_path(kind, ref), body, subresource="status")
        except kube.Conflict as error:
            raise status.StatusConflictError(error.message) from error
        except kube.NotFound as error:
            raise status.StatusGoneError(error.message) from error

    async def apply(self, kind: Kind, ref: Ref, body: bytes) -> None:
        try:
            await self._client.apply(_path(kind, ref), body, subresource="status", force=True)
        except kube.NotFound as error:
            raise status.StatusGoneError(error.message) from error


class Writing:
    """Takes part in the election and writes while elected."""

    def __init__(self, client: kube.Client, *, controller_name: str, identity: str, clock: Clock) -> None:
        """`identity`: see `new_identity`; no two that live at the same time have the same."""
        self._client = client
        self._clock = clock
        self._log = get_logger("status")
        self._writer: status.StatusWriter | None = None
        self._held = False
        self._on_held: Callable[[bool], None] = lambda _: None
        self._lease = kube.Lease(
            client,
            namespace=client.credentials.namespace,
            name=kube.lease_name(controller_name),
            identity=identity,
            random=SystemRandom(),
            on_change=self._changed,
            clock=clock,
        )

    @property
    def writer(self) -> str:
        """Who writes, for people."""
        if self._lease.held:
            return f"this instance ({self._lease.holder})"
        if self._lease.problem is not None:
            return f"not this instance, which cannot use the Lease {self._name}: {self._lease.problem}"
        return self._lease.holder or "nobody yet"

    @property
    def _name(self) -> str:
        return f"{self._lease.namespace}/{self._lease.name}"

    def wake(self) -> None:
        """There may be something new to write."""
        if self._writer is not None:
            self._writer.wake()

    async def run(
        self, keeper: status.StatusKeeper, *, on_held: Callable[[bool], None], turns: Turns | None = None
    ) -> None:
        """Until cancelled; `on_held` is told when this instance gets or loses the right to write."""
        self._on_held = on_held
        self._writer = status.StatusWriter(
            keeper,
            KubeStatusApi(self._client),
            clock=self._clock,
            may_write=lambda: self._lease.held,
            turns=turns,
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._writer.run(), name="status-writer")
            tasks.create_task(self._lease.run(), name="lease")

    def _changed(self) -> None:
        held, holder, problem = self._lease.held, self._lease.holder, self._lease.problem
        log = self._log.bind(lease=self._name)
        if problem is not None:
            said = "the Lease could not be renewed" if held else "no status written: the Lease cannot be used"
            hint = _hint(problem, self._lease.namespace)
            log.warning(said, holder=holder, code=problem.code, problem=problem.message, hint=hint)
        elif held:
            log.info("this instance writes status", holder=holder)
        elif holder is not None:
            log.info("another instance writes status", holder=holder)
        else:
            log.info("nobody writes status")
        if held != self._held:
            self._held = held
            self._on_held(held)
            if held and self._writer is not None:
                self._writer.rewrite_all()


def _hint(problem: kube.KubeError, namespace: str) -> str | None:
    """What to do about a Lease that cannot be used, where it does not heal by itself."""
    match problem:
        case kube.Forbidden():
            return f"allow get, create and patch of leases in coordination.k8s.io in namespace {namespace}"
        case kube.NotFound():
            return f"make the namespace {namespace}, or name another one in the kubeconfig's context"
        case _:
            return None


class _Meta(msgspec.Struct, rename="camel"):
    uid: str = ""
    resource_version: str = ""


class _Object(msgspec.Struct):
    metadata: _Meta
    status: msgspec.Raw = msgspec.Raw(b"{}")


def _path(kind: Kind, ref: Ref) -> str:
    return KINDS[kind].path(ref.namespace or None, ref.name)
