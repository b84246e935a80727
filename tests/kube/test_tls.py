"""TLS and proxies: whom we trust, who we are, and what leads there. Real handshakes on loopback."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fairlead.kube import (
    Client,
    CredentialsError,
    Disconnected,
    KubeError,
    TLSFailed,
    Unauthorized,
    Unreachable,
    load_credentials,
)
from tests.kube.following import CLIENT
from tests.programs import program

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


class Pki:
    def __init__(self, folder: Path, openssl: str) -> None:
        self.folder = folder
        self._openssl = openssl
        self._run(
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=test CA",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        )
        self.issue("server", "DNS:api.internal,IP:127.0.0.1")
        self.issue("client-1", "DNS:client-1")
        self.issue("client-2", "DNS:client-2")

    def issue(self, name: str, names: str) -> None:
        (self.folder / f"{name}.ext").write_text(f"subjectAltName={names}\n")
        self._run(
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            f"/CN={name}",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.csr",
        )
        self._run(
            "x509",
            "-req",
            "-in",
            f"{name}.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            f"{name}.ext",
            "-out",
            f"{name}.pem",
        )

    def _run(self, *arguments: str) -> None:
        subprocess.run([self._openssl, *arguments], cwd=self.folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"), program("openssl"))


class Server:
    """Answers every request over TLS and notes the client certificates and names asked for."""

    def __init__(self) -> None:
        self.clients: list[str] = []
        self.names: list[str | None] = []
        self.port = 0


@asynccontextmanager
async def tls_server(pki: Pki, *, ask: ssl.VerifyMode = ssl.CERT_OPTIONAL) -> AsyncIterator[Server]:
    server = Server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.folder / "server.pem", pki.folder / "server.key")
    context.load_verify_locations(pki.folder / "ca.pem")
    context.verify_mode = ask
    context.sni_callback = lambda _, name, __: server.names.append(name)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            certificate = writer.get_extra_info("peercert")
            server.clients.append(
                dict(pair for part in certificate["subject"] for pair in part)["commonName"]
                if certificate
                else ""
            )
            writer.write(ANSWER)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        yield server


def kubeconfig(
    pki: Pki, server: str, *, cluster: str = "certificate-authority: ca.pem", user: str = "{}"
) -> str:
    path = pki.folder / "config"
    path.write_text(
        f"current-context: x\ncontexts:\n- name: x\n  context: {{cluster: x, user: x}}\n"
        f"clusters:\n- name: x\n  cluster:\n    server: {server}\n    {cluster}\n"
        f"users:\n- name: x\n  user:\n    {user}\n"
    )
    return str(path)


async def ask(path: str) -> bytes:
    async with Client(load_credentials(kubeconfig=path, environ={}), settings=CLIENT) as client:
        return await client.get("/version")


async def test_the_clusters_ca_is_trusted_for_an_address(pki: Pki) -> None:
    async with tls_server(pki) as server:
        assert await ask(kubeconfig(pki, f"https://127.0.0.1:{server.port}")) == b"{}"


async def test_an_unknown_ca_is_refused(pki: Pki) -> None:
    async with tls_server(pki) as server:
        with pytest.raises(TLSFailed) as caught:
            await ask(
                kubeconfig(
                    pki, f"https://127.0.0.1:{server.port}", cluster="certificate-authority: client-1.pem"
                )
            )
        assert caught.value.hint is not None
        with pytest.raises(TLSFailed):
            await ask(kubeconfig(pki, f"https://127.0.0.1:{server.port}", cluster=""))
        assert server.clients == []


async def test_a_name_that_the_certificate_does_not_have_is_refused(pki: Pki) -> None:
    async with tls_server(pki) as server:
        with pytest.raises(TLSFailed):
            await ask(kubeconfig(pki, f"https://localhost:{server.port}"))


async def test_tls_server_name_is_asked_for_and_checked(pki: Pki) -> None:
    async with tls_server(pki) as server:
        url = f"https://localhost:{server.port}"
        cluster = "certificate-authority: ca.pem\n    tls-server-name: "
        assert await ask(kubeconfig(pki, url, cluster=cluster + "api.internal")) == b"{}"
        assert server.names[-1] == "api.internal"
        with pytest.raises(TLSFailed):
            await ask(kubeconfig(pki, url, cluster=cluster + "other.internal"))


async def test_insecure_skip_tls_verify(pki: Pki) -> None:
    async with tls_server(pki) as server:
        path = kubeconfig(pki, f"https://localhost:{server.port}", cluster="insecure-skip-tls-verify: true")
        assert await ask(path) == b"{}"


async def test_a_client_certificate_is_shown_and_a_rotated_one_with_the_next_request(pki: Pki) -> None:
    folder = pki.folder
    for end in ("pem", "key"):
        shutil.copy(folder / f"client-1.{end}", folder / f"current.{end}")
    user = "client-certificate: current.pem\n    client-key: current.key"
    async with tls_server(pki, ask=ssl.CERT_REQUIRED) as server:
        path = kubeconfig(pki, f"https://127.0.0.1:{server.port}", user=user)
        async with Client(load_credentials(kubeconfig=path, environ={}), settings=CLIENT) as client:
            await client.get("/version")
            for end in ("pem", "key"):
                (folder / f"current.{end}").write_bytes((folder / f"client-2.{end}").read_bytes())
            await client.get("/version")
        assert server.clients == ["client-1", "client-2"]


async def test_a_missing_client_certificate_is_an_error_of_tls(pki: Pki) -> None:
    async with tls_server(pki, ask=ssl.CERT_REQUIRED) as server:
        with pytest.raises(KubeError) as caught:
            await ask(kubeconfig(pki, f"https://127.0.0.1:{server.port}"))
        assert caught.value.code in {"TLSFailed", "Disconnected"}


async def test_a_pair_that_does_not_belong_together_is_an_error_that_says_so(pki: Pki) -> None:
    user = "client-certificate: client-1.pem\n    client-key: client-2.key"
    async with tls_server(pki) as server:
        with pytest.raises(Unauthorized) as caught:
            await ask(kubeconfig(pki, f"https://127.0.0.1:{server.port}", user=user))
    assert caught.value.code == "ClientCertificateInvalid"
    assert isinstance(caught.value.__cause__, CredentialsError)


async def test_no_descriptor_left_for_a_certificate_is_a_connection_that_could_not_be_made(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    user = "client-certificate: client-1.pem\n    client-key: client-1.key"
    async with tls_server(pki) as server:
        path = kubeconfig(pki, f"https://127.0.0.1:{server.port}", user=user)
        async with Client(load_credentials(kubeconfig=path, environ={}), settings=CLIENT) as client:
            with monkeypatch.context() as patch:
                patch.setattr(os, "memfd_create", refuse)
                with pytest.raises(Disconnected, match="Too many open files"):
                    await client.get("/version")
            assert await client.get("/version") == b"{}"


@asynccontextmanager
async def connect_proxy(*, refuse: bool = False) -> AsyncIterator[tuple[int, list[str]]]:
    """A proxy that knows CONNECT only."""
    asked: list[str] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split(b"\r\n")[0].decode())
        if refuse:
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            writer.close()
            return
        host, _, port = head.split()[1].decode().rpartition(":")
        there_reader, there_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield listening.sockets[0].getsockname()[1], asked


async def test_a_proxy_url_is_used_and_tls_goes_through_it(pki: Pki) -> None:
    async with tls_server(pki) as server, connect_proxy() as (port, asked):
        cluster = f"certificate-authority: ca.pem\n    proxy-url: http://127.0.0.1:{port}"
        assert await ask(kubeconfig(pki, f"https://127.0.0.1:{server.port}", cluster=cluster)) == b"{}"
        assert asked == [f"CONNECT 127.0.0.1:{server.port} HTTP/1.1"]


@pytest.mark.parametrize("how", ["it refuses", "it is not there"])
async def test_a_proxy_that_fails_means_unreachable(pki: Pki, how: str) -> None:
    async with connect_proxy(refuse=True) as (port, _):
        cluster = f"certificate-authority: ca.pem\n    proxy-url: http://127.0.0.1:{port if how == 'it refuses' else 1}"
        with pytest.raises(Unreachable):
            await ask(kubeconfig(pki, "https://127.0.0.1:9", cluster=cluster))
