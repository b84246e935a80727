"""The admin API: JSON over a Unix socket.

    GET /api/v1/{gateways|routes|backends|endpoints|findings}[?namespace=NS][&watch=true]
    GET /api/v1/{backends|endpoints}?name=SERVICE[:PORT][...]
    GET /api/v1/{gateways|routes|backends|endpoints}/NAMESPACE/NAME
    GET /api/v1/instance, /api/v1/version

A watch answers JSON lines: all items as ADDED, a BOOKMARK, then what changes. Errors carry `api.Problem`.

Law: where there can be no socket (a full disk), the rest of the controller goes on without it.
"""

import asyncio
import contextlib
import platform
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
from aiohttp import web

from fairlead import __version__, api
from fairlead.admin._inventory import Inventory, backend_name
from fairlead.admin._looking import Looking
from fairlead.base import Clock, Turns, get_logger
from fairlead.resources import Ref
from fairlead.snapshot import SCHEMA
from fairlead.stream import bind_private

SLICE_S = 0.002
"""How long a list may hold the loop: endpoint changes wait for it."""

WATCH_S = 0.25
"""How often a watch looks for changes."""

RELOOK_S = 1.0
"""How often it looks though nothing was said to have changed: statuses also change by the passing of time."""

BOOKMARK_S = 10.0
"""How often a silent watch says that it is alive; a client that is gone is noticed by it."""

RETRY_S = 5.0
"""How soon a socket that could not be made is tried again."""

_encoder = msgspec.json.Encoder()


