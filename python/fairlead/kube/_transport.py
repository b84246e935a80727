"""Connections to one API server: the only module that knows the HTTP library, imported with the first request.

Laws:
1. A session belongs to one set of TLS material. When that changes (a rotated CA or client certificate) new
   requests use a new session; the old one closes when its last request ends.
2. Every socket is kept alive by the kernel: probes after `keepalive_idle` seconds of silence, and the connection
   is given up when nothing has been acknowledged for `user_timeout`. So a peer that has vanished without a word
   is noticed within about 15 s, also in the middle of a silent watch, where HTTP/1.1 has no ping of its own. A
   request beside the watch would prove another connection than the watch's, and shorter watches would multiply
   requests. A proxy that keeps our connection while its own is dead is left to the reflector's inactivity time.
3. Every exception of the library leaves as a `KubeError`.
"""

import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from fairlead.kube._errors import (
    Disconnected,
    ProtocolError,
    TLSFailed,
    Unreachable,
)
from fairlead.kube._identity import ClientCertificate
from fairlead.kube._tls import make_context


class TransportSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All times in seconds."""

    connect_timeout: float = 5.0
    keepalive_idle: int = 5
    keepalive_interval: int = 2
    user_timeout: float = 12.0


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None = None


class Material(msgspec.Struct, frozen=True, kw_only=True):
    """What a TLS context is made of."""

    ca: bytes | None
    insecure: bool
    certificate: ClientCertificate | None


class _Pool:
    """A session and the number of its requests under way."""

    def __init__(self, material: Material, session: aiohttp.ClientSession) -> None:
        self.material = material
        self.session = session
        self.active = 0


class Transport:
    """See the module's laws."""

    def __init__(
        self, *, secure: bool, server_name: str | None, proxy: str | None, settings: TransportSettings
    ) -> None:
        self._secure = secure
        self._server_name = server_name
        self._proxy = proxy
        self._settings = settings
        self._pool: _Pool | None = None
        self._retired: list[_Pool] = []

    @asynccontextmanager
    async def exchange(self, request: Request, material: Material) -> AsyncIterator["Answer"]:
        """Sends the request; the answer's head has been read when the body of the `with` begins.

        Raises:
            KubeError: no answer (`Unreachable`, `TLSFailed`, `Disconnected`).
        """
        with mapped_errors():
            pool = await self._pool_for(material)
        pool.active += 1
        try:
            with mapped_errors():
                response = await pool.session.request(
                    request.method,
                    URL(request.url, encoded=True),
                    headers=request.headers,
                    data=request.body,
                    proxy=self._proxy,
                    server_hostname=self._server_name,
                    allow_redirects=False,
                )
            try:
                yield Answer(response)
            finally:
                # Leaves the connection in the pool only where the body has been read to its end.
                response.close() if not response.content.at_eof() else response.release()
        finally:
            pool.active -= 1
            await self._close_idle()

    async def close(self) -> None:
        """Closes all connections."""
        pools = [*self._retired, *([self._pool] if self._pool else [])]
        self._retired, self._pool = [], None
        for pool in pools:
            await pool.session.close()

    async def _pool_for(self, material: Material) -> _Pool:
        if self._pool is not None and self._pool.material == material:
            return self._pool
        context: ssl.SSLContext | bool = True
        if self._secure:
            context = make_context(
                ca=material.ca, insecure=material.insecure, certificate=material.certificate
            )
        connector = aiohttp.TCPConnector(ssl=context, limit=0, socket_factory=self._make_socket)
        session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_timeout),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        if self._pool is not None:
            self._retired.append(self._pool)
        self._pool = _Pool(material, session)
        await self._close_idle()
        return self._pool

    async def _close_idle(self) -> None:
        idle = [pool for pool in self._retired if pool.active == 0]
        self._retired = [pool for pool in self._retired if pool.active > 0]
        for pool in idle:
            await pool.session.close()

    def _make_socket(self, address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, self._settings.keepalive_idle)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, self._settings.keepalive_interval)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._settings.user_timeout * 1000))
        return made


class Answer:
    """An answer whose head has been read."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def retry_after(self) -> str | None:
        """The header of that name."""
        return self._response.headers.get("Retry-After")

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises:
            KubeError: the connection broke.
        """
        iterator = self._response.content.iter_any()
        while True:
            with mapped_errors():
                chunk = await anext(iterator, None)
            if chunk is None:
                return
            yield chunk

    async def body(self, limit: int, heard: Callable[[], None] = lambda: None) -> bytes:
        """The whole body; `heard` is called for the head and for every part of it that comes.

        Raises:
            ProtocolError: it is longer than `limit` bytes.
            KubeError: the connection broke.
        """
        parts: list[bytes] = []
        size = 0
        heard()
        async for chunk in self.chunks():
            heard()
            parts.append(chunk)
            size += len(chunk)
            if size > limit:
                raise ProtocolError(f"the answer is longer than {limit} bytes", code="AnswerTooLong")
        return b"".join(parts)


@contextmanager
def mapped_errors() -> Iterator[None]:
    """Turns the library's exceptions into ours."""
    try:
        yield
    except (aiohttp.ClientSSLError, ssl.SSLError) as error:
        raise TLSFailed(
            f"TLS: {error}", hint="check the CA, the server name and the client certificate"
        ) from error
    except (
        aiohttp.ConnectionTimeoutError,
        aiohttp.ClientConnectorError,
        aiohttp.ClientHttpProxyError,
    ) as error:
        raise Unreachable(f"the API server cannot be reached: {error}") from error
    except aiohttp.ClientPayloadError as error:
        raise Disconnected("the connection to the API server ended in the middle of an answer") from error
    except (aiohttp.ServerConnectionError, aiohttp.ClientOSError, OSError) as error:
        raise Disconnected(
            f"the connection to the API server broke: {error or type(error).__name__}"
        ) from error
    except aiohttp.ClientError as error:
        raise ProtocolError(f"the API server's answer breaks HTTP: {error}") from error
