"""The client: what is sent, what comes back, and how errors leave it."""

import asyncio
import sys

import msgspec
import pytest
from aiohttp import web

from fairlead.kube import (
    AlreadyExists,
    Client,
    ClientSettings,
    Conflict,
    Disconnected,
    Forbidden,
    Gone,
    Invalid,
    KubeError,
    NotFound,
    ProtocolError,
    Rejected,
    ServerError,
    TooManyRequests,
    Unauthorized,
    Unreachable,
    VersionTooLarge,
)
from fairlead.kube._identity import Identity, User
from tests.kube.fake_api import SLICES, FakeApi, eventually, refuse, reset, running, status_object
from tests.kube.following import CLIENT, credentials

ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/a/httproutes/r"


class Seen:
    def __init__(self, api: FakeApi, *, status: int = 200, body: bytes = b'{"ok":true}') -> None:
        self.request: web.Request | None = None
        self.body = b""
        self._answer = (status, body)
        api.other = self._handle

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.request = request
        self.body = await request.read()
        status, body = self._answer
        return web.Response(status=status, body=body)


async def test_a_list_asks_for_what_it_is_told() -> None:
    async with running() as api, Client(credentials(api.url)) as client:
        await client.list_(SLICES, version="100")
        await client.list_(SLICES, limit=500)
        await client.list_(SLICES, version="0", limit=500, continue_token="t+/=")
    assert api.queries == [
        {"resourceVersion": "100"},
        {"limit": "500"},
        {"limit": "500", "continue": "t+/="},
    ], "a version and a continue token exclude each other"


