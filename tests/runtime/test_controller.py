"""A whole controller with a scripted source and a proxy that follows the contract."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from fairlead.base import SystemClock
from fairlead.kube import ReflectorStats
from fairlead.resources import (
    BackendRef,
    Endpoint,
    EndpointConditions,
    EndpointPort,
    EndpointSlice,
    Gateway,
    GatewaySpec,
    HTTPPathMatch,
    HTTPRoute,
    HTTPRouteMatch,
    HTTPRouteRule,
    HTTPRouteSpec,
    Kind,
    Listener,
    Namespace,
    Object,
    ObjectMeta,
    ParentReference,
    Ref,
    Service,
    ServicePort,
    ServiceSpec,
    kind_of,
)
from fairlead.runtime._addresses import load, save
from fairlead.runtime._controller import Controller
from fairlead.runtime._sources import Attached
from fairlead.runtime.instance import Settings, instance_paths
from fairlead.snapshot import BindFact, Endpoints, Facts, Key, Rejection, decode_resource, encode_frame
from fairlead.snapshot import Kind as ResourceKind
from fairlead.sources import Change, Sink, Synced, Upserted
from tests.stream.model import ModelProxy

BACKEND = Key(ResourceKind.ENDPOINTS, "Service/default/web/80")
ROUTE = Key(ResourceKind.ROUTE, "HTTPRoute/default/web")


def meta(name: str, **fields: object) -> ObjectMeta:
    found = ObjectMeta(name=name, namespace="default", uid=f"uid-{name}", generation=1)
    return msgspec.structs.replace(found, **fields)


def web_slice(*addresses: str) -> EndpointSlice:
    return EndpointSlice(
        metadata=meta("web-1", labels={"kubernetes.io/service-name": "web"}),
        endpoints=tuple(
            Endpoint(addresses=(address,), conditions=EndpointConditions(ready=True)) for address in addresses
        ),
        ports=(EndpointPort(name="http", port=9000, protocol="TCP"),),
    )


def web_route(path: str = "/") -> HTTPRoute:
    match = HTTPRouteMatch(path=HTTPPathMatch(type="PathPrefix", value=path))
    return HTTPRoute(
        metadata=meta("web"),
        spec=HTTPRouteSpec(
            parent_refs=(ParentReference(name="edge"),),
            rules=(HTTPRouteRule(matches=(match,), backend_refs=(BackendRef(name="web", port=80),)),),
        ),
    )


OBJECTS: tuple[Object, ...] = (
    Namespace(metadata=ObjectMeta(name="default")),
    Gateway(
        metadata=meta("edge"),
        spec=GatewaySpec(
            gateway_class_name="fairlead", listeners=(Listener(name="http", port=8080, protocol="HTTP"),)
        ),
    ),
    web_route(),
    Service(metadata=meta("web"), spec=ServiceSpec(ports=(ServicePort(port=80, name="http"),))),
    web_slice("10.0.0.1", "10.0.0.2"),
)


class Script:
    """A source that tells what the test says."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Sequence[Change]] = asyncio.Queue()

    async def run(self, sink: Sink) -> None:
        while True:
            sink(await self._queue.get())

    def tell(self, *changes: Change) -> None:
        self._queue.put_nowait(changes)

    def put(self, *objects: Object) -> None:
        at = SystemClock().monotonic()
        self.tell(*(Upserted(kind_of(item), item, at) for item in objects))

    def sync(self, *kinds: Kind) -> None:
        self.tell(*(Synced(kind) for kind in kinds or tuple(Kind)))


