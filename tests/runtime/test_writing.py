"""How the status subresource is read and written through the Kubernetes client."""

import asyncio
from typing import cast

import pytest
from structlog.testing import capture_logs

from fairlead import kube
from fairlead.base import SystemClock
from fairlead.resources import Kind, Ref
from fairlead.runtime._writing import KubeStatusApi, Writing
from fairlead.status import StatusConflictError, StatusGoneError, StatusKeeper
from tests.kube.fake_api import FakeApi, eventually, refuse, running
from tests.kube.following import CLIENT, credentials
from tests.kube.test_lease import Leases

WEB = Ref("default", "web")
OBJECT = b'{"metadata":{"uid":"u1","resourceVersion":"7","x":1},"status":{"parents":[{"a": 1}]},"spec":{}}'


class Client:
    """Answers with a body or an error, and remembers what it was asked."""

    def __init__(self, answer: bytes | kube.KubeError) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, bytes, str]] = []

    async def get(self, path: str) -> bytes:
        return self._answer("GET", path)

    async def merge_patch(self, path: str, body: bytes, *, subresource: str = "") -> bytes:
        return self._answer("PATCH", path, body, subresource)

    async def apply(self, path: str, body: bytes, *, subresource: str = "", force: bool = False) -> bytes:
        assert force, "our own fields are ours whoever wrote them before"
        return self._answer("APPLY", path, body, subresource)

    def _answer(self, verb: str, path: str, body: bytes = b"", subresource: str = "") -> bytes:
        self.asked.append((verb, path, body, subresource))
        if isinstance(self.answer, kube.KubeError):
            raise self.answer
        return self.answer


def status_api(client: Client) -> KubeStatusApi:
    return KubeStatusApi(cast("kube.Client", client))


async def test_the_live_status_is_read_as_bytes_with_its_version() -> None:
    client = Client(OBJECT)
    live = await status_api(client).read(Kind.HTTP_ROUTE, WEB)
    assert (live.uid, live.resource_version, bytes(live.status)) == ("u1", "7", b'{"parents":[{"a": 1}]}')
    assert client.asked[0][1] == "/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes/web"


async def test_an_object_without_status_has_an_empty_one() -> None:
    live = await status_api(Client(b'{"metadata":{"uid":"u1"}}')).read(Kind.GATEWAY, WEB)
    assert bytes(live.status) == b"{}"


@pytest.mark.parametrize(
    "answer",
    [b"<html>welcome", b"", b"[]", b'{"metadata":7}', b'{"metadata":{"uid":"\xff"}}', b"[" * 100_000],
    ids=["a page", "nothing", "a list", "no metadata", "no text", "deep"],
)
async def test_an_answer_that_is_no_object_is_an_error_of_the_api_server(answer: bytes) -> None:
    with pytest.raises(kube.ProtocolError) as caught:
        await status_api(Client(answer)).read(Kind.HTTP_ROUTE, WEB)
    assert caught.value.code == "ObjectUnreadable"


async def test_only_the_subresource_is_written() -> None:
    client = Client(b"{}")
    await status_api(client).patch(Kind.HTTP_ROUTE, WEB, b"1")
    await status_api(client).apply(Kind.GATEWAY_CLASS, Ref("", "fairlead"), b"2")
    assert [(verb, body, sub) for verb, _, body, sub in client.asked] == [
        ("PATCH", b"1", "status"),
        ("APPLY", b"2", "status"),
    ]
    assert client.asked[1][1] == "/apis/gateway.networking.k8s.io/v1/gatewayclasses/fairlead"


async def test_errors_are_told_in_the_status_layers_words() -> None:
    with pytest.raises(StatusConflictError):
        await status_api(Client(kube.Conflict("changed"))).patch(Kind.HTTP_ROUTE, WEB, b"")
    gone = status_api(Client(kube.NotFound("gone")))
    with pytest.raises(StatusGoneError):
        await gone.read(Kind.GATEWAY, WEB)
    with pytest.raises(StatusGoneError):
        await gone.patch(Kind.HTTP_ROUTE, WEB, b"")
    with pytest.raises(StatusGoneError):
        await gone.apply(Kind.GATEWAY, WEB, b"")
    with pytest.raises(kube.Forbidden):
        await status_api(Client(kube.Forbidden("no right"))).patch(Kind.HTTP_ROUTE, WEB, b"")


async def said(api: FakeApi, *, until: str) -> list[dict[str, object]]:
    """What is logged of the Lease until a line says `until`."""
    with capture_logs() as logs:
        async with kube.Client(credentials(api.url), settings=CLIENT) as client:
            writing = Writing(client, controller_name="x.dev/y", identity="host_1", clock=SystemClock())
            keeper = StatusKeeper(controller_name="x.dev/y", clock=SystemClock(), epoch=1)
            running_ = asyncio.create_task(writing.run(keeper, on_held=lambda _: None))
            try:
                await eventually(lambda: any(line["event"].startswith(until) for line in logs))
            finally:
                running_.cancel()
                await asyncio.wait((running_,))
    return [dict(line) for line in logs]


async def test_a_refusal_of_the_lease_says_which_right_is_wanting() -> None:
    async with running() as api:
        api.other = refuse(403, "Forbidden", message="leases is forbidden")  # type: ignore[assignment]
        (line,) = await said(api, until="no status written")
    assert (line["log_level"], line["code"]) == ("warning", "Forbidden")
    assert line["lease"] == "default/x.dev-y"
    assert line["problem"] == "leases is forbidden"
    assert line["hint"] == "allow get, create and patch of leases in coordination.k8s.io in namespace default"


async def test_who_else_writes_status_is_said_by_name() -> None:
    async with running() as api:
        leases = Leases(api)
        spec: dict[str, object] = {"holderIdentity": "elsewhere_7", "leaseDurationSeconds": 15}
        leases.lease = {"metadata": {"resourceVersion": "1"}, "spec": spec}
        leases.lease |= {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}  # type: ignore[dict-item]
        (line,) = await said(api, until="another instance")
    assert (line["log_level"], line["holder"]) == ("info", "elsewhere_7")
