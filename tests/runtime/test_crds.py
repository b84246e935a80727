"""The versions of the Gateway API's CRDs, as a cluster tells them."""

from pathlib import Path

import msgspec
import pytest
import yaml
from aiohttp import web

import fairlead.sources.crds
from fairlead import kube
from fairlead.runtime._crds import CRDS, PINNED, CRDVersions
from fairlead.translate import GatewayAPI
from tests.kube.fake_api import FakeApi, refuse, running
from tests.kube.following import CLIENT, credentials

BUNDLE = "gateway.networking.k8s.io/bundle-version"


async def read(api: FakeApi) -> GatewayAPI:
    async with kube.Client(credentials(api.url), settings=CLIENT) as client:
        return await CRDVersions(client).read()


async def test_what_is_installed_is_read_as_metadata_alone() -> None:
    asked: list[str] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers["Accept"])
        name = request.path.rpartition("/")[2]
        if name.startswith("referencegrants"):
            return await refuse(404, "NotFound")(request) or web.Response()
        annotations = {} if name.startswith("gateways") else {BUNDLE: "v1.6.3"}
        return web.Response(body=msgspec.json.encode({"metadata": {"annotations": annotations}}))

    async with running() as api:
        api.other = serve
        known = await read(api)
    assert known.bundles == dict.fromkeys(CRDS[:3], "v1.6.3") | {CRDS[1]: ""}
    assert all("as=PartialObjectMetadata;" in accept for accept in asked)


@pytest.mark.parametrize(("code", "reason"), [(403, "Forbidden"), (500, "InternalError")])
async def test_what_cannot_be_read_is_said(code: int, reason: str) -> None:
    async with running() as api:
        api.other = refuse(code, reason, message="no such luck")  # type: ignore[assignment]
        known = await read(api)
    assert "no such luck" in known.problem
    assert ("allow get of customresourcedefinitions" in known.problem) == (code == 403)


@pytest.mark.parametrize("body", [b"<html>", b'{"metadata":{"annotations":"\xff"}}', b"[" * 100_000])
async def test_an_answer_that_is_no_object_is_said(body: bytes) -> None:
    async def serve(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body)

    async with running() as api:
        api.other = serve
        known = await read(api)
    assert known.problem.startswith("the versions of the CRDs cannot be read")


@pytest.mark.parametrize("name", CRDS)
def test_those_of_a_directory_are_the_ones_that_we_bring_along(name: str) -> None:
    plural, _, group = name.partition(".")
    path = Path(fairlead.sources.crds.__file__).parent / f"{group}_{plural}.yaml"
    crd = yaml.safe_load(path.read_text())
    assert PINNED.bundles[name] == crd["metadata"]["annotations"][BUNDLE]