class Rig:
    def __init__(self, tmp_path: Path) -> None:
        env = {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "XDG_STATE_HOME": str(tmp_path / "state")}
        self.paths = instance_paths("test", env=env)
        self.script = Script()
        self.proxy = ModelProxy()
        self.refuse: bytes | None = None
        self.binds: dict[str, str] = {}
        self.reflector = ReflectorStats()
        self._changed = asyncio.Event()
        attached = Attached(
            source=self.script,
            gateway_class="fairlead",
            loopback_endpoints=True,
            keeps_addresses=True,
            reflectors=lambda: {Kind.SERVICE: self.reflector},
        )
        self.controller = Controller(
            Settings(instance="test"),
            self.paths,
            attached=attached,
            validate=self._validate,
            clock=SystemClock(),
        )

    def _validate(self, key: Key, body: bytes) -> Rejection | None:
        if self.refuse is not None and self.refuse in body:
            return Rejection(kind=key.kind, name=key.name, reason="InvalidPath", message="not a path")
        return None

    async def follow(self) -> None:
        """Plays the proxy, with the same facts before each ack."""
        reader, writer = await asyncio.open_unix_connection(self.paths.stream_socket)
        try:
            writer.write(encode_frame(self.proxy.hello()))
            while True:
                header = await reader.readexactly(4)
                answer = self.proxy.take(header + await reader.readexactly(struct.unpack(">I", header)[0]))
                if answer is not None:
                    binds = [key.name for key in self.proxy.bodies if key.kind is ResourceKind.BIND]
                    facts = [
                        BindFact(
                            name=name, listening=name not in self.binds, message=self.binds.get(name, "")
                        )
                        for name in binds
                    ]
                    writer.write(encode_frame(Facts(binds=tuple(facts))))
                    writer.write(encode_frame(answer))
                    self._changed.set()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await self._changed.wait()
                self._changed.clear()

    def addresses(self) -> list[str]:
        body = self.proxy.bodies.get(BACKEND)
        if body is None:
            return []
        found = decode_resource(ResourceKind.ENDPOINTS, body)
        assert isinstance(found, Endpoints)
        return [item.address for item in found.endpoints]

    def condition(self, kind: Kind, name: str, condition: str) -> str:
        status = self.controller._statuses.status_of(kind, Ref("default", name))
        conditions = msgspec.to_builtins(status) if status is not None else {}
        found = conditions.get("conditions") or [
            one for parent in conditions.get("parents", ()) for one in parent["conditions"]
        ]
        return next((f"{one['status']} {one['reason']}" for one in found if one["type"] == condition), "")


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path)
    tasks = [asyncio.create_task(rig.controller.run())]
    await rig.until(rig.paths.stream_socket.is_socket)
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(rig.follow()))
    yield rig
    for task in reversed(tasks):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_nothing_reaches_the_proxy_before_every_required_kind_is_listed(rig: Rig) -> None:
    rig.script.put(*OBJECTS)
    rig.script.sync(*(kind for kind in Kind if kind is not Kind.SERVICE))
    await rig.until(lambda: rig.controller._server.proxies != ())
    assert rig.proxy.updates == []
    rig.script.sync(Kind.SERVICE)
    await rig.until(lambda: rig.proxy.position is not None)
    assert rig.proxy.updates[0].full
    assert {key.kind for key in rig.proxy.bodies} == set(ResourceKind)
    assert rig.addresses() == ["10.0.0.1", "10.0.0.2"]


async def test_an_endpoint_change_reaches_the_proxy_as_a_single_change(rig: Rig) -> None:
    rig.script.put(*OBJECTS)
    rig.script.sync()
    await rig.until(lambda: rig.proxy.position is not None)
    rig.script.put(web_slice("10.0.0.2", "10.0.0.3"))
    await rig.until(lambda: rig.addresses() == ["10.0.0.2", "10.0.0.3"])
    last = rig.proxy.updates[-1]
    assert last.upserts == ()
    assert [item.address for item in last.endpoints[0].upserts] == ["10.0.0.3"]
    assert last.event_ms is not None
    assert abs(last.event_ms - SystemClock().wall() * 1000) < 5000


async def test_programmed_is_said_after_the_ack(rig: Rig) -> None:
    rig.script.put(*OBJECTS)
    rig.script.sync()
    await rig.until(lambda: rig.condition(Kind.GATEWAY, "edge", "Programmed") == "True Programmed")
    assert rig.proxy.position is not None
    assert rig.condition(Kind.HTTP_ROUTE, "web", "Accepted") == "True Accepted"


