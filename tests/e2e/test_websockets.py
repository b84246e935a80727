"""A thousand WebSockets of a real client library: they hold and echo while the configuration changes around them."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from random import Random

import aiohttp
import pytest

from tests.e2e.harness.directory import Directory
from tests.e2e.harness.echo_server import echo_pods
from tests.e2e.harness.waiting import eventually

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(find_spec("fairlead._core") is None, reason="fairlead._core is not built"),
]

WEBSOCKETS = 1000
FILES = 4 * WEBSOCKETS
"""Descriptors that the proxy may open: it lets clients have at most half. The others need fewer."""
AT_ONCE = 50
ROUNDS = 5
"""Each of six changes."""
HOST = "chat.example.com"
SIZES = (0, 1, 125, 126, 127, 1_000, 4_096, 65_535, 65_536)
"""Around each change of a frame's length field."""

GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge}}
spec:
  gatewayClassName: fairlead
  listeners: {listeners}
"""
ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: edge}}]
  hostnames: [{name}.example.com]
  rules: [{{backendRefs: [{{name: chat, port: 80}}]}}]
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: chat}
spec: {ports: [{name: http, port: 80}]}
"""
SLICE = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: chat-{port}, labels: {{kubernetes.io/service-name: chat}}}}
addressType: IPv4
ports: [{{name: http, port: {port}, protocol: TCP}}]
endpoints: [{{addresses: [127.0.0.1]}}]
"""


@pytest.fixture(autouse=True)
def files() -> Iterator[None]:
    """Room for the descriptors, in this process and, by inheritance, in those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < FILES:
        pytest.skip(f"a process may open {hard} files here, {FILES} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES) if soft >= 0 else soft, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def pods() -> Iterator[list[int]]:
    """Ports of four Pods."""
    with echo_pods(4) as ports:
        yield ports


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Directory]:
    instance = Directory(tmp_path)
    yield instance
    instance.stop()
    print(instance.tail())  # pytest shows it with a failure


class Conversation:
    """One WebSocket that sends messages and gets each back as it was."""

    def __init__(self, number: int, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self._random = Random(number)
        self._websocket = websocket
        self.messages = 0

    async def once(self) -> None:
        message = self._random.randbytes(self._random.choice(SIZES))
        await self._websocket.send_bytes(message)
        answer = await self._websocket.receive(timeout=20)
        assert answer.type is aiohttp.WSMsgType.BINARY, f"after {self.messages} messages: {answer}"
        assert answer.data == message
        self.messages += 1

    async def go_on(self, end: asyncio.Event) -> None:
        while not end.is_set():
            await self.once()
            await asyncio.sleep(self._random.uniform(0.5, 1.5))
        await self.once()

    async def close(self) -> None:
        await self._websocket.close()
        assert self._websocket.close_code == aiohttp.WSCloseCode.OK


@asynccontextmanager
async def conversations(session: aiohttp.ClientSession, url: str) -> AsyncIterator[list[Conversation]]:
    """All WebSockets, open; in the end each is closed from here, and in good order."""
    doors = asyncio.Semaphore(AT_ONCE)

    async def connect(number: int) -> Conversation:
        async with doors:
            websocket = await session.ws_connect(url, headers={"Host": HOST}, max_msg_size=0, autoping=False)
            return Conversation(number, websocket)

    made = await asyncio.gather(*[connect(number) for number in range(WEBSOCKETS)])
    yield made
    await asyncio.gather(*[each.close() for each in made])


class Changes:
    """Changes of the configuration, each followed until a request sees it."""

    def __init__(
        self, instance: Directory, session: aiohttp.ClientSession, address: str, pods: list[int]
    ) -> None:
        self._instance = instance
        self._session = session
        self._address = address
        self._pods = pods
        self.count = 0

    async def round(self, number: int) -> None:
        """A route comes and goes, a listener comes and goes, an endpoint comes, others go."""
        extra = f"extra-{number}"
        self._instance.write(f"{extra}.yaml", ROUTE.format(name=extra))
        await self._seen(lambda: self._ask(8080, f"{extra}.example.com"), lambda status, _: status == 200)
        write_gateway(self._instance, 8080, 8081)
        await self._seen(lambda: self._ask(8081, HOST), lambda status, _: status == 200)
        current = [self._pods[number % 4]]
        write_endpoints(self._instance, [self._pods[(number + 2) % 4], *current])
        await self._seen(lambda: self._ask(8080, HOST), lambda _, pod: pod in map(str, current))
        write_endpoints(self._instance, current)
        await self._seen(self._several, lambda _, pods: pods == str(current[0]))
        write_gateway(self._instance, 8080)
        await self._seen(lambda: self._ask(8081, HOST), lambda status, _: status == 0)
        self._instance.remove(f"{extra}.yaml")
        await self._seen(lambda: self._ask(8080, f"{extra}.example.com"), lambda status, _: status == 404)

    async def _ask(self, port: int, host: str) -> tuple[int, str]:
        """Status and body; 0 where nobody listens."""
        try:
            async with self._session.get(f"http://{self._address}:{port}/", headers={"Host": host}) as answer:
                return answer.status, await answer.text()
        except aiohttp.ClientConnectionError as error:
            return 0, str(error)

    async def _several(self) -> tuple[int, str]:
        """Who answers several requests."""
        answers = [await self._ask(8080, HOST) for _ in range(8)]
        return answers[0][0], ",".join(sorted({body for _, body in answers}))

    async def _seen(
        self, look: Callable[[], Awaitable[tuple[int, str]]], wanted: Callable[[int, str], bool]
    ) -> None:
        async with asyncio.timeout(20):
            while not wanted(*await look()):
                await asyncio.sleep(0.02)
        self.count += 1


def write_gateway(instance: Directory, *ports: int) -> None:
    listeners = ", ".join(f"{{name: http-{port}, port: {port}, protocol: HTTP}}" for port in ports)
    instance.write("gateway.yaml", GATEWAY.format(listeners=f"[{listeners}]"))


def write_endpoints(instance: Directory, ports: list[int]) -> None:
    instance.write("endpoints.yaml", "---".join(SLICE.format(port=port) for port in ports))


async def test_a_thousand_websockets_hold_and_echo_while_the_configuration_changes(
    instance: Directory, pods: list[int]
) -> None:
    write_gateway(instance, 8080)
    instance.write("chat.yaml", ROUTE.format(name="chat") + "---" + SERVICE)
    write_endpoints(instance, pods)
    instance.start()
    address = instance.address("edge")
    end = asyncio.Event()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:
        changes = Changes(instance, session, address, pods)
        url = f"http://{address}:8080/"
        async with conversations(session, url) as all_of_them, asyncio.TaskGroup() as group:
            for each in all_of_them:
                group.create_task(each.go_on(end))
            for number in range(ROUNDS):
                await changes.round(number)
                gauges = await asyncio.to_thread(instance.in_flight)
                assert gauges["fairlead_downstream_requests_in_flight"] >= WEBSOCKETS
            end.set()
    assert changes.count == 6 * ROUNDS
    assert min(each.messages for each in all_of_them) >= 2
    eventually("all in-flight gauges are 0", lambda: not any(instance.in_flight().values()), within=10)
