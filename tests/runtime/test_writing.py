"""How the status subresource is read and written through the Kubernetes client."""

from typing import cast

import pytest

from fairlead import kube
from fairlead.resources import Kind, Ref
from fairlead.runtime._writing import KubeStatusApi
from fairlead.status import StatusConflictError, StatusGoneError

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
