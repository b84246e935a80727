"""An API server on loopback that serves one `World` truthfully, and misbehaves as a test scripts it.

It counts every request. What a fault needs to be (a reset, a half-open connection, a cut body) is done to the
real socket.
"""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import msgspec
from aiohttp import web

from fairlead.resources import EndpointSlice
from tests.kube.world import World

SLICES = "/apis/discovery.k8s.io/v1/endpointslices"

Fault = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


def status_object(code: int, reason: str, message: str = "", **extra: object) -> bytes:
    return msgspec.json.encode(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "code": code,
            "reason": reason,
            "message": message or reason,
            **extra,
        }
    )


def refuse(code: int, reason: str, *, headers: dict[str, str] | None = None, message: str = "") -> Fault:
    async def fault(_: web.Request) -> web.StreamResponse:
        return web.Response(
            status=code,
            body=status_object(code, reason, message),
            headers=headers,
            content_type="application/json",
        )

    return fault


def transport_socket(request: web.Request) -> socket.socket:
    assert request.transport is not None
    found = request.transport.get_extra_info("socket")
    assert found is not None
    return socket.socket(fileno=socket.dup(found.fileno()))


async def reset(request: web.Request) -> web.StreamResponse:
    """The peer sees a RST."""
    with transport_socket(request) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert request.transport is not None
    request.transport.abort()
    raise asyncio.CancelledError


def make_half_open(raw: socket.socket) -> None:
    """The kernel drops whatever comes in on this connection, acknowledgements and probes included."""
    drop_all = struct.pack("HBBI", 0x06, 0, 0, 0)  # BPF_RET | BPF_K, 0
    program = ctypes.create_string_buffer(drop_all)
    raw.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HL", 1, ctypes.addressof(program)))  # SO_ATTACH_FILTER


class Watcher:
    """One open watch."""

    def __init__(self, request: web.Request, response: web.StreamResponse, position: int) -> None:
        self.request, self.response, self.position = request, response, position
        self.wake = asyncio.Event()
        self.raw: list[bytes] = []
        self.ended = False
        self.aborted = False

    def send(self, data: bytes) -> None:
        self.raw.append(data)
        self.wake.set()

    def end(self) -> None:
        """Ends in good order, after what was sent."""
        self.ended = True
        self.wake.set()

    def abort(self, *, with_reset: bool = False) -> None:
        """The connection breaks."""
        self.aborted = True
        if with_reset:
            with transport_socket(self.request) as raw:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert self.request.transport is not None
        self.request.transport.abort()
        self.wake.set()


class FakeApi:
    def __init__(self) -> None:
        self.world = World()
        self.requests: list[tuple[float, str]] = []
        """Time and `list`, `watch`, `probe` or the path."""
        self.queries: list[dict[str, str]] = []
        self.on_list: Fault | None = None
        self.on_watch: Fault | None = None
        self.on_probe: Fault | None = None
        self.other: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
        self.watchers: list[Watcher] = []
        self.ready = True
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.05, handler_cancellation=True, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        assert self._runner.addresses
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Goes away; connections to it are refused from now on."""
        for watcher in self.watchers:
            watcher.end()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self.watchers.clear()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # scripts

    def notify(self) -> None:
        """The world has changed."""
        for watcher in self.watchers:
            watcher.wake.set()

    def bookmark(self) -> None:
        for watcher in self.watchers:
            watcher.send(line("BOOKMARK", {"metadata": {"resourceVersion": str(self.world.version)}}))

    def end_watches(self) -> None:
        for watcher in self.watchers:
            watcher.end()

    def count(self, what: str) -> int:
        return sum(1 for _, kind in self.requests if kind == what)

    def most_in(self, seconds: float) -> int:
        """The most requests within any time of that length."""
        times = [at for at, _ in self.requests]
        return max((sum(1 for b in times if 0 <= b - a < seconds) for a in times), default=0)

    # serving

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        is_watch = request.query.get("watch") == "1"
        kind = request.path
        if request.path == SLICES:
            kind = "watch" if is_watch else "list"
        elif request.path == "/readyz":
            kind = "probe"
        self.requests.append((time.monotonic(), kind))
        self.queries.append(dict(request.query))
        fault = {"list": self.on_list, "watch": self.on_watch, "probe": self.on_probe}.get(kind)
        if fault is not None and (response := await fault(request)) is not None:
            return response
        if kind == "list":
            return self._list(request)
        if kind == "watch":
            return await self._watch(request)
        if kind == "probe":
            return web.Response(status=200 if self.ready else 500)
        if self.other is not None:
            return await self.other(request)
        return await refuse(404, "NotFound")(request) or web.Response(status=404)

    def _list(self, request: web.Request) -> web.StreamResponse:
        wanted = int(request.query.get("resourceVersion", "0"))
        if wanted > self.world.version:
            body = status_object(
                504, "Timeout", f"Too large resource version: {wanted}, current: {self.world.version}"
            )
            return web.Response(status=504, body=body)
        body = list_body(list(self.world.objects.values()), self.world.version)
        return web.Response(body=body, content_type="application/json")

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        position = int(request.query["resourceVersion"])
        if self.world.is_gone(position) and position < self.world.version:
            return web.Response(status=410, body=status_object(410, "Expired", "too old resource version"))
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        watcher = Watcher(request, response, position)
        self.watchers.append(watcher)
        deadline = time.monotonic() + float(request.query["timeoutSeconds"])
        try:
            while not watcher.aborted:
                watcher.wake.clear()
                for event in self.world.since(watcher.position):
                    watcher.position = event.version
                    await response.write(line(event.type, event.object))
                for data in watcher.raw:
                    await response.write(data)
                watcher.raw.clear()
                if watcher.ended or time.monotonic() >= deadline:
                    break
                try:
                    async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                        await watcher.wake.wait()
                except TimeoutError:
                    continue
        except ConnectionError:
            pass
        finally:
            if watcher in self.watchers:
                self.watchers.remove(watcher)
        return response


def line(type_: str, obj: object) -> bytes:
    return msgspec.json.encode({"type": type_, "object": obj}) + b"\n"


def list_body(objects: list[EndpointSlice], version: int, *, continue_token: str = "") -> bytes:
    return msgspec.json.encode(
        {
            "kind": "EndpointSliceList",
            "apiVersion": "discovery.k8s.io/v1",
            "metadata": {"resourceVersion": str(version), "continue": continue_token},
            "items": objects,
        }
    )


@asynccontextmanager
async def running() -> AsyncIterator[FakeApi]:
    api = FakeApi()
    async with api:
        yield api


async def eventually(condition: Callable[[], bool], *, within: float = 5.0, what: str = "") -> None:
    """Waits until `condition` holds; fails after `within` seconds."""
    until = time.monotonic() + within
    while not condition():
        assert time.monotonic() < until, f"not within {within} s: {what}"
        await asyncio.sleep(0.01)