async def test_a_watch_asks_for_bookmarks_and_a_time() -> None:
    async with (
        running() as api,
        Client(credentials(api.url)) as client,
        client.watch(SLICES, version="100", seconds=300),
    ):
        pass
    assert api.queries == [
        {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": "300", "resourceVersion": "100"}
    ]


async def test_a_watch_gives_whole_lines_and_a_cut_one_is_an_error() -> None:
    async with running() as api, Client(credentials(api.url)) as client:
        got: list[bytes] = []

        async def read() -> None:
            async with client.watch(SLICES, version="100", seconds=30) as stream:
                async for lines in stream:
                    got.extend(lines)

        task = asyncio.create_task(read())
        await eventually(lambda: bool(api.watchers))
        api.watchers[0].send(b'{"a": 1}\n{"b"')
        await eventually(lambda: got == [b'{"a": 1}'])
        api.end_watches()
        with pytest.raises(Disconnected) as caught:
            await task
        assert caught.value.code == "StreamTruncated"


@pytest.mark.parametrize(
    ("verb", "method", "path", "content_type", "query"),
    [
        ("create", "POST", ROUTE, "application/json", {"fieldManager": "fairlead"}),
        ("update", "PUT", f"{ROUTE}/status", "application/json", {"fieldManager": "fairlead"}),
        (
            "merge_patch",
            "PATCH",
            f"{ROUTE}/status",
            "application/merge-patch+json",
            {"fieldManager": "fairlead"},
        ),
        (
            "apply",
            "PATCH",
            f"{ROUTE}/status",
            "application/apply-patch+yaml",
            {"fieldManager": "fairlead", "force": "true"},
        ),
    ],
)
async def test_writes(verb: str, method: str, path: str, content_type: str, query: dict[str, str]) -> None:
    extra: dict[str, object] = {} if verb == "create" else {"subresource": "status"}
    if verb == "apply":
        extra["force"] = True
    async with running() as api, Client(credentials(api.url)) as client:
        seen = Seen(api)
        answer = await getattr(client, verb)(ROUTE, b'{"a":  1}', **extra)
    assert answer == b'{"ok":true}'
    assert seen.body == b'{"a":  1}', "byte for byte"
    assert seen.request is not None
    assert seen.request.method == method
    assert seen.request.path == path
    assert seen.request.content_type == content_type
    assert dict(seen.request.query) == query
    assert seen.request.headers["User-Agent"].startswith("fairlead/")


async def test_get_gives_the_answer_byte_for_byte() -> None:
    async with running() as api, Client(credentials(api.url)) as client:
        Seen(api, body=b'{"b": 1,  "a": 2}')
        assert await client.get(ROUTE) == b'{"b": 1,  "a": 2}'


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, status_object(400, "BadRequest"), Rejected),
        (401, status_object(401, "Unauthorized"), Unauthorized),
        (403, status_object(403, "Forbidden"), Forbidden),
        (404, status_object(404, "NotFound"), NotFound),
        (404, b"404 page not found", NotFound),
        (409, status_object(409, "Conflict"), Conflict),
        (409, status_object(409, "AlreadyExists"), AlreadyExists),
        (410, status_object(410, "Expired"), Gone),
        (410, status_object(410, "Gone"), Gone),
        (410, b"", Gone),
        (422, status_object(422, "Invalid"), Invalid),
        (429, b"slow down", TooManyRequests),
        (500, b"<html>", ServerError),
        (503, status_object(503, "ServiceUnavailable"), ServerError),
        (504, status_object(504, "Timeout"), ServerError),
        (504, status_object(504, "Timeout", "Too large resource version: 2, current: 1"), VersionTooLarge),
        (
            504,
            status_object(504, "Timeout", details={"causes": [{"reason": "ResourceVersionTooLarge"}]}),
            VersionTooLarge,
        ),
        (302, b"", ProtocolError),
    ],
)
async def test_errors_leave_with_their_kind(status: int, body: bytes, error: type[KubeError]) -> None:
    async with running() as api, Client(credentials(api.url)) as client:
        Seen(api, status=status, body=body)
        with pytest.raises(error) as caught:
            await client.get(ROUTE)
        assert type(caught.value) is error
        assert caught.value.status == status
        assert caught.value.message
        if error is not Unauthorized:
            assert len(api.requests) == 1, "nothing is repeated here"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", (7, 7)),
        ("0", (0, 0)),
        ("Fri, 31 Dec 2100 23:59:59 GMT", (1e9, 1e10)),
        (f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT", None),
        ("soon", None),
        (None, 3),
    ],
)
async def test_retry_after_in_either_form(header: str | None, seconds: tuple[float, float] | None) -> None:
    async with running() as api, Client(credentials(api.url)) as client:
        details = {"details": {"retryAfterSeconds": 3}} if header is None else {}

        async def fault(_: web.Request) -> web.StreamResponse:
            headers = {"Retry-After": header} if header is not None else None
            return web.Response(
                status=429, body=msgspec.json.encode({"code": 429, **details}), headers=headers
            )

        api.on_list = fault
        with pytest.raises(TooManyRequests) as caught:
            await client.list_(SLICES)
    if header is None:
        assert caught.value.retry_after == 3
    elif seconds is None:
        assert caught.value.retry_after is None
    else:
        assert caught.value.retry_after is not None
        assert seconds[0] <= caught.value.retry_after <= seconds[1]


async def test_refused_and_unknown_hosts_are_unreachable() -> None:
    async with running() as api:
        url = api.url
    for server in (url, "http://no-such-host.invalid:1"):
        async with Client(credentials(server)) as client:
            with pytest.raises(Unreachable) as caught:
                await client.list_(SLICES)
            assert caught.value.status is None
            with pytest.raises(Unreachable):
                await client.probe()


async def test_a_reset_is_a_disconnection() -> None:
    async with running() as api, Client(credentials(api.url)) as client:
        api.on_list = reset
        with pytest.raises(Disconnected):
            await client.list_(SLICES)


async def test_a_call_that_is_not_answered_ends() -> None:
    settings = msgspec.structs.replace(CLIENT, call_timeout=0.2, list_timeout=0.2, watch_head_timeout=0.2)

    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.Response()

    async with running() as api, Client(credentials(api.url), settings=settings) as client:
        api.on_list = api.on_watch = api.on_probe = hang
        api.other = hang
        for call in (client.list_(SLICES), client.get(ROUTE), client.probe()):
            with pytest.raises(Disconnected, match="in time"):
                await call
        with pytest.raises(Disconnected, match="in time"):
            async with client.watch(SLICES, version="1", seconds=5):
                pass


