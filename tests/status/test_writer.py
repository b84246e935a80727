"""The writer against an API with resource versions, and with other writers on it.

Time is virtual, and so is patience: what is awaited comes within turns of the event loop, and what must not happen
has had as many turns and an hour to happen in.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from structlog.testing import capture_logs

from fairlead.base import FairleadError, VirtualClock
from fairlead.resources import HTTPRoute, HTTPRouteStatus, Kind, ObjectMeta, ParentReference, Ref, StatusEntry
from fairlead.snapshot import Key, Position
from fairlead.snapshot import Kind as ResourceKind
from fairlead.status import Live, StatusConflictError, StatusGoneError, StatusKeeper, StatusWriter
from fairlead.translate import (
    ConditionStatus,
    ConditionType,
    Forgotten,
    GatewayStatus,
    ListenerStatus,
    ParentStatus,
    Reason,
    RouteStatus,
    StatusCondition,
)

OURS = "fairlead.dev/gateway-controller"
ROUTE = Ref("default", "echo")
TURNS = 200
"""Of the event loop; a read and a write take about ten."""


class Api:
    """One HTTPRoute with optimistic concurrency."""

    def __init__(self) -> None:
        self.parents: list[dict[str, object]] = []
        self.version = 1
        self.reads = 0
        self.writes = 0
        self.gone = False
        self.between: Callable[[], None] = lambda: None

    def set(self, parents: list[dict[str, object]]) -> None:
        self.parents = parents
        self.version += 1

    async def read(self, kind: Kind, ref: Ref) -> Live:
        self.reads += 1
        if self.gone:
            raise StatusGoneError("gone")
        live = Live("u", str(self.version), msgspec.Raw(msgspec.json.encode({"parents": self.parents})))
        await asyncio.sleep(0)
        self.between()
        return live

    async def patch(self, kind: Kind, ref: Ref, body: bytes) -> None:
        patch = msgspec.json.decode(body)
        if patch["metadata"]["resourceVersion"] != str(self.version):
            raise StatusConflictError("changed")
        self.writes += 1
        self.set(patch["status"]["parents"])

    async def apply(self, kind: Kind, ref: Ref, body: bytes) -> None:
        raise AssertionError("routes are patched: an applied parents list would own every entry")

    def mine(self) -> list[dict[str, object]]:
        return [one for one in self.parents if one["controllerName"] == OURS]


def status(generation: int = 1, *, parents: bool = True) -> RouteStatus:
    accepted = StatusCondition(ConditionType.ACCEPTED, ConditionStatus.TRUE, Reason.ACCEPTED, "", generation)
    own = (ParentStatus(parent_ref=ParentReference(name="web"), conditions=(accepted,)),) if parents else ()
    return RouteStatus(ref=ROUTE, uid="u", parents=own, key=Key(ResourceKind.ROUTE, "HTTPRoute/default/echo"))


class Rig:
    """A keeper and its running writer."""

    def __init__(self, api: Api, *, may_write: bool = True) -> None:
        self.clock = VirtualClock()
        self.keeper = StatusKeeper(controller_name=OURS, clock=self.clock, epoch=1)
        self.writer = StatusWriter(self.keeper, api, clock=self.clock, may_write=lambda: may_write)

    def state(self, *statuses: RouteStatus | GatewayStatus | Forgotten) -> None:
        self.keeper.update(statuses, Position(epoch=1, generation=1))
        self.keeper.acked("proxy", Position(epoch=1, generation=1))
        self.writer.wake()

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(TURNS):
            if condition():
                return
            await asyncio.sleep(0)
        raise AssertionError("it does not come about")

    async def rest(self) -> None:
        """Whatever would be done is done after this."""
        for _ in range(TURNS):
            await asyncio.sleep(0)
        self.clock.advance(3600)
        self.writer.wake()
        for _ in range(TURNS):
            await asyncio.sleep(0)


@asynccontextmanager
async def writing(api: Api, *, may_write: bool = True) -> AsyncIterator[Rig]:
    rig = Rig(api, may_write=may_write)
    task = asyncio.create_task(rig.writer.run())
    try:
        yield rig
        assert not task.done(), "the writer has ended"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_second_controller_writes_between_our_read_and_our_write_and_both_survive() -> None:
    api = Api()
    other: dict[str, object] = {
        "controllerName": "other.example/c",
        "parentRef": {"name": "web"},
        "conditions": [],
    }

    def interfere() -> None:
        if api.reads == 1:
            api.set([other])

    api.between = interfere
    async with writing(api) as rig:
        rig.state(status())
        await rig.until(lambda: bool(api.mine()))
    assert other in api.parents
    assert len(api.parents) == 2
    assert (api.reads, api.writes) == (2, 1)


async def test_the_same_statement_is_written_once() -> None:
    api = Api()
    async with writing(api) as rig:
        rig.state(status())
        await rig.until(lambda: bool(api.mine()))
        rig.writer.rewrite_all()
        await rig.rest()
        assert (api.reads, api.writes) == (2, 1)
        rig.state(status(generation=2))
        await rig.rest()
    assert (api.reads, api.writes) == (3, 2)


async def test_our_entry_goes_when_the_parent_goes() -> None:
    api = Api()
    async with writing(api) as rig:
        rig.state(status())
        await rig.until(lambda: bool(api.mine()))
        rig.state(status(parents=False))
        await rig.until(lambda: not api.parents)


async def test_our_entry_goes_when_the_route_is_no_longer_ours() -> None:
    api = Api()
    async with writing(api) as rig:
        rig.state(status())
        await rig.until(lambda: bool(api.mine()))
        rig.state(Forgotten(kind=Kind.HTTP_ROUTE, ref=ROUTE))
        await rig.until(lambda: not api.parents)


def live_route(*controllers: str) -> HTTPRoute:
    entries = tuple(StatusEntry(controller_name=name) for name in controllers)
    metadata = ObjectMeta(name=ROUTE.name, namespace=ROUTE.namespace)
    return HTTPRoute(metadata=metadata, status=HTTPRouteStatus(parents=entries))


async def test_a_route_of_others_is_not_even_read() -> None:
    api = Api()
    async with writing(api) as rig:
        rig.keeper.seen(live_route("other.example/c"))
        rig.state(status(parents=False))
        await rig.rest()
        assert (api.reads, api.writes) == (0, 0)
        assert rig.keeper.status_of(Kind.HTTP_ROUTE, ROUTE) is None


async def test_an_entry_that_an_earlier_run_left_behind_goes() -> None:
    api = Api()
    other: dict[str, object] = {
        "controllerName": "other.example/c",
        "parentRef": {"name": "web"},
        "conditions": [],
    }
    api.set([{"controllerName": OURS, "parentRef": {"name": "old"}, "conditions": []}, other])
    async with writing(api) as rig:
        rig.keeper.seen(live_route(OURS, "other.example/c"))
        rig.state(status(parents=False))
        await rig.until(lambda: api.writes == 1)
    assert api.parents == [other]


async def test_without_the_lease_nothing_is_read_or_written() -> None:
    api = Api()
    async with writing(api, may_write=False) as rig:
        rig.state(status())
        await rig.rest()
        assert rig.keeper.status_of(Kind.HTTP_ROUTE, ROUTE) is not None
    assert (api.reads, api.writes) == (0, 0)


async def test_an_object_that_is_gone_is_asked_for_until_its_source_says_so_too() -> None:
    api = Api()
    api.gone = True
    async with writing(api) as rig:
        rig.state(status())
        await rig.until(lambda: api.reads == 1)
        rig.state(Forgotten(kind=Kind.HTTP_ROUTE, ref=ROUTE))
        await rig.until(lambda: api.reads == 2)
        await rig.rest()
        assert (api.reads, api.writes) == (2, 0)


async def test_an_object_that_is_not_found_for_a_moment_gets_its_status() -> None:
    api = Api()
    api.gone = True
    async with writing(api) as rig:
        rig.state(status())
        await rig.until(lambda: api.reads == 1)
        api.gone = False
        rig.clock.advance(60)
        rig.writer.wake()
        await rig.until(lambda: bool(api.mine()))


ODD = Ref("default", "odd")


class OddApi(Api):
    """Has another route, and says something strange of that one."""

    def __init__(self, odd: bytes | Exception) -> None:
        super().__init__()
        self.odd = odd
        self.odd_writes = 0

    async def read(self, kind: Kind, ref: Ref) -> Live:
        if ref != ODD:
            return await super().read(kind, ref)
        if isinstance(self.odd, Exception):
            raise self.odd
        return Live("u", "1", msgspec.Raw(self.odd))

    async def patch(self, kind: Kind, ref: Ref, body: bytes) -> None:
        if ref != ODD:
            await super().patch(kind, ref, body)
        else:
            self.odd_writes += 1


async def test_a_write_that_is_refused_for_days_is_tried_to_the_end() -> None:
    class Refusing(OddApi):
        async def read(self, kind: Kind, ref: Ref) -> Live:
            self.reads += 1
            return await super().read(kind, ref)

    api = Refusing(FairleadError("no right"))
    with capture_logs():
        async with writing(api) as rig:
            rig.state(msgspec.structs.replace(status(), ref=ODD))
            for tries in range(1, 1200):  # every half minute for ten hours
                await rig.until(lambda: api.reads == tries)  # noqa: B023
                rig.clock.advance(60)
                rig.writer.wake()
            api.odd = b"{}"
            await rig.until(lambda: api.odd_writes == 1)


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (b"7", "StatusUnreadable"),
        (b'{"parents":7}', "StatusUnreadable"),
        (b'{"parents":[7]}', "StatusUnreadable"),
        (b'{"parents":[{"controllerName":"%s","conditions":7}]}' % OURS.encode(), "StatusUnreadable"),
        (b'{"parents":"\xff"}', "StatusUnreadable"),
        (b"[" * 100_000, "StatusUnreadable"),
        (RuntimeError("a defect"), None),
    ],
    ids=["a number", "no list", "no entries", "an entry", "no text", "deep", "defect"],
)
async def test_what_fails_at_one_object_is_tried_again_and_holds_up_no_other(
    odd: bytes | Exception, said: str | None
) -> None:
    api = OddApi(odd)
    with capture_logs() as logs:
        async with writing(api) as rig:
            rig.state(msgspec.structs.replace(status(), ref=ODD), status())
            await rig.until(lambda: bool(api.mine()) and bool(logs))
            api.odd = b"{}"
            rig.clock.advance(60)
            rig.writer.wake()
            await rig.until(lambda: api.odd_writes == 1)
    (line,) = logs
    assert (line["ref"], line.get("code")) == (str(ODD), said)


class GatewayApi(Api):
    """One Gateway, whose writes take until `release` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.started = 0
        self.release = asyncio.Event()

    async def read(self, kind: Kind, ref: Ref) -> Live:
        return Live("u", "1", msgspec.Raw(b"{}"))

    async def apply(self, kind: Kind, ref: Ref, body: bytes) -> None:
        self.started += 1
        await self.release.wait()
        self.writes += 1


