"""The admin API over HTTP: lists, single items, watches, errors."""

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
from structlog.testing import capture_logs

from fairlead import api, stream
from fairlead.admin._looking import PERIOD_MS
from fairlead.base import SystemClock
from fairlead.resources import Kind
from fairlead.snapshot import BindFact, Position, Rejection
from fairlead.snapshot import Kind as ResourceKind
from fairlead.sources import Finding, Synced, Unavailable
from tests.admin.rig import Rig, endpoint, gateway, gateway_status, route, stats


@pytest.fixture
def rig() -> Rig:
    rig = Rig(SystemClock())
    rig.fill()
    return rig


@pytest.fixture
async def client(rig: Rig, tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    path = tmp_path / "admin.sock"
    task = asyncio.create_task(rig.server().run(path))
    async with asyncio.timeout(5):
        while not path.is_socket():
            await asyncio.sleep(0.001)
    connector = aiohttp.UnixConnector(path=str(path))
    async with aiohttp.ClientSession("http://localhost", connector=connector) as session:
        yield session
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def get(client: aiohttp.ClientSession, path: str) -> bytes:
    async with client.get(f"/api/v1/{path}") as answer:
        assert answer.status == 200, await answer.text()
        return await answer.read()


async def problem(client: aiohttp.ClientSession, path: str) -> tuple[int, api.Problem]:
    async with client.get(f"/api/v1/{path}") as answer:
        return answer.status, msgspec.json.decode(await answer.read(), type=api.Problem)


async def test_only_the_owner_may_ask(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "admin.sock").stat().st_mode) == 0o600


