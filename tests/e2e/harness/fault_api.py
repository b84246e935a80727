"""A reverse proxy in front of the API server that can refuse a resource, let it hang, or know nothing of it.

`python -m tests.e2e.harness.fault_api KUBECONFIG PORT` serves plain HTTP on loopback and speaks to the API
server as the kubeconfig's user. `PUT /faults` with {"httproutes": "forbid", "services": "hang", "gateways": "absent"}
sets the faults of requests that come from then on; everything else passes through unchanged, watches included.
`GET /faults` tells what was asked for so far that is more than reading.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import subprocess
import sys
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web

from tests.e2e.harness.api import credentials
from tests.e2e.harness.cluster import ROOT, Cluster
from tests.e2e.harness.network import HTTPConnection
from tests.e2e.harness.waiting import eventually

PORT = 16443
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "content-encoding", "host"}


def resource_of(path: str) -> str:
    """The resource that an API path is about: `/api/v1/namespaces/x/services/y` is about services."""
    words = path.strip("/").split("/")
    words = words[2:] if words[0] == "api" else words[3:]
    if len(words) > 2 and words[0] == "namespaces":
        words = words[2:]
    return words[0] if words else ""


class Proxy:
    """Passes requests on, but for those that a fault names."""

    def __init__(self, server: str, tls: ssl.SSLContext) -> None:
        self.faults: dict[str, str] = {}
        self.writes: list[str] = []
        self._server = server
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def set_faults(self, request: web.Request) -> web.Response:
        self.faults = await request.json()
        return web.Response()

    async def get_writes(self, _: web.Request) -> web.Response:
        return web.json_response(self.writes)

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        if request.method != "GET":
            self.writes.append(f"{request.method} {request.path}")
        fault = self.faults.get(resource_of(request.path))
        if fault == "hang":
            await asyncio.sleep(3600)
        if fault == "absent":
            # As a server without the CRD answers.
            return web.Response(status=404, text="404 page not found\n")
        if fault == "forbid":
            status = {
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "reason": "Forbidden",
                "code": 403,
            }
            return web.json_response(status, status=403)
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._tls, limit=0)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        try:
            async with self._session.request(
                request.method,
                self._server + request.raw_path,
                headers=headers | {"accept-encoding": "identity"},
                data=await request.read(),
                timeout=aiohttp.ClientTimeout(total=None),
            ) as upstream:
                kept = {n: v for n, v in upstream.headers.items() if n.lower() not in _HOP_BY_HOP}
                response = web.StreamResponse(status=upstream.status, headers=kept)
                await response.prepare(request)
                async for chunk in upstream.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response
        except aiohttp.ClientError:
            raise web.HTTPBadGateway from None


def main() -> None:
    proxy = Proxy(*credentials(Path(sys.argv[1])))
    application = web.Application(client_max_size=1 << 24)
    application.router.add_put("/faults", proxy.set_faults)
    application.router.add_get("/faults", proxy.get_writes)
    application.router.add_route("*", "/{path:.*}", proxy.pass_on)
    # What hangs here hangs on purpose: the end does not wait for it.
    web.run_app(
        application,
        host="127.0.0.1",
        port=int(sys.argv[2]),
        print=None,
        access_log=None,
        shutdown_timeout=0.1,
    )


class FaultAPI:
    """The proxy as a test sees it: a process, a kubeconfig that leads to it, and its faults."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self.kubeconfig = folder / "kubeconfig-faults"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "faults",
            "clusters": [{"name": "faults", "cluster": {"server": f"http://127.0.0.1:{PORT}"}}],
            "users": [{"name": "faults", "user": {}}],
            "contexts": [{"name": "faults", "context": {"cluster": "faults", "user": "faults"}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(document))
        words = [sys.executable, "-m", "tests.e2e.harness.fault_api", str(cluster.kubeconfig), str(PORT)]
        self._process = subprocess.Popen([*cluster.network.prefix, *words], cwd=ROOT)
        eventually("the fault proxy listens", lambda: self._try_set({}), within=15)

    def set(self, faults: dict[str, str]) -> None:
        """Resource name to `forbid`, `hang` or `absent`; replaces what was set before."""
        assert self._try_set(faults), "the fault proxy does not answer"

    def writes(self) -> list[str]:
        """Every request so far that is more than reading, as `METHOD PATH`."""
        connection = HTTPConnection(self._cluster.network, "127.0.0.1", PORT)
        try:
            connection.request("GET", "/faults")
            written: list[str] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return written

    def _try_set(self, faults: dict[str, str]) -> bool:
        connection = HTTPConnection(self._cluster.network, "127.0.0.1", PORT)
        try:
            connection.request("PUT", "/faults", json.dumps(faults), {"content-type": "application/json"})
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """Ends the process."""
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


if __name__ == "__main__":
    main()