async def test_an_answer_without_end_has_a_limit() -> None:
    settings = msgspec.structs.replace(CLIENT, body_limit=1000)
    async with running() as api, Client(credentials(api.url), settings=settings) as client:
        Seen(api, body=b"x" * 2000)
        with pytest.raises(ProtocolError) as caught:
            await client.get(ROUTE)
        assert caught.value.code == "AnswerTooLong"


class Rotating:
    """A token that changes when it is read after `forget`."""

    def __init__(self, *tokens: bytes) -> None:
        self.tokens = list(tokens)

    def read(self) -> bytes:
        return self.tokens[0]

    def forget(self) -> None:
        if len(self.tokens) > 1:
            self.tokens.pop(0)


async def test_401_renews_the_token_and_repeats_once() -> None:
    user = User(token=Rotating(b"old", b"new", b"newer"))  # type: ignore[arg-type]
    seen: list[str] = []

    async def check(request: web.Request) -> web.StreamResponse | None:
        seen.append(request.headers["Authorization"])
        if seen[-1] == "Bearer old":
            return await refuse(401, "Unauthorized")(request)
        return None

    async with running() as api, Client(credentials(api.url, user=user)) as client:
        api.on_list = check
        await client.list_(SLICES)
        assert seen == ["Bearer old", "Bearer new"]
        api.on_list = refuse(401, "Unauthorized")
        with pytest.raises(Unauthorized):
            await client.list_(SLICES)
        assert api.count("list") == 4, "once, even with yet another token"
        with pytest.raises(Unauthorized):
            await client.list_(SLICES)
        assert api.count("list") == 5, "not at all with the same token"


async def test_credentials_that_fail_are_an_answer_like_401() -> None:
    class Failing(User):
        async def identity(self) -> Identity:
            from fairlead.kube import CredentialsError

            raise CredentialsError("the plugin failed", code="ExecPluginFailed", hint="log in")

    async with running() as api, Client(credentials(api.url, user=Failing())) as client:
        with pytest.raises(Unauthorized) as caught:
            await client.list_(SLICES)
    assert caught.value.code == "ExecPluginFailed"
    assert api.requests == []


@pytest.mark.parametrize(
    ("status", "ready"),
    [(200, True), (401, True), (403, True), (404, True), (429, False), (500, False), (503, False)],
)
async def test_the_probe_tells_a_server_that_is_ready_from_one_that_starts(status: int, ready: bool) -> None:
    async with running() as api, Client(credentials(api.url)) as client:
        api.on_probe = refuse(status, "x")
        assert await client.probe() is ready


async def test_a_server_url_with_a_path() -> None:
    async with running() as api, Client(credentials(f"{api.url}/k8s/clusters/c-1")) as client:
        seen = Seen(api)
        await client.get(ROUTE)
    assert seen.request is not None
    assert seen.request.path == f"/k8s/clusters/c-1{ROUTE}"


async def test_a_connection_is_used_again() -> None:
    async with running() as api, Client(credentials(api.url)) as client:
        peers = set()

        async def note(request: web.Request) -> None:
            assert request.transport is not None
            peers.add(request.transport.get_extra_info("peername"))

        api.on_list = note
        for _ in range(5):
            await client.list_(SLICES)
    assert len(peers) == 1


def test_importing_the_package_imports_no_http_library() -> None:
    import subprocess

    code = "import sys, fairlead.kube, fairlead.sources; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_server_that_hangs_is_noticed_within_20_s() -> None:
    settings = ClientSettings()
    assert settings.list_silence <= 20
    assert settings.watch_head_timeout <= 20
    assert settings.call_timeout <= 20
    assert settings.keepalive_idle + settings.user_timeout <= 20
