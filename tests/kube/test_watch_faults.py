"""The fault scenarios over real sockets: after each the truth is known again, and no request was one too many.

In most of them the same happens as in the comparison of clients: a and b are listed, c comes by the watch, then
the fault; meanwhile b is deleted and d added. In the end {a, c, d} is known and the deletion of b was told.
"""

import asyncio
import socket
import time

import msgspec
import pytest
from aiohttp import web

from fairlead.kube._transport import Transport, TransportSettings
from tests.kube.fake_api import (
    FakeApi,
    eventually,
    line,
    list_body,
    make_half_open,
    refuse,
    reset,
    running,
    transport_socket,
)
from tests.kube.following import CLIENT, Following, following
from tests.kube.world import make_slice


async def before(api: FakeApi, follow: Following) -> None:
    """a and b listed, c watched."""
    await follow.watching()
    assert follow.names == {"a", "b"}
    api.world.put("c")
    api.notify()
    await follow.is_true()


def meanwhile(api: FakeApi) -> None:
    api.world.delete("b")
    api.world.put("d")


async def after(api: FakeApi, follow: Following, *, requests: int, within: float = 5.0) -> None:
    await follow.is_true(within)
    assert follow.names == {"a", "c", "d"}
    assert follow.deleted == ["b"]
    assert follow.smallest >= 2, "never fewer than there were at any time"
    assert len(api.requests) <= requests
    assert api.most_in(1.0) <= 16, "the times are a tenth of the real ones"


def prepared(api: FakeApi) -> FakeApi:
    api.world.put("a")
    api.world.put("b")
    return api


async def test_01_clean_close() -> None:
    async with running() as api, following(prepared(api), very_short=0.0) as follow:
        await before(api, follow)
        meanwhile(api)
        api.watchers[0].position = api.world.version
        api.end_watches()
        await follow.watching(2)
        await after(api, follow, requests=3)
        assert api.count("list") == 1


async def test_02_410_in_the_stream() -> None:
    async with running() as api, following(prepared(api)) as follow:
        await before(api, follow)
        api.watchers[0].send(line("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"}))
        meanwhile(api)
        api.world.compact()
        await after(api, follow, requests=4)
        assert api.count("list") == 2
        assert api.queries[2]["resourceVersion"] == "103", "at least as new as what was reached"
        assert "limit" not in api.queries[2]


async def test_03_410_as_a_status() -> None:
    async with running() as api, following(prepared(api)) as follow:
        await before(api, follow)
        meanwhile(api)
        watcher = api.watchers[0]
        watcher.position = api.world.version
        api.world.compact()
        watcher.end()
        await after(api, follow, requests=5)
        assert api.count("list") == 2


async def test_04_http_500_for_a_while() -> None:
    async with running() as api, following(prepared(api)) as follow:
        await before(api, follow)
        api.on_list = api.on_watch = refuse(500, "InternalError")
        meanwhile(api)
        api.watchers[0].position = api.world.version
        api.end_watches()
        await asyncio.sleep(0.6)
        assert follow.names == {"a", "b", "c"}
        assert follow.state[-1] == "ServerError"
        during = len(api.requests)
        api.on_list = api.on_watch = None
        await after(api, follow, requests=during + 3)
        assert during <= 8
        await eventually(lambda: follow.state[-1] == "ok")


async def test_05a_resets_for_a_while() -> None:
    async with running() as api, following(prepared(api)) as follow:
        await before(api, follow)
        api.on_list = api.on_watch = reset
        meanwhile(api)
        for watcher in list(api.watchers):
            watcher.position = api.world.version
            watcher.abort(with_reset=True)
        await asyncio.sleep(0.6)
        during = len(api.requests)
        # A list and a watch before; then three tries by the backoff, or a fourth, and the first may be sent twice:
        # the library repeats on a pooled connection that breaks.
        assert during <= 2 + 1 + 4
        api.on_list = api.on_watch = None
        await after(api, follow, requests=during + 3)