class AdminServer:
    """Answers questions about the instance."""

    def __init__(
        self,
        inventory: Inventory,
        looking: Looking,
        *,
        instance: Callable[[], api.Instance],
        clock: Clock,
        turns: Turns | None = None,
    ) -> None:
        self._inventory = inventory
        self._looking = looking
        self._instance = instance
        self._clock = clock
        self._turns = turns or Turns()
        self._log = get_logger("admin")

    async def run(self, path: Path) -> None:
        """Serves on the Unix socket `path` (mode 0600) until cancelled."""
        runner = web.AppRunner(self.app(), access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.SockSite(runner, await self._listening(path)).start()
            await asyncio.get_running_loop().create_future()
        finally:
            await runner.cleanup()
            with contextlib.suppress(OSError):
                await asyncio.to_thread(path.unlink, missing_ok=True)

    async def _listening(self, path: Path) -> socket.socket:
        said = ""
        while True:
            try:
                return bind_private(path)
            except OSError as error:
                if str(error) != said:
                    said = str(error)
                    self._log.warning("the admin API is not served", path=str(path), error=said)
            await asyncio.sleep(RETRY_S)

    def app(self) -> web.Application:
        """The application without its socket."""
        app = web.Application(middlewares=[self._problems])
        app.router.add_get("/api/v1/instance", self._about)
        app.router.add_get("/api/v1/version", self._version)
        app.router.add_get("/api/v1/{collection}", self._list)
        app.router.add_get("/api/v1/{collection}/{namespace}/{name:.+}", self._one)
        return app

    @web.middleware
    async def _problems(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            if error.status == web.HTTPNotFound.status_code and not error.content_type.endswith("json"):
                return _problem(404, "NotFound", f"there is no {request.path}")
            raise

    async def _list(self, request: web.Request) -> web.StreamResponse:
        asked = _asked(request)
        await self._look(asked)
        if request.query.get("watch") in {"1", "true"}:
            return await self._watch(request, asked)
        items: list[msgspec.Raw] = []
        elsewhere = 0
        async for item in self._items(asked):
            if asked.is_elsewhere(item.metadata.namespace):
                elsewhere += 1
            else:
                items.append(msgspec.Raw(_encoder.encode(item)))
        body = {"apiVersion": "v1", "kind": "List", "items": items, "elsewhere": elsewhere}
        return _json(body)

    async def _one(self, request: web.Request) -> web.StreamResponse:
        collection = _collection(request)
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        # The Endpoints of a Backend share its key.
        key = Ref(namespace, name.partition("/")[0])
        await self._look(_Asked(collection, namespace, key.name if collection in _MEASURED else ""))
        if key in set(self._inventory.keys(collection)):
            for item in self._inventory.items(collection, key):
                if item.metadata.name == name:
                    return _json(item)
        return _problem(404, "NotFound", f'{collection} "{name}" not found in namespace {namespace}')

    async def _watch(self, request: web.Request, asked: "_Asked") -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/jsonl"})
        await response.prepare(request)
        shown: dict[Ref, bytes] = {}
        seen: int | None = None
        told = looked = self._clock.monotonic()
        while True:
            await self._look(asked)
            now = self._clock.monotonic()
            lines: list[bytes] = []
            if self._inventory.revision != seen or now - looked > RELOOK_S:
                first, seen, looked = seen is None, self._inventory.revision, now
                lines = await self._differences(asked, shown)
                if first:
                    lines.append(_BOOKMARK)
            if not lines and now - told > BOOKMARK_S:
                lines = [_BOOKMARK]
            for line in lines:
                await response.write(line)
                told = self._clock.monotonic()
            await asyncio.sleep(WATCH_S)

    async def _differences(self, asked: "_Asked", shown: dict[Ref, bytes]) -> list[bytes]:
        """Events that lead from what was shown to now."""
        lines: list[bytes] = []
        present: set[Ref] = set()
        async for item in self._items(asked):
            if asked.is_elsewhere(item.metadata.namespace):
                continue
            ref = Ref(item.metadata.namespace, item.metadata.name)
            present.add(ref)
            body = _encoder.encode(item)
            before = shown.get(ref)
            if before != body:
                lines.append(_event(api.WatchType.MODIFIED if before else api.WatchType.ADDED, body))
                shown[ref] = body
        gone = [ref for ref in shown if ref not in present]
        return lines + [_event(api.WatchType.DELETED, shown.pop(ref)) for ref in gone]

    async def _items(self, asked: "_Asked") -> AsyncIterator[api.Item]:
        """All items of that name, letting the loop go on every `SLICE_S`."""
        until = self._clock.monotonic() + SLICE_S
        for key in self._inventory.keys(asked.collection):
            for item in self._inventory.items(asked.collection, key) if asked.names(key) else ():
                yield item
            if self._clock.monotonic() > until:
                await self._turns.next()
                until = self._clock.monotonic() + SLICE_S

    async def _look(self, asked: "_Asked") -> None:
        """Has proxies measure what is asked for."""
        if asked.collection not in _MEASURED:
            return
        keys = self._inventory.keys(asked.collection) if asked.namespace or asked.name else None
        await self._looking.look(
            None
            if keys is None
            else frozenset(
                backend_name(key)
                for key in keys
                if asked.names(key) and not asked.is_elsewhere(key.namespace)
            )
        )

    async def _about(self, _: web.Request) -> web.Response:
        return _json(self._instance())

    async def _version(self, _: web.Request) -> web.Response:
        return _json(api.Version(version=__version__, python=platform.python_version(), contract=SCHEMA))


_MEASURED = (api.Collection.BACKENDS, api.Collection.ENDPOINTS)


class _Asked(msgspec.Struct, frozen=True):
    """What a request is for."""

    collection: api.Collection
    namespace: str
    """Empty for all."""
    name: str
    """Of a Service, of a Backend or of an Endpoint of it; empty for all."""

    def names(self, key: Ref) -> bool:
        """Whether a key has the name that is asked for."""
        backend = self.name.partition("/")[0]
        return not self.name or backend in {key.name, key.name.rpartition(":")[0]}

    def is_elsewhere(self, namespace: str) -> bool:
        """Whether it is another namespace than the one that is asked for."""
        return self.namespace not in {"", namespace}


def _asked(request: web.Request) -> _Asked:
    collection = _collection(request)
    return _Asked(
        collection,
        request.query.get("namespace", "") if collection.namespaced else "",
        request.query.get("name", "") if collection in _MEASURED else "",
    )


def _collection(request: web.Request) -> api.Collection:
    try:
        return api.Collection(request.match_info["collection"])
    except ValueError:
        raise web.HTTPNotFound from None


_BOOKMARK = _encoder.encode({"type": api.WatchType.BOOKMARK, "object": None}) + b"\n"


def _event(kind: api.WatchType, body: bytes) -> bytes:
    return _encoder.encode({"type": kind, "object": msgspec.Raw(body)}) + b"\n"


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=_encoder.encode(body), status=status, content_type="application/json")


def _problem(status: int, code: str, message: str) -> web.Response:
    return _json(api.Problem(code=code, message=message), status)
