"""The Lease object on a real connection: what is written, and who writes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import msgspec
import pytest
from aiohttp import web

from fairlead.kube import Client, Lease, LeaseSettings, lease_name
from tests.kube.fake_api import FakeApi, eventually, refuse, running
from tests.kube.following import CLIENT, credentials

FAST = LeaseSettings(duration=1.0, renew_deadline=0.6, retry_period=0.1)
COLLECTION = "/apis/coordination.k8s.io/v1/namespaces/fairlead/leases"
NAME = "fairlead.dev-gateway-controller"


class Leases:
    """The Leases of the fake API server, with merge patches and optimistic locking."""

    def __init__(self, api: FakeApi) -> None:
        self.lease: dict[str, dict[str, object]] | None = None
        self.version = 0
        self.down = False
        self.bodies: list[tuple[str, dict[str, dict[str, object]]]] = []
        api.other = self.serve

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if self.down:
            return await refuse(503, "ServiceUnavailable")(request) or web.Response()
        body = msgspec.json.decode(await request.read() or b"{}")
        if request.method == "GET" and self.lease is None:
            return await refuse(404, "NotFound")(request) or web.Response()
        if request.method == "POST":
            assert request.path == COLLECTION
            if self.lease is not None:
                return await refuse(409, "AlreadyExists")(request) or web.Response()
            self.lease = {**body, "metadata": {**body["metadata"], "labels": {"kept": "yes"}}}
        elif request.method == "PATCH":
            assert request.path == f"{COLLECTION}/{NAME}"
            assert self.lease is not None
            if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
                return await refuse(409, "Conflict")(request) or web.Response()
            self.lease = {**self.lease, "spec": {**self.lease["spec"], **body["spec"]}}
        if request.method != "GET":
            self.bodies.append((request.method, body))
            self.version += 1
            assert self.lease is not None
            self.lease["metadata"]["resourceVersion"] = str(self.version)
        return web.Response(body=msgspec.json.encode(self.lease))


@asynccontextmanager
async def candidate(api: FakeApi, identity: str) -> AsyncIterator[tuple[Lease, list[bool]]]:
    async with Client(credentials(api.url), settings=CLIENT) as client:
        changes: list[bool] = []
        lease = Lease(
            client,
            namespace="fairlead",
            name=NAME,
            identity=identity,
            random=Random(identity),
            settings=FAST,
            on_change=lambda: changes.append(lease.held),
        )
        task = asyncio.create_task(lease.run())
        try:
            yield lease, changes
        finally:
            task.cancel()
            await asyncio.wait([task])


def test_the_name_is_the_controller_name_as_one_label() -> None:
    assert lease_name("fairlead.dev/gateway-controller") == NAME
    assert lease_name("Example.COM/My_Controller/") == "example.com-my-controller"


async def test_one_holds_the_other_knows_who_and_takes_over_at_once_when_it_is_given_back() -> None:
    async with running() as api, candidate(api, "two") as (two, _):
        leases = Leases(api)
        async with candidate(api, "one") as (one, changes):
            await eventually(lambda: one.held or two.held)
            holder, other = (one, two) if one.held else (two, one)
            name = "one" if holder is one else "two"
            await eventually(lambda: other.holder == name)
            assert not other.held
            assert leases.lease is not None
            spec = leases.lease["spec"]
            assert spec["holderIdentity"] == name
            assert spec["leaseDurationSeconds"] == 1
            assert str(spec["renewTime"]).endswith("Z")
            assert len(str(spec["renewTime"])) == len("2026-01-01T00:00:00.000000Z")
            renewed = spec["renewTime"]
            await eventually(
                lambda: leases.lease is not None and leases.lease["spec"]["renewTime"] != renewed
            )
            assert leases.lease["spec"]["acquireTime"] == spec["acquireTime"]
            assert (True in changes) == one.held, "the change was told"
        await eventually(lambda: two.held, within=0.8)
        assert leases.lease["metadata"]["labels"] == {"kept": "yes"}, "only its own fields are written"


async def test_a_holder_that_cannot_renew_is_fenced_in_time_and_says_so() -> None:
    async with running() as api, candidate(api, "one") as (one, changes):
        leases = Leases(api)
        await eventually(lambda: one.held)
        leases.down = True
        await eventually(lambda: not one.held, within=1.5)
        await eventually(lambda: changes[-1] is False)
        assert one.problem is not None
        assert one.problem.code == "ServerError"
        leases.down = False
        await eventually(lambda: one.held, within=3.0)
        assert one.problem is None


async def test_no_right_to_the_lease_is_a_problem_that_is_told_and_no_crash() -> None:
    async with running() as api:
        api.other = refuse(403, "Forbidden")  # type: ignore[assignment]
        async with candidate(api, "one") as (one, changes):
            await eventually(lambda: changes == [False], what="the problem is told")
            assert one.problem is not None
            assert one.problem.code == "Forbidden"
            assert not one.held
            asked = len(api.requests)
            await asyncio.sleep(0.5)
            assert len(api.requests) - asked <= 6


async def test_without_its_namespace_a_lease_is_tried_again_slowly() -> None:
    async with running() as api:
        api.other = refuse(404, "NotFound")  # type: ignore[assignment]
        async with candidate(api, "one") as (one, _):
            await eventually(lambda: one.problem is not None)
            asked = len(api.requests)
            await asyncio.sleep(0.5)
            assert len(api.requests) - asked <= 12, "a read and a write each time"
            assert one.problem is not None
            assert one.problem.code == "NotFound"


async def test_after_a_death_only_the_same_identity_goes_on_at_once() -> None:
    async with running() as api:
        leases = Leases(api)
        async with candidate(api, "host_1") as (one, _):
            await eventually(lambda: one.held)
            leases.down = True  # so it dies without giving the lease back
        leases.down = False
        async with candidate(api, "host_2") as (other, _), candidate(api, "host_1") as (successor, _):
            await eventually(lambda: successor.held, within=0.5)
            await eventually(lambda: other.holder == "host_1")
            assert not other.held


async def test_a_lease_deleted_by_somebody_is_made_anew() -> None:
    async with running() as api, candidate(api, "one") as (one, _):
        leases = Leases(api)
        await eventually(lambda: one.held)
        leases.lease = None
        original = leases.serve

        async def serve(request: web.Request) -> web.StreamResponse:
            if request.method == "PATCH" and leases.lease is None:
                return await refuse(404, "NotFound")(request) or web.Response()
            return await original(request)

        api.other = serve
        await eventually(lambda: leases.lease is not None and one.held, within=3.0)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]"])
async def test_an_answer_that_is_no_lease_is_a_problem(body: bytes) -> None:
    async with running() as api:

        async def serve(_: web.Request) -> web.StreamResponse:
            return web.Response(body=body)

        api.other = serve
        async with candidate(api, "one") as (one, _):
            await eventually(lambda: one.problem is not None)
            assert one.problem is not None
            assert one.problem.code == "LeaseUnreadable"