async def test_05b_refused_for_a_while_the_shared_probe_wakes_all() -> None:
    async with running() as api, following(prepared(api)) as follow:
        await before(api, follow)
        await api.stop()
        meanwhile(api)
        await eventually(lambda: follow.state[-1] == "Unreachable")
        await asyncio.sleep(0.6)
        assert follow.names == {"a", "b", "c"}
        assert 3 <= follow.health.probes <= 14
        back = time.monotonic()
        await api.start()
        await after(api, follow, requests=8)
        assert time.monotonic() - back < 1.0, "ten probes' time"
        assert api.count("list") == 1, "refused connections are no reason to list"


async def test_06_half_open_connection_is_noticed_by_the_kernel() -> None:
    """Nothing more comes, no RST, no FIN, and probes are not answered."""
    settings = msgspec.structs.replace(CLIENT, keepalive_idle=1, keepalive_interval=1, user_timeout=1.5)
    async with running() as api, following(prepared(api), client=settings, inactivity=60.0) as follow:
        await before(api, follow)
        watcher = api.watchers[0]
        with transport_socket(watcher.request) as raw:
            make_half_open(raw)
        watcher.position = 10**9
        start = time.monotonic()
        meanwhile(api)
        await after(api, follow, requests=4, within=6.0)
        assert time.monotonic() - start >= 1.0, "it took the probes to notice"
        assert api.count("watch") == 2
        assert api.count("list") == 1


async def test_06_half_open_behind_a_proxy_is_noticed_by_silence() -> None:
    """The connection to whatever stands in between is well: only the inactivity time can tell."""
    async with running() as api, following(prepared(api), inactivity=0.5) as follow:
        await before(api, follow)
        api.watchers[0].position = 10**9
        meanwhile(api)
        await after(api, follow, requests=5, within=3.0)


async def test_whole_lines_keep_a_watch_alive() -> None:
    async with running() as api, following(prepared(api), inactivity=0.5) as follow:
        await before(api, follow)
        for _ in range(8):
            await asyncio.sleep(0.2)
            api.bookmark()
        assert follow.reflector.stats.stalls == 0
        assert api.count("watch") == 1


async def test_07_slow_loris_on_the_watch() -> None:
    """Bytes that never make a line do not count as activity."""
    async with running() as api, following(prepared(api), inactivity=0.4) as follow:
        await before(api, follow)
        slow = api.watchers[0]
        slow.position = 10**9
        meanwhile(api)

        async def trickle() -> None:
            for _ in range(60):
                slow.send(b"{")
                await asyncio.sleep(0.03)

        task = asyncio.create_task(trickle())
        await after(api, follow, requests=5, within=3.0)
        task.cancel()


async def test_07_slow_loris_on_the_list() -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        api.on_list = None
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100):
            await response.write(b" ")
            await asyncio.sleep(0.05)
        return response

    client = msgspec.structs.replace(CLIENT, list_timeout=0.5)
    async with running() as api:
        api.on_list = slow
        async with following(prepared(api), client=client) as follow:
            await eventually(lambda: follow.state == ["Slow"], what="a first list that hangs is told")
            await follow.watching()
            assert follow.state == ["Slow", "Timeout", "ok"]
            assert follow.names == {"a", "b"}
            assert [kind for _, kind in api.requests] == ["list", "list", "watch"]


@pytest.mark.parametrize("stall", ["no head", "in the body"])
async def test_a_list_that_hangs_is_given_up_by_its_silence_and_heals(stall: str) -> None:
    async def hang(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if stall == "in the body":
            await response.prepare(request)
            await response.write(b'{"metadata": {"resourceVersion": "200"}, "items": [')
        await asyncio.sleep(60)
        return response

    client = msgspec.structs.replace(CLIENT, list_silence=0.3, list_timeout=60.0)
    async with running() as api, following(prepared(api), client=client) as follow:
        await before(api, follow)
        api.on_list = hang
        api.watchers[0].send(line("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"}))
        await eventually(lambda: api.count("list") >= 3, what="tried again, and again in vain")
        assert follow.state[-1] == "Timeout"
        assert follow.names == {"a", "b", "c"}
        meanwhile(api)
        api.on_list = None
        await after(api, follow, requests=9)
        await eventually(lambda: follow.state[-1] == "ok")


