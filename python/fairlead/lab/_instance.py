"""The demo's own instance: a real `fairlead run DIR` as a child, and what it tells of its endpoints."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import msgspec

from fairlead import api
from fairlead.base import FairleadError

START_S = 30.0
STOP_S = 10.0


class DemoStartError(FairleadError):
    """The instance did not come up."""

    code = "DemoNotStarted"


class DemoInstance:
    """`fairlead run` on a directory, under a name and in folders of its own."""

    def __init__(self, manifests: Path, home: Path) -> None:
        self._manifests = manifests
        self._home = home
        self._process: asyncio.subprocess.Process | None = None
        self.name = "demo"
        self.log = home / "fairlead.log"

    @property
    def socket(self) -> Path:
        """The admin API's Unix socket."""
        return self._home / "fairlead" / f"{self.name}.sock"

    async def start(self) -> None:
        """Starts the instance. Raises DemoStartError when it ends at once."""
        command = [sys.executable, "-m", "fairlead", "run", str(self._manifests), "--instance", self.name]
        command += [
            "--state-dir",
            str(self._home / "state"),
            "--health-address",
            "127.0.0.1:0",
            "--no-access-log",
        ]
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, env=os.environ | {"XDG_RUNTIME_DIR": str(self._home)}, stdout=log, stderr=log
            )

    async def address(self, gateway: str) -> str:
        """The Gateway's address once it is programmed. Raises DemoStartError."""
        try:
            async with asyncio.timeout(START_S):
                while True:
                    self._check()
                    found = await self.list(api.Gateway, api.Collection.GATEWAYS)
                    for one in found:
                        programmed = {c.type for c in one.status.conditions if c.status == "True"}
                        if (
                            one.metadata.name == gateway
                            and "Programmed" in programmed
                            and one.status.addresses
                        ):
                            return one.status.addresses[0].value
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise DemoStartError("the Gateway was not programmed in time", hint=self.last_words()) from None

    async def list(self, kind: type[api.ItemT], collection: api.Collection) -> tuple[api.ItemT, ...]:
        """The items of a collection; none while the instance does not answer."""
        try:
            reader, writer = await asyncio.open_unix_connection(self.socket)
        except OSError:
            return ()
        try:
            writer.write(f"GET /api/v1/{collection} HTTP/1.0\r\n\r\n".encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            return ()
        return tuple(msgspec.convert(json.loads(body)["items"], tuple[kind, ...]))  # type: ignore[valid-type]

    async def stop(self) -> None:
        """Ends the instance and its children."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            await asyncio.wait_for(self._process.wait(), STOP_S)
        except TimeoutError:
            self._process.kill()

    def last_words(self) -> str:
        """The last line of its log, which goes with the demo's folder."""
        said = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return f"its last words: {said[-1]}" if said else "it has said nothing"

    def _check(self) -> None:
        if self._process is None or self._process.returncode is not None:
            raise DemoStartError("the instance ended before it was ready", hint=self.last_words())