def gateway_status(attached_routes: int) -> GatewayStatus:
    accepted = StatusCondition(ConditionType.ACCEPTED, ConditionStatus.TRUE, Reason.ACCEPTED, "", 1)
    listener = ListenerStatus(
        name="http", supported_kinds=(), attached_routes=attached_routes, conditions=(accepted,)
    )
    return GatewayStatus(
        ref=Ref("default", "web"), uid="u", conditions=(accepted,), addresses=(), listeners=(listener,)
    )


async def test_what_changes_during_a_write_of_a_gateway_waits_for_the_interval_too() -> None:
    api = GatewayApi()
    async with writing(api) as rig:
        rig.state(gateway_status(1))
        await rig.until(lambda: api.started == 1)
        rig.state(gateway_status(2))
        await asyncio.sleep(0)
        api.release.set()
        await rig.until(lambda: api.writes == 1)
        for _ in range(20):
            rig.writer.wake()
            await asyncio.sleep(0)
        assert api.started == 1
        rig.clock.advance(1.0)
        rig.writer.wake()
        await rig.until(lambda: api.writes == 2)


async def test_nothing_is_kept_of_a_gateway_that_is_gone() -> None:
    api = GatewayApi()
    api.release.set()
    async with writing(api) as rig:
        rig.state(gateway_status(1))
        await rig.until(lambda: api.writes == 1)
        assert len(rig.writer._written_at) == 1
        rig.state(Forgotten(kind=Kind.GATEWAY, ref=Ref("default", "web")))
        rig.clock.advance(1.0)
        rig.writer.wake()
        await rig.until(lambda: not rig.keeper._book.knows(Kind.GATEWAY, Ref("default", "web")))
        assert rig.writer._written_at == {}
