"""The cluster source: one reflector per kind, independent of each other, told as changes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

import msgspec
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from fairlead.kube import Client
from fairlead.resources import KINDS, HTTPRoute, Kind, Ref
from fairlead.sources import Change, ClusterSource, Finding, Removed, Synced, Unavailable, Upserted
from fairlead.sources._cluster import ClusterSettings
from tests.kube.fake_api import FakeApi, eventually, line, refuse, running
from tests.kube.following import CLIENT, FAST, HEALTH, credentials


class Collections:
    """All kinds of a cluster: empty lists, watches that stay open, and what a test sets."""

    def __init__(self, api: FakeApi) -> None:
        self.items: dict[str, list[dict[str, object]]] = {}
        self.faults: dict[str, int] = {}
        self.events: dict[str, asyncio.Queue[bytes]] = {}
        self.hanging: set[str] = set()
        self.asked: list[str] = []
        api.other = self.serve
        api.on_list = api.on_watch = self.serve

    async def serve(self, request: web.Request) -> web.StreamResponse:
        plural = request.path.rpartition("/")[2]
        self.asked.append(plural)
        if plural in self.hanging:
            await asyncio.sleep(30)
        if (code := self.faults.get(plural)) is not None:
            reason = {403: "Forbidden", 404: "NotFound"}.get(code, "InternalError")
            return await refuse(code, reason)(request) or web.Response()
        if "watch" not in request.query:
            body = {"metadata": {"resourceVersion": "10"}, "items": self.items.get(plural, [])}
            return web.Response(body=msgspec.json.encode(body))
        response = web.StreamResponse()
        await response.prepare(request)
        queue = self.events.setdefault(plural, asyncio.Queue())
        while True:
            await response.write(await queue.get())


def route(name: str, version: int, **spec: object) -> dict[str, object]:
    return {
        "metadata": {"name": name, "namespace": "a", "uid": f"uid-{name}", "resourceVersion": str(version)},
        "spec": spec,
    }


@asynccontextmanager
async def source(
    api: FakeApi, *, late_after: float = 10.0
) -> AsyncIterator[tuple[ClusterSource, list[Change]]]:
    changes: list[Change] = []

    def sink(batch: Sequence[Change], /) -> None:
        changes.extend(batch)

    async with Client(credentials(api.url), settings=CLIENT) as client:
        made = ClusterSource(
            client,
            random=Random(1),
            settings=ClusterSettings(
                reflector=msgspec.structs.replace(FAST, late_after=late_after),
                health=HEALTH,
                restart_after=0.05,
            ),
        )
        task = asyncio.create_task(made.run(sink))
        try:
            yield made, changes
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.wait([task])


def synced(changes: list[Change]) -> set[Kind]:
    return {change.kind for change in changes if isinstance(change, Synced)}


def refusals(changes: list[Change]) -> list[tuple[Kind, str]]:
    return [(change.kind, change.code) for change in changes if isinstance(change, Unavailable)]


async def test_every_kind_is_followed_over_all_namespaces() -> None:
    async with running() as api, source(api):
        collections = Collections(api)
        await eventually(lambda: len(api.requests) >= 2 * len(KINDS))
        assert set(collections.asked) == {info.plural for info in KINDS.values()}
        assert len(api.requests) == 2 * len(KINDS), "a list and a watch each"


async def test_objects_come_before_their_kind_is_synced_and_removals_carry_the_last_form() -> None:
    async with running() as api:
        collections = Collections(api)
        collections.items["httproutes"] = [route("r", 5, hostnames=["a.example"])]
        async with source(api) as (made, changes):
            await eventually(lambda: synced(changes) == set(KINDS))
            told = [c for c in changes if getattr(c, "kind", None) is Kind.HTTP_ROUTE]
            assert [type(c) for c in told] == [Upserted, Synced]
            first = told[0]
            assert isinstance(first, Upserted)
            assert isinstance(first.object, HTTPRoute)
            await eventually(lambda: "httproutes" in collections.events)
            changes.clear()
            collections.events["httproutes"].put_nowait(
                line("MODIFIED", route("r", 11, hostnames=["b.example"]))
                + line("DELETED", route("r", 12, hostnames=["not-the-last-that-was-known"]))
            )
            await eventually(lambda: len(changes) == 2)
            upserted, removed = changes
            assert isinstance(upserted, Upserted)
            assert isinstance(removed, Removed)
            assert removed.object == upserted.object
            assert removed.at >= upserted.at > 0
            assert len(made.stores[Kind.HTTP_ROUTE]) == 0


async def test_what_each_reflector_did_is_counted() -> None:
    async with running() as api:
        collections = Collections(api)
        collections.faults["backendpolicies"] = 403
        async with source(api) as (made, changes):
            await eventually(lambda: synced(changes) == set(KINDS) - {Kind.BACKEND_POLICY})
            await eventually(lambda: "httproutes" in collections.events)
            collections.events["httproutes"].put_nowait(line("ADDED", route("r", 11)))
            await eventually(lambda: any(isinstance(change, Upserted) for change in changes))
            stats = made.stats()
            routes, refused = stats[Kind.HTTP_ROUTE], stats[Kind.BACKEND_POLICY]
            assert (routes.lists, routes.watches, routes.events, routes.errors) == (1, 1, 1, {})
            assert routes.synced_at is not None
            assert (set(refused.errors), refused.events, refused.synced_at) == ({"Forbidden"}, 0, None)
            assert refused.lists >= refused.errors["Forbidden"] >= 1


@pytest.mark.parametrize(("status", "code"), [(403, "Forbidden"), (404, "NotFound"), (500, "ServerError")])
async def test_one_kind_that_is_refused_hurts_no_other_and_heals_by_itself(status: int, code: str) -> None:
    async with running() as api:
        collections = Collections(api)
        collections.faults["backendpolicies"] = status
        async with source(api) as (_, changes):
            await eventually(lambda: synced(changes) == set(KINDS) - {Kind.BACKEND_POLICY})
            assert refusals(changes) == [(Kind.BACKEND_POLICY, code)]
            del collections.faults["backendpolicies"]
            await eventually(lambda: synced(changes) == set(KINDS))


async def test_one_kind_that_hangs_is_told_and_hurts_no_other() -> None:
    async with running() as api:
        collections = Collections(api)
        collections.hanging.add("referencegrants")
        async with source(api, late_after=0.3) as (_, changes):
            await eventually(lambda: synced(changes) == set(KINDS) - {Kind.REFERENCE_GRANT})
            await eventually(lambda: (Kind.REFERENCE_GRANT, "Slow") in refusals(changes))


async def test_a_bad_object_is_a_finding_that_is_taken_back() -> None:
    async with running() as api:
        collections = Collections(api)
        collections.items["httproutes"] = [route("bad", 5, hostnames=7), route("good", 6)]
        async with source(api) as (_, changes):
            await eventually(lambda: Kind.HTTP_ROUTE in synced(changes))
            findings = [change for change in changes if isinstance(change, Finding)]
            assert [(f.code, f.where, f.resolved) for f in findings] == [
                ("Undecodable", "HTTPRoute a/bad", False)
            ]
            assert "hostnames" in findings[0].message
            good = [c.object.metadata.name for c in changes if isinstance(c, Upserted)]
            assert good == ["good"]
            await eventually(lambda: "httproutes" in collections.events)
            collections.events["httproutes"].put_nowait(line("MODIFIED", route("bad", 11)))
            await eventually(lambda: any(isinstance(c, Finding) and c.resolved for c in changes))


async def test_while_the_server_is_away_all_kinds_share_one_probe() -> None:
    async with running() as api:
        Collections(api)
        async with source(api) as (made, changes):
            await eventually(lambda: synced(changes) == set(KINDS))
            await eventually(lambda: len(api.requests) == 2 * len(KINDS))
            changes.clear()
            await api.stop()
            await eventually(
                lambda: {c.kind for c in changes if isinstance(c, Unavailable)} == set(KINDS), within=3.0
            )
            before = made.health.probes
            await asyncio.sleep(0.5)
            assert 2 <= made.health.probes - before <= 10, "one prober, not eight"
            changes.clear()
            await api.start()
            await eventually(lambda: synced(changes) == set(KINDS), within=2.0)


async def test_slices_are_found_by_their_service() -> None:
    async with running() as api:
        collections = Collections(api)
        collections.items["endpointslices"] = [
            {
                "metadata": {
                    "name": "web-1",
                    "namespace": "a",
                    "resourceVersion": "5",
                    "labels": {"kubernetes.io/service-name": "web"},
                },
                "addressType": "IPv4",
            }
        ]
        async with source(api) as (made, changes):
            await eventually(lambda: Kind.ENDPOINT_SLICE in synced(changes))
            found = made.stores[Kind.ENDPOINT_SLICE].indexed(Ref("a", "web"))
            assert [obj.metadata.name for obj in found] == ["web-1"]


async def test_a_change_that_the_sink_cannot_take_harms_itself_only() -> None:
    async with running() as api:
        collections = Collections(api)
        collections.items["httproutes"] = [route("good", 5), route("poison", 6), route("fine", 7)]
        changes: list[Change] = []

        def sink(batch: Sequence[Change], /) -> None:
            for change in batch:
                if isinstance(change, Upserted) and change.object.metadata.name == "poison":
                    raise RuntimeError("a defect")
            changes.extend(batch)

        async with Client(credentials(api.url), settings=CLIENT) as client:
            made = ClusterSource(client, random=Random(1), settings=ClusterSettings(reflector=FAST))
            with capture_logs() as logged:
                task = asyncio.create_task(made.run(sink))
                await eventually(lambda: synced(changes) == set(KINDS))
            assert {entry["log_level"] for entry in logged} == {"error"}
            assert [c.object.metadata.name for c in changes if isinstance(c, Upserted)] == ["good", "fine"]
            findings = [c for c in changes if isinstance(c, Finding)]
            assert [(f.code, f.where) for f in findings] == [("Internal", "HTTPRoute a/poison")]
            assert made.defects == 2
            task.cancel()
            await asyncio.wait([task])


async def test_a_defect_while_following_one_kind_is_told_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = Client.list_

    async def defect_once(self: Client, path: str, **query: object) -> bytes:
        if path == KINDS[Kind.HTTP_ROUTE].path():
            monkeypatch.setattr(Client, "list_", whole)
            raise RuntimeError("a defect")
        return await whole(self, path, **query)  # type: ignore[arg-type]

    monkeypatch.setattr(Client, "list_", defect_once)
    async with running() as api:
        collections = Collections(api)
        collections.items["httproutes"] = [route("r", 5)]
        with capture_logs() as logged:
            async with source(api) as (made, changes):
                await eventually(lambda: synced(changes) == set(KINDS))
        assert made.defects == len(logged) == 1
        assert refusals(changes) == [(Kind.HTTP_ROUTE, "Internal")]
        assert any(isinstance(c, Upserted) for c in changes)