async def test_a_bind_that_fails_reaches_the_gateways_status(rig: Rig) -> None:
    rig.script.put(*OBJECTS)
    await rig.until(lambda: rig.controller._server.proxies != ())
    address = rig.controller._addresses.assign(Ref("default", "edge"), None, None).address
    rig.binds[f"{address}:8080"] = "address already in use"
    rig.script.sync()
    await rig.until(lambda: rig.condition(Kind.GATEWAY, "edge", "Programmed").startswith("False"))


async def test_what_the_proxys_code_refuses_is_not_sent_and_is_told(rig: Rig) -> None:
    rig.refuse = b"/forbidden"
    rig.script.put(*OBJECTS)
    rig.script.sync()
    await rig.until(lambda: ROUTE in rig.proxy.bodies)
    before = rig.proxy.bodies[ROUTE]
    rig.script.put(web_route("/forbidden"))
    await rig.until(lambda: rig.condition(Kind.HTTP_ROUTE, "web", "Accepted").startswith("False"))
    assert rig.proxy.bodies[ROUTE] == before
    (refused,) = rig.controller._about().rejected
    assert (refused.resource, refused.code) == ("route/HTTPRoute/default/web", "InvalidPath")
    rig.script.put(web_route("/mended"))
    await rig.until(lambda: rig.condition(Kind.HTTP_ROUTE, "web", "Accepted") == "True Accepted")
    assert b"/mended" in rig.proxy.bodies[ROUTE]


async def test_addresses_are_recorded_for_the_next_start(rig: Rig) -> None:
    rig.script.put(*OBJECTS)
    rig.script.sync()
    await rig.until(lambda: load(rig.paths.addresses) != {})
    bind = next(key.name for key in rig.proxy.bodies if key.kind is ResourceKind.BIND)
    assert load(rig.paths.addresses) == {Ref("default", "edge"): bind.partition(":")[0]}


async def test_a_full_disk_ends_nothing_and_the_addresses_are_recorded_once_it_has_room(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = 0

    def counted(path: Path, addresses: dict[Ref, str]) -> None:
        nonlocal tried
        tried += 1
        save(path, addresses)

    monkeypatch.setattr("fairlead.runtime._controller._STATUS_S", 0.01)
    monkeypatch.setattr("fairlead.runtime._addresses.save", counted)
    temporary = rig.paths.addresses.with_suffix(".tmp")
    temporary.symlink_to("/dev/full")
    with capture_logs() as logs:
        rig.script.put(*OBJECTS)
        rig.script.sync()
        await rig.until(lambda: tried >= 3)
        rig.script.put(web_slice("10.0.0.3"))
        await rig.until(lambda: rig.addresses() == ["10.0.0.3"])
        temporary.unlink()
        await rig.until(lambda: load(rig.paths.addresses) != {})
        await rig.until(lambda: any(line["event"] == "record written" for line in logs))
    (line,) = [line for line in logs if line["event"] == "record not written"]
    assert "No space left on device" in line["error"]


async def test_what_follows_the_api_server_is_counted_on_the_proxys_page_before_anything_could_be_read(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fairlead.runtime._stats.PERIOD_S", 0.01)
    rig.reflector.count("Forbidden")
    rig.reflector.lists = 1
    await rig.until(lambda: rig.proxy.stats != [])
    assert rig.proxy.updates == []
    (told,) = rig.proxy.stats[-1].reflectors
    assert (told.kind, told.relists, told.errors, told.last_sync_age_ms) == (
        "Service",
        1,
        {"Forbidden": 1},
        None,
    )
    rig.reflector.events = 5
    rig.reflector.synced_at = SystemClock().monotonic() - 3
    await rig.until(lambda: rig.proxy.stats[-1].reflectors[0].watch_events == 5)
    assert (rig.proxy.stats[-1].reflectors[0].last_sync_age_ms or 0) >= 3_000


async def test_a_proxy_that_comes_back_keeps_what_it_has(rig: Rig) -> None:
    rig.script.put(*OBJECTS)
    rig.script.sync()
    await rig.until(lambda: rig.proxy.position is not None)
    again = ModelProxy()
    again.bodies = dict(rig.proxy.bodies)
    rig.proxy = again
    following = asyncio.create_task(rig.follow())
    await rig.until(lambda: again.position is not None)
    assert again.updates[0].full
    assert all(item.body is None for item in again.updates[0].upserts)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
