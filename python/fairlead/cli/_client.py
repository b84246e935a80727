"""The admin API's client: http.client over a Unix socket, errors mapped at this border."""

import http.client
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

import msgspec

from fairlead import api
from fairlead.base import FairleadError

TIMEOUT_S = 30.0


class InstanceError(FairleadError):
    """The instance does not answer, or not as it should."""

    code = "InstanceUnavailable"
    retryable = True


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(os.fspath(self._path))


class Client:
    """Asks one instance."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def version(self) -> api.Version:
        return msgspec.json.decode(self._get("version"), type=api.Version)

    def instance(self) -> api.Instance:
        return msgspec.json.decode(self._get("instance"), type=api.Instance)

    def findings(self) -> tuple[api.Finding, ...]:
        body = self.list(api.Collection.FINDINGS, "")
        return msgspec.json.decode(body, type=api.ItemList[api.Finding]).items

    def list(self, collection: api.Collection, namespace: str, name: str = "") -> bytes:
        """The collection as JSON; an empty `namespace` means all. `name` narrows Backends and Endpoints."""
        return self._get(f"{collection}?{urlencode({'namespace': namespace, 'name': name})}")

    def one(self, collection: api.Collection, namespace: str, name: str) -> bytes:
        """One item as JSON."""
        return self._get(f"{collection}/{quote(namespace)}/{quote(name)}")

    def watch(self, collection: api.Collection, namespace: str, name: str = "") -> Iterator[bytes]:
        """The lines of a watch. Raises InstanceError when the instance ends it."""
        query = urlencode({"namespace": namespace, "name": name, "watch": "true"})
        with self._answer(f"{collection}?{query}") as answer:
            while line := answer.readline():
                yield line
        raise InstanceError(f"the instance at {self._path} has ended the watch")

    def _get(self, path: str) -> bytes:
        with self._answer(path) as answer:
            return answer.read()

    @contextmanager
    def _answer(self, path: str) -> Iterator[http.client.HTTPResponse]:
        connection = _Connection(self._path)
        try:
            connection.request("GET", f"/api/v1/{path}")
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise _problem(answer)
            yield answer
        except BrokenPipeError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise InstanceError(f"the instance at {self._path} does not answer: {error!r}") from error
        finally:
            connection.close()


def _problem(answer: http.client.HTTPResponse) -> FairleadError:
    try:
        problem = msgspec.json.decode(answer.read(), type=api.Problem)
    except msgspec.MsgspecError:
        return InstanceError(f"the instance answers {answer.status} {answer.reason}")
    return FairleadError(problem.message, code=problem.code, hint=problem.hint)
