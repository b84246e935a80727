"""The API server, as bytes in and bytes out.

Laws:
1. Bodies are JSON as the caller encoded it, answers JSON as the server sent it: what a caller does not know, it
   can hand back byte for byte.
2. Every call ends: a call within `call_timeout`, a watch when its reader stops. A list is given up when nothing has
   come of it for `list_silence`: a server that hangs is noticed soon, and a big list may take its time, up to
   `list_timeout`.
3. A 401 renews the identity and repeats the request once; nothing else is repeated here. Who calls decides.
4. The HTTP library is imported with the first request.
"""

import asyncio
import platform
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Self
from urllib.parse import urlencode

import msgspec

from fairlead import __version__
from fairlead.base import Clock, SystemClock
from fairlead.kube._credentials import Credentials
from fairlead.kube._errors import CredentialsError, Disconnected, KubeError, Unauthorized, error_from_answer
from fairlead.kube._identity import Identity
from fairlead.kube._lines import LineSplitter

if TYPE_CHECKING:
    from fairlead.kube._transport import Answer, Transport

JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
"""JSON is YAML: what is sent is JSON."""


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All times in seconds."""

    field_manager: str = "fairlead"
    call_timeout: float = 15.0
    list_silence: float = 18.0
    """From the request to the first byte, and from byte to byte. Above the 15 s that an overloaded server may let a
    request queue (API Priority and Fairness: a quarter of its request timeout), below the 20 s in which a dead server
    is to be noticed."""
    list_timeout: float = 300.0
    """Servers end what takes longer than a minute themselves, unless they are told otherwise."""
    watch_head_timeout: float = 15.0
    """A server answers a watch at once, before there is an event."""
    probe_timeout: float = 2.0
    body_limit: int = 256 * 1024 * 1024
    """Bytes of one answer."""
    connect_timeout: float = 5.0
    keepalive_idle: int = 5
    keepalive_interval: int = 2
    user_timeout: float = 12.0
    """See `fairlead.kube._transport`, law 2."""


class Client:
    """Speaks to one API server with one set of credentials."""

    def __init__(
        self, credentials: Credentials, *, settings: ClientSettings | None = None, clock: Clock | None = None
    ) -> None:
        self.credentials = credentials
        self.settings = settings or ClientSettings()
        self._clock = clock or SystemClock()
        self._transport: Transport | None = None
        self._agent = f"fairlead/{__version__} ({platform.system().lower()}/{platform.machine()})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes all connections; the client can be used again afterwards."""
        if self._transport is not None:
            await self._transport.close()

    async def get(self, path: str) -> bytes:
        """One object."""
        return await self._call("GET", path)

    async def metadata(self, path: str) -> bytes:
        """The metadata of one object (`PartialObjectMetadata`)."""
        return await self._call("GET", path, accept=METADATA)

    async def list_(self, path: str, *, version: str = "", limit: int = 0, continue_token: str = "") -> bytes:
        """A collection, or a page of it.

        Args:
            path: the collection's, as `KindInfo.path` gives it.
            version: empty for the newest, `0` for anything that the watch cache has, else at least that new.
            limit: items per page; 0 for all. With a `version` other than the two above the server would answer
                with exactly that version.
            continue_token: of the page before.
        """
        query = {}
        if version and not continue_token:
            query["resourceVersion"] = version
        if limit:
            query["limit"] = str(limit)
        if continue_token:
            query["continue"] = continue_token
        settings = self.settings
        return await self._call(
            "GET", path, query=query, deadline=settings.list_timeout, silence=settings.list_silence
        )

    @asynccontextmanager
    async def watch(
        self, path: str, *, version: str, seconds: int
    ) -> AsyncIterator[AsyncIterator[list[bytes]]]:
        """Watches a collection, with bookmarks; yields whole lines in batches, as they come.

        Args:
            path: the collection's.
            version: where to start from.
            seconds: after which the server shall end the watch.

        Raises:
            KubeError: at the start or from the iterator, for a broken connection or a cut line.
        """
        query = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
        if version:
            query["resourceVersion"] = version
        async with AsyncExitStack() as stack:
            with _deadline_mapped("the watch has not been answered"):
                async with asyncio.timeout(self.settings.watch_head_timeout):
                    answer = await stack.enter_async_context(self._exchange("GET", path, query=query))
            yield _lines(answer)

    async def create(self, path: str, body: bytes) -> bytes:
        """Creates an object in the collection at `path`."""
        return await self._call("POST", path, query=self._manager(), body=body)

    async def update(self, path: str, body: bytes, *, subresource: str = "") -> bytes:
        """Replaces an object, or its `subresource` (`status`); its resourceVersion guards against others."""
        return await self._call("PUT", _sub(path, subresource), query=self._manager(), body=body)

    async def merge_patch(self, path: str, body: bytes, *, subresource: str = "") -> bytes:
        """Merges fields (RFC 7386); a `metadata.resourceVersion` in `body` makes a stale patch a `Conflict`."""
        return await self._call(
            "PATCH", _sub(path, subresource), query=self._manager(), body=body, content_type=MERGE_PATCH
        )

    async def apply(self, path: str, body: bytes, *, subresource: str = "", force: bool = False) -> bytes:
        """Server-side apply; `force` takes over fields of other managers."""
        query = {**self._manager(), "force": "true" if force else "false"}
        return await self._call(
            "PATCH", _sub(path, subresource), query=query, body=body, content_type=APPLY_PATCH
        )

    async def delete(self, path: str) -> bytes:
        """Deletes an object."""
        return await self._call("DELETE", path)

    async def probe(self) -> bool:
        """Whether the server says that it is ready; False where it answers, but not (yet) well.

        An answer that only refuses us (401, 403) counts as ready: the server is there.

        Raises:
            KubeError: no answer.
        """
        try:
            await self._call("GET", "/readyz", deadline=self.settings.probe_timeout)
        except KubeError as error:
            if error.status is None:
                raise
            return error.status < 500 and error.status != 429
        return True

    def _manager(self) -> dict[str, str]:
        return {"fieldManager": self.settings.field_manager}

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        deadline: float | None = None,
        silence: float | None = None,
    ) -> bytes:
        now = asyncio.get_running_loop().time
        with _deadline_mapped(f"{method} {path} has not been answered"):
            async with (
                asyncio.timeout(deadline or self.settings.call_timeout),
                asyncio.timeout(silence) as patience,
                self._exchange(
                    method, path, query=query, body=body, content_type=content_type, accept=accept
                ) as answer,
            ):

                def heard() -> None:
                    if silence is not None:
                        patience.reschedule(now() + silence)

                return await answer.body(self.settings.body_limit, heard)

    @asynccontextmanager
    async def _exchange(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> AsyncIterator["Answer"]:
        from fairlead.kube._transport import Material, Request

        url = f"{self.credentials.server}{path}" + (f"?{urlencode(query)}" if query else "")
        base = [("Accept", accept), ("Accept-Encoding", "identity"), ("User-Agent", self._agent)]
        if body is not None:
            base.append(("Content-Type", content_type))
        transport = self._ensure_transport()
        trust = self.credentials.trust
        renewed = False
        while True:
            with _credentials_mapped():
                identity = await self.credentials.user.identity()
                material = Material(
                    ca=trust.ca.read() if trust.ca is not None else None,
                    insecure=trust.insecure,
                    certificate=identity.certificate,
                )
            request = Request(method=method, url=url, headers=(*identity.headers, *base), body=body)
            async with AsyncExitStack() as stack:
                with _credentials_mapped():
                    answer = await stack.enter_async_context(transport.exchange(request, material))
                if answer.status < 300:
                    yield answer
                    return
                error = await self._error(answer)
            if isinstance(error, Unauthorized) and not renewed and await self._renew(identity):
                renewed = True
                continue
            raise error

    async def _renew(self, refused: Identity) -> bool:
        with _credentials_mapped():
            return await self.credentials.user.renew(refused)

    async def _error(self, answer: "Answer") -> KubeError:
        body = await answer.body(1024 * 1024)
        return error_from_answer(
            answer.status, body, retry_after=_retry_after(answer.retry_after, self._clock.wall())
        )

    def _ensure_transport(self) -> "Transport":
        if self._transport is None:
            from fairlead.kube._transport import Transport, TransportSettings

            settings = self.settings
            self._transport = Transport(
                secure=self.credentials.server.startswith("https:"),
                server_name=self.credentials.trust.server_name,
                proxy=self.credentials.proxy,
                settings=TransportSettings(
                    connect_timeout=settings.connect_timeout,
                    keepalive_idle=settings.keepalive_idle,
                    keepalive_interval=settings.keepalive_interval,
                    user_timeout=settings.user_timeout,
                ),
            )
        return self._transport


async def _lines(answer: "Answer") -> AsyncIterator[list[bytes]]:
    splitter = LineSplitter()
    async for chunk in answer.chunks():
        if lines := splitter.feed(chunk):
            yield lines
    if splitter.pending:
        raise Disconnected("the watch stream ended in the middle of an event", code="StreamTruncated")


def _sub(path: str, subresource: str) -> str:
    return f"{path}/{subresource}" if subresource else path


@contextmanager
def _deadline_mapped(what: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise Disconnected(f"{what} in time", code="Timeout") from error


@contextmanager
def _credentials_mapped() -> Iterator[None]:
    try:
        yield
    except CredentialsError as error:
        raise Unauthorized(error.message, code=error.code, hint=error.hint) from error


def _retry_after(header: str | None, wall: float) -> float | None:
    """Seconds of a Retry-After header (RFC 9110 section 10.2.3): a number, or a date."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - wall)
    except (ValueError, OverflowError):
        return None