async def test_where_there_can_be_no_socket_yet_it_is_made_later(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fairlead.admin._app.RETRY_S", 0.001)
    path = tmp_path / "later" / "admin.sock"
    with capture_logs() as logs:
        task = asyncio.create_task(rig.server().run(path))
        async with asyncio.timeout(5):
            while not logs:
                await asyncio.sleep(0.001)
            path.parent.mkdir()
            while not path.is_socket():
                await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [line["event"] for line in logs] == ["the admin API is not served"]


async def test_gateways_are_kubernetes_objects_with_their_status(client: aiohttp.ClientSession) -> None:
    found = msgspec.json.decode(await get(client, "gateways"), type=api.ItemList[api.Gateway])
    assert [(item.metadata.namespace, item.metadata.name) for item in found.items] == [
        ("default", "edge"),
        ("shop", "edge"),
    ]
    first = msgspec.json.decode(msgspec.json.encode(found.items[0]))
    assert (first["apiVersion"], first["kind"]) == ("gateway.networking.k8s.io/v1", "Gateway")
    assert first["spec"]["listeners"][0]["port"] == 8080
    assert first["status"]["addresses"] == [{"type": "IPAddress", "value": "127.1.2.3"}]
    assert [one["type"] for one in first["status"]["conditions"]] == ["Accepted", "Programmed"]


async def test_a_list_of_one_namespace_tells_how_many_are_elsewhere(client: aiohttp.ClientSession) -> None:
    body = await get(client, "gateways?namespace=shop")
    found = msgspec.json.decode(body, type=api.ItemList[api.Gateway])
    assert [item.metadata.namespace for item in found.items] == ["shop"]
    assert found.elsewhere == 1


async def test_what_is_not_ours_is_not_shown(rig: Rig, client: aiohttp.ClientSession) -> None:
    rig.put(Kind.GATEWAY, gateway("foreign"), None)
    rig.put(Kind.HTTP_ROUTE, route("foreign"), api.RouteStatus())
    assert b"foreign" not in await get(client, "gateways")
    assert b"foreign" not in await get(client, "routes")


async def test_endpoints_have_state_reason_share_success_and_latency(client: aiohttp.ClientSession) -> None:
    found = msgspec.json.decode(await get(client, "endpoints"), type=api.ItemList[api.Endpoint])
    first, second = found.items
    assert first.metadata.name == "web:80/10.0.0.1:8001"
    assert first.spec.pod == "default/web-8001"
    assert (first.status.state, first.status.reason) == ("ready", "")
    assert first.status.share == 0.75
    assert first.status.latency_ms == 2.0
    assert first.status.traffic is not None
    assert first.status.traffic.success_rate == 0.9
    assert second.status.reason == "NotReady"


async def test_endpoints_without_telemetry_have_the_state_that_kubernetes_says(
    rig: Rig, client: aiohttp.ClientSession
) -> None:
    rig.telemetry.forget()
    rig.serve(endpoint(1), endpoint(2, ready=False), endpoint(3, ready=False, terminating=True))
    found = msgspec.json.decode(await get(client, "endpoints"), type=api.ItemList[api.Endpoint])
    states = [(item.status.state, item.status.reason, item.status.traffic) for item in found.items]
    assert states == [("ready", "", None), ("not-ready", "NotReady", None), ("fallback", "Terminating", None)]


async def test_backends_count_their_endpoints(client: aiohttp.ClientSession) -> None:
    found = msgspec.json.decode(await get(client, "backends"), type=api.ItemList[api.Backend])
    (backend,) = found.items
    assert backend.metadata.name == "web:80"
    assert (backend.status.ready, backend.status.endpoints) == (1, 2)
    assert backend.spec.load_balancer == "PeakEWMA"


@pytest.mark.parametrize(
    "path",
    [
        "gateways/shop/edge",
        "routes/default/api",
        "backends/default/web:80",
        "endpoints/default/web:80/10.0.0.1:8001",
    ],
)
async def test_one_item_by_name(client: aiohttp.ClientSession, path: str) -> None:
    item = msgspec.json.decode(await get(client, path))
    namespace, name = path.split("/", 2)[1:]
    assert (item["metadata"]["namespace"], item["metadata"]["name"]) == (namespace, name)


@pytest.mark.parametrize(
    "path",
    [
        "gateways/default/none",
        "backends/default/web",
        "endpoints/default/web:80/10.0.0.9:1",
        "pods",
        "gateways/x",
    ],
)
async def test_what_is_not_there_is_a_problem_with_a_code(client: aiohttp.ClientSession, path: str) -> None:
    status, found = await problem(client, path)
    assert (status, found.code) == (404, "NotFound")


async def test_a_watch_tells_all_then_what_changes(rig: Rig, client: aiohttp.ClientSession) -> None:
    async with client.get("/api/v1/gateways?namespace=default&watch=true") as answer, asyncio.timeout(10):

        async def event() -> tuple[str, str | None]:
            line = msgspec.json.decode(await answer.content.readline(), type=api.WatchEvent[api.Gateway])
            return line.type, line.object.metadata.name if line.object else None

        assert await event() == ("ADDED", "edge")
        assert await event() == ("BOOKMARK", None)
        rig.put(Kind.GATEWAY, gateway("second"), gateway_status())
        assert await event() == ("ADDED", "second")
        rig.put(Kind.GATEWAY, gateway("second"), gateway_status("False"))
        assert await event() == ("MODIFIED", "second")
        rig.remove(Kind.GATEWAY, gateway("second"))
        assert await event() == ("DELETED", "second")


async def test_a_watch_of_endpoints_follows_their_traffic(rig: Rig, client: aiohttp.ClientSession) -> None:
    async with client.get("/api/v1/endpoints?watch=true") as answer, asyncio.timeout(10):
        for _ in range(3):
            await answer.content.readline()
        rig.measure(stats(8001, 40, failures=3), stats(8002, 40), at=1.0)
        line = msgspec.json.decode(await answer.content.readline(), type=api.WatchEvent[api.Endpoint])
        assert line.object is not None
        assert line.object.status.share == 0.25
    assert [one.period_ms for one in rig.subscriptions] == [PERIOD_MS]


async def test_the_instance_tells_what_it_can_read_and_what_proxies_refuse(
    rig: Rig, client: aiohttp.ClientSession
) -> None:
    refusal = Rejection(kind=ResourceKind.ROUTE, name="r", reason="InvalidPath", message="no slash")
    rig.inventory.apply([Synced(Kind.GATEWAY), Unavailable(Kind.BACKEND_POLICY, "Forbidden", "no right")])
    rig.inventory.told(stream.Greeted("p#1", "", None))
    rig.inventory.told(stream.FactsLearnt("p#1", (BindFact(name="b", listening=False, message="in use"),)))
    rig.inventory.told(stream.Adopted("p#1", Position(epoch=1, generation=7), (refusal,)))
    about = msgspec.json.decode(await get(client, "instance"), type=api.Instance)
    assert {kind.kind: (kind.synced, kind.problem) for kind in about.kinds} == {
        "Gateway": (True, ""),
        "BackendPolicy": (False, "Forbidden: no right"),
    }
    (proxy,) = about.proxies
    assert proxy.generation == 7
    assert proxy.rejected == (api.Rejected(resource="route/r", code="InvalidPath", message="no slash"),)
    assert proxy.binds == (api.BindState(name="b", listening=False, message="in use"),)
    rig.inventory.told(stream.Gone("p#1"))
    about = msgspec.json.decode(await get(client, "instance"), type=api.Instance)
    assert about.proxies == ()


async def test_findings_stay_until_they_are_resolved(rig: Rig, client: aiohttp.ClientSession) -> None:
    rig.inventory.apply([Finding("BrokenDocument", "bad indent", "a.yaml:3")])
    assert await findings(client) == [("a.yaml:3", "BrokenDocument", "bad indent")]
    rig.inventory.apply([Finding("BrokenDocument", "", "a.yaml:3", resolved=True)])
    assert await findings(client) == []


async def test_findings_are_all_that_is_wrong_by_place(rig: Rig, client: aiohttp.ClientSession) -> None:
    rig.inventory.apply(
        [
            Finding("BrokenDocument", "bad indent", "web.yaml:3"),
            Unavailable(Kind.BACKEND_POLICY, "Forbidden", "not allowed"),
        ]
    )
    rig.inventory.told(stream.Greeted("p#1", "", None))
    refused = Rejection(
        kind=ResourceKind.ROUTE, name="HTTPRoute/default/api", reason="InvalidPath", message="not a path"
    )
    rig.inventory.told(stream.Adopted("p#1", Position(epoch=1, generation=1), (refused,)))
    binds = (BindFact(name="127.0.0.1:80", listening=False, message="Address already in use"),)
    rig.inventory.told(stream.FactsLearnt("p#1", binds))
    expected = [
        ("BackendPolicy", "Forbidden", "cannot be read: not allowed"),
        ("HTTPRoute default/api", "InvalidPath", "proxy p#1 refuses it: not a path"),
        ("bind 127.0.0.1:80", "PortUnavailable", "proxy p#1 cannot listen: Address already in use"),
        ("web.yaml:3", "BrokenDocument", "bad indent"),
    ]
    assert await findings(client) == expected
    assert await findings(client, "?namespace=shop") == expected, "findings are in no namespace"
    rig.inventory.told(stream.Gone("p#1"))
    rig.inventory.apply([Synced(Kind.BACKEND_POLICY)])
    assert await findings(client) == expected[3:]


async def findings(client: aiohttp.ClientSession, query: str = "") -> list[tuple[str, str, str]]:
    body = await get(client, f"findings{query}")
    found = msgspec.json.decode(body, type=api.ItemList[api.Finding]).items
    return [(item.spec.where, item.spec.code, item.spec.message) for item in found]


async def test_the_version_names_the_contract(client: aiohttp.ClientSession) -> None:
    found = msgspec.json.decode(await get(client, "version"), type=api.Version)
    assert found.contract >= 1


async def test_only_the_backends_that_are_asked_for_are_measured(
    rig: Rig, client: aiohttp.ClientSession
) -> None:
    await get(client, "endpoints?namespace=shop")
    assert rig.subscriptions[-1:] == []
    await get(client, "backends?namespace=default&name=web")
    assert rig.subscriptions[-1].backends == ("Service/default/web/80",)
    body = await get(client, "endpoints?name=api")
    assert msgspec.json.decode(body, type=api.ItemList[api.Endpoint]).items == ()
    body = await get(client, "endpoints?name=web:80")
    assert len(msgspec.json.decode(body, type=api.ItemList[api.Endpoint]).items) == 2
    assert len(rig.subscriptions) == 1
    await get(client, "endpoints")
    assert rig.subscriptions[-1].backends is None
