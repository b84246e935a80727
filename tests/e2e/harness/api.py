"""The Kubernetes API as the tests use it: plain JSON over one kept-alive connection, and watches with times.

kubectl is the better tool wherever a person would use it; this is for hundreds of objects a second and for
knowing at which moment an event arrived.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import yaml

from tests.e2e.harness.network import HTTPConnection, Network

Object = dict[str, Any]

GATEWAY_API = "/apis/gateway.networking.k8s.io/v1"


class APIError(RuntimeError):
    """The API server answered with an error status."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status}: {body.decode(errors='replace')[:500]}")
        self.status = status


def credentials(kubeconfig: Path) -> tuple[str, ssl.SSLContext]:
    """The API server's URL and the TLS context of a kubeconfig's user."""
    document = yaml.safe_load(kubeconfig.read_text())
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    tls = ssl.create_default_context(cafile=cluster["certificate-authority"])
    tls.load_cert_chain(user["client-certificate"], user["client-key"])
    return cluster["server"], tls


class API:
    """Requests by the user of a kubeconfig. Not for several threads at once."""

    def __init__(self, network: Network, kubeconfig: Path) -> None:
        server, self._tls = credentials(kubeconfig)
        address = urlsplit(server)
        assert address.hostname
        assert address.port
        self._network = network
        self._address, self._port = address.hostname, address.port
        self._connection = self._connect(timeout=10)

    def _connect(self, timeout: float) -> HTTPConnection:
        return HTTPConnection(self._network, self._address, self._port, tls=self._tls, timeout=timeout)

    def request(self, method: str, path: str, body: Object | list[Object] | None = None) -> Object:
        """One request; raises APIError for an error status and OSError where the server is away."""
        content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
        text = None if body is None else json.dumps(body)
        for attempt in range(2):
            try:
                self._connection.request(method, path, text, {"content-type": content_type})
                answer = self._connection.getresponse()
                content = answer.read()
                break
            except (http.client.HTTPException, OSError):
                # A restarted server closes what was idle; a fresh connection tells the truth.
                self._connection.close()
                if attempt:
                    raise
        if answer.status >= 400:
            raise APIError(answer.status, content)
        result: Object = json.loads(content)
        return result

    def get(self, path: str) -> Object:
        """One object or list."""
        return self.request("GET", path)

    def close(self) -> None:
        """Closes the connection; the next request opens another."""
        self._connection.close()

    def ready(self) -> bool:
        """Whether /readyz answers 200."""
        connection = self._connect(timeout=1)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (http.client.HTTPException, OSError):
            return False
        finally:
            connection.close()

    def watch(self, path: str) -> Watch:
        """Watches a collection from now on, in a thread of its own."""
        return Watch(self._connect(timeout=600), path, self.get(path)["metadata"]["resourceVersion"])


@dataclass
class Event:
    """A watch event with the time at which it arrived (monotonic clock, seconds)."""

    at: float
    kind: str
    object: Object = field(repr=False)


class Watch:
    """The events of one collection, in their order."""

    def __init__(self, connection: HTTPConnection, path: str, version: str) -> None:
        self.events: list[Event] = []
        self._connection = connection
        connection.request("GET", f"{path}?watch=1&resourceVersion={version}")
        self._answer = connection.getresponse()
        if self._answer.status != 200:
            raise APIError(self._answer.status, self._answer.read())
        self._thread = threading.Thread(target=self._read, name=f"watch {path}", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            try:
                line = self._answer.readline()
            except (http.client.HTTPException, OSError, ValueError, AttributeError):
                return  # closed, by us or by the server
            if not line:
                return
            event = json.loads(line)
            self.events.append(Event(time.monotonic(), event["type"], event["object"]))

    def of(self, name: str) -> list[Event]:
        """The events so far of the object with this name."""
        return [event for event in list(self.events) if event.object["metadata"]["name"] == name]

    def close(self) -> None:
        """Ends the watch."""
        if self._connection.sock is not None:
            self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=5)
        self._answer.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def condition(holder: Object, kind: str) -> Object | None:
    """The condition of this type in an object's status, a parent's or a listener's entry."""
    found: Object | None = next(
        (entry for entry in holder.get("conditions", ()) if entry["type"] == kind), None
    )
    return found
