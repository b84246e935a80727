"""A Deployment of sample Pods: starts and stops their processes and writes their EndpointSlice.

It plays kubelet and EndpointSlice controller: a Pod stands in the slice as ready once it answers, as serving and
terminating from the moment it is told to leave, and no more when its process has ended.
"""

import asyncio
import os
import signal
import sys
from enum import StrEnum
from pathlib import Path

import msgspec
import yaml

PORT = 8080
_SUBNET = "127.88.0"


class Phase(StrEnum):
    STARTING = "starting"
    READY = "ready"
    TERMINATING = "terminating"


class Pod(msgspec.Struct):
    """One running sample Pod."""

    name: str
    address: str
    process: asyncio.subprocess.Process
    phase: Phase = Phase.STARTING


def write_atomically(path: Path, documents: list[object]) -> None:
    """Replaces a manifest file in one step."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(yaml.safe_dump_all(documents, sort_keys=False))
    temporary.rename(path)


class Deployment:
    """Sample Pods behind Service `NAME`, their EndpointSlice kept in `folder`."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._folder = folder
        self._pods: dict[str, Pod] = {}
        self._started = 0
        self._revision = 1
        self._leaving: set[asyncio.Task[None]] = set()
        self._write()

    @property
    def ready(self) -> list[Pod]:
        """The Pods that take requests, oldest first."""
        return [pod for pod in self._pods.values() if pod.phase is Phase.READY]

    async def scale(self, replicas: int) -> None:
        """Starts or stops Pods until `replicas` are ready; those that leave go on draining."""
        while len(self.ready) < replicas:
            await asyncio.gather(*(self._start() for _ in range(replicas - len(self.ready))))
        for pod in self.ready[replicas:]:
            self._stop(pod)

    async def roll(self, pause_s: float) -> None:
        """Replaces every Pod by a new one, one at a time, as a rolling update with maxSurge 1 does."""
        self._revision += 1
        for old in self.ready:
            await self._start()
            self._stop(old)
            await asyncio.sleep(pause_s)

    async def command(self, pod: Pod, path: str) -> None:
        """Sends a control path to one Pod, past the gateway."""
        reader, writer = await asyncio.open_connection(pod.address, PORT)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: pod\r\n\r\n".encode())
        await reader.readline()
        writer.close()
        await writer.wait_closed()

    async def close(self) -> None:
        """Ends every Pod's process."""
        for pod in self._pods.values():
            if pod.process.returncode is None:
                pod.process.kill()
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*(pod.process.wait() for pod in self._pods.values()))

    async def _start(self) -> None:
        self._started += 1
        number = self._started
        name = f"{self.name}-v{self._revision}-{number}"
        address = f"{_SUBNET}.{number % 250 + 1}"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "fairlead.lab.pod",
            address,
            str(PORT),
            name,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        pod = self._pods[name] = Pod(name, address, process)
        if process.stdout is not None:
            await process.stdout.readline()
        pod.phase = Phase.READY
        self._write()

    def _stop(self, pod: Pod) -> None:
        pod.phase = Phase.TERMINATING
        self._write()
        task = asyncio.create_task(self._leave(pod), name=f"pod {pod.name} leaves")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _leave(self, pod: Pod) -> None:
        pod.process.send_signal(signal.SIGTERM)
        await pod.process.wait()
        del self._pods[pod.name]
        self._write()

    def _write(self) -> None:
        endpoints = [
            {
                "addresses": [pod.address],
                "conditions": {
                    "ready": pod.phase is Phase.READY,
                    "serving": True,
                    "terminating": pod.phase is Phase.TERMINATING,
                },
                "targetRef": {
                    "kind": "Pod",
                    "namespace": "default",
                    "name": pod.name,
                    "uid": f"uid-{pod.name}",
                },
            }
            for pod in self._pods.values()
            if pod.phase is not Phase.STARTING
        ]
        slice_ = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"{self.name}-1", "labels": {"kubernetes.io/service-name": self.name}},
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{"name": "http", "port": PORT, "protocol": "TCP"}],
        }
        write_atomically(self._folder / f"{self.name}-endpoints.yaml", [slice_])