async def test_a_list_that_makes_progress_may_take_longer_than_its_silence() -> None:
    async def slow(_: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(_)
        body = list_body(list(api.world.objects.values()), api.world.version)
        for part in range(0, len(body), 100):
            await response.write(body[part : part + 100])
            await asyncio.sleep(0.1)
        return response

    client = msgspec.structs.replace(CLIENT, list_silence=0.4)
    async with running() as api:
        api.on_list = slow
        start = time.monotonic()
        async with following(prepared(api), client=client) as follow:
            await follow.is_true()
            assert time.monotonic() - start > 0.6
            assert api.count("list") == 1


async def test_08_versions_going_backwards() -> None:
    async with running() as api, following(prepared(api), inactivity=0.4, very_short=0.0) as follow:
        await follow.watching()
        backup = api.world.backup()
        api.world.put("c")
        api.world.put("d")
        api.notify()
        await follow.is_true()
        api.bookmark()
        await eventually(lambda: follow.reflector.stats.bookmarks == 1)
        api.world.restore(backup)
        api.world.put("e")
        api.end_watches()
        await follow.is_true()
        assert follow.names == {"a", "b", "e"}
        assert follow.reflector.stats.resets == 1
        assert len(api.requests) <= 8


async def test_09_duplicate_added() -> None:
    async with running() as api, following(prepared(api)) as follow:
        await before(api, follow)
        for event in api.world.log:
            if event.object.metadata.name == "c":
                api.watchers[0].send(line("ADDED", event.object))
        meanwhile(api)
        api.notify()
        await after(api, follow, requests=2)


async def test_10_bookmarks_only() -> None:
    async with running() as api, following(prepared(api)) as follow:
        await before(api, follow)
        for _ in range(5000):
            api.world.tick()
            api.bookmark()
        await eventually(lambda: follow.reflector.version == str(api.world.version))
        assert follow.reflector.stats.bookmarks == 5000
        meanwhile(api)
        api.notify()
        await after(api, follow, requests=2)


async def test_11_429_with_retry_after() -> None:
    async with running() as api, following(prepared(api)) as follow:
        await before(api, follow)
        api.on_watch = refuse(429, "TooManyRequests", headers={"Retry-After": "1"})
        meanwhile(api)
        api.watchers[0].position = api.world.version
        await asyncio.sleep(0.15)
        api.end_watches()
        await eventually(lambda: follow.state[-1] == "TooManyRequests")
        asked = len(api.requests)
        await asyncio.sleep(0.8)
        assert len(api.requests) == asked, "nothing before the second is over"
        api.on_watch = None
        await after(api, follow, requests=asked + 1)
        assert api.count("list") == 1


@pytest.mark.parametrize("cut", ["in the event, in good order", "in the event, connection lost", "garbage"])
async def test_12_truncated_json(cut: str) -> None:
    async with running() as api, following(prepared(api)) as follow:
        await before(api, follow)
        watcher = api.watchers[0]
        watcher.position = 10**9
        whole = line("ADDED", make_slice("x", "web", ["10.0.0.1"], uid="u", version=10**6))
        watcher.send(whole[:100] if cut != "garbage" else b'{"type": "ADDED", "obj\n')
        await asyncio.sleep(0.05)
        meanwhile(api)
        if cut == "in the event, in good order":
            watcher.end()
        elif cut == "in the event, connection lost":
            watcher.abort()
        await after(api, follow, requests=4)
        assert api.count("list") == 1


async def test_12_truncated_list_is_no_empty_list() -> None:
    async def truncated(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100000"})
        await response.prepare(request)
        await response.write(b'{"metadata": {"resourceVersion": "200"}, "items": [')
        assert request.transport is not None
        request.transport.close()
        return response

    async def empty(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"{}")

    async with running() as api, following(prepared(api)) as follow:
        await before(api, follow)
        for fault in (truncated, empty):
            api.on_list = fault
            wanted = api.count("list") + 2
            api.watchers[0].send(line("ERROR", {"code": 410, "reason": "Expired"}))
            while api.count("list") < wanted:
                await asyncio.sleep(0.01)
            assert follow.names == {"a", "b", "c"}
            api.on_list = None
            await eventually(lambda: bool(api.watchers))
        meanwhile(api)
        api.notify()
        await after(api, follow, requests=14)


async def test_13_rolling_restart() -> None:
    async with running() as api, following(prepared(api)) as follow:
        await before(api, follow)
        for round_ in range(3):
            await api.stop()
            api.world.compact()
            if round_ == 1:
                meanwhile(api)
            await asyncio.sleep(0.15)
            api.ready = False
            await api.start()
            await asyncio.sleep(0.1)
            api.ready = True
            await follow.watching(2 + round_)
        # Two at first; of each restart two probes at the utmost (not ready, ready), a watch, a list after its 410, a watch.
        await after(api, follow, requests=2 + 3 * 5)
        assert api.count("list") <= 4


async def test_k2_500_in_the_stream_then_list() -> None:
    async with running() as api, following(prepared(api)) as follow:
        await before(api, follow)
        for round_ in range(7):
            await follow.watching(1 + round_ - (1 if round_ == 6 else 0))
            api.watchers[0].position = 10**9
            api.watchers[0].send(line("ERROR", {"code": 500, "reason": "InternalError", "message": "etcd"}))
            await eventually(lambda: not api.watchers)
        meanwhile(api)
        await after(api, follow, requests=14)
        assert api.count("list") == 2


async def test_k16_forbidden_while_running_keeps_all_and_heals() -> None:
    async with running() as api, following(prepared(api)) as follow:
        await before(api, follow)
        api.on_list = api.on_watch = refuse(403, "Forbidden", message="endpointslices is forbidden")
        meanwhile(api)
        api.watchers[0].position = api.world.version
        api.end_watches()
        await eventually(lambda: follow.state[-1] == "Forbidden")
        await asyncio.sleep(0.3)
        assert follow.names == {"a", "b", "c"}
        api.on_list = api.on_watch = None
        await after(api, follow, requests=14)
        await eventually(lambda: follow.state[-1] == "ok")


async def test_one_undecodable_object_harms_itself_only() -> None:
    async with running() as api, following(prepared(api)) as follow:
        await before(api, follow)
        bad = {
            "metadata": {"name": "a", "namespace": "default", "uid": "uid-1", "resourceVersion": "104"},
            "endpoints": 7,
        }
        api.world.version = 104
        api.watchers[0].send(line("MODIFIED", bad))
        await eventually(lambda: len(follow.undecodable) == 1)
        assert "endpoints" in follow.undecodable[0].message
        meanwhile(api)
        api.notify()
        await after(api, follow, requests=2)


async def test_objects_of_one_and_a_half_megabytes_in_small_pieces() -> None:
    async with running() as api, following(prepared(api)) as follow:
        await before(api, follow)
        api.watchers[0].position = 10**9
        big = make_slice(
            "big", "web", [f"10.{i >> 8}.{i & 255}.1" for i in range(28_000)], uid="u", version=104
        )
        data = line("ADDED", big)
        assert len(data) > 1_500_000
        for start in range(0, len(data), 60_000):
            api.watchers[0].send(data[start : start + 60_000])
        await eventually(lambda: "big" in follow.names)
        assert len(api.requests) == 2


def test_sockets_are_kept_alive_by_the_kernel() -> None:
    """The figures behind `detected within 20 s`: silence 5 s, a probe each 2 s, given up at 12 s."""
    transport = Transport(secure=False, server_name=None, proxy=None, settings=TransportSettings())
    with transport._make_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1))) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        idle = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        interval = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
        given_up = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1000
        assert max(given_up, idle) + interval + 1 <= 20
