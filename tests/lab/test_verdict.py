"""What the demo says in the end is what its client saw: a lost request is a failure, a Pod's own error is none."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import chain, repeat
from typing import Any

import pytest

from fairlead.lab import Scene, _demo
from fairlead.lab._demo import Demo
from fairlead.lab._instance import DemoStartError

ANSWERED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npod=a\n"
FAILED_BY_A_POD = b"HTTP/1.1 500 X\r\nContent-Length: 6\r\n\r\npod=a\n"
NO_ENDPOINT = b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"
DROPPED = b""
"""The connection ends instead of an answer."""


class Instance:
    """Tells nothing of its endpoints; the gateway is the test's own server."""

    async def list(self, *_: object) -> tuple[()]:
        return ()

    def last_words(self) -> str:
        return "its last words: I am tired"


@asynccontextmanager
async def gateway(answers: Callable[[], bytes]) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                answer = answers()
                if answer == DROPPED:
                    break
                writer.write(answer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def played(monkeypatch: pytest.MonkeyPatch, *answers: bytes) -> int:
    """The demo's exit code with these answers to its first requests, after which all is well."""
    # The first request of all asks whether the gateway leads to the Pods.
    coming = chain([ANSWERED], answers, repeat(ANSWERED))
    async with gateway(lambda: next(coming)) as port:
        monkeypatch.setattr(_demo, "GATEWAY_PORT", port)
        nothing: Any = None
        instance: Any = Instance()
        return await Demo([Scene.STEADY], 0.0)._play(nothing, instance, "127.0.0.1", "/nowhere")


async def test_answers_alone_are_a_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await played(monkeypatch) == 0
    assert " 0 lost" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param(NO_ENDPOINT, "lost: 1 x 503 from the gateway", id="an error of the gateway"),
        pytest.param(DROPPED, "lost: 1 x IncompleteReadError", id="a connection that dies"),
    ],
)
async def test_one_lost_request_is_a_failure_and_is_told(
    answer: bytes, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await played(monkeypatch, ANSWERED, answer) == 1
    output = capsys.readouterr().out
    assert " 1 lost" in output
    assert told in output


async def test_an_error_of_a_pod_is_told_and_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await played(monkeypatch, FAILED_BY_A_POD) == 0
    output = capsys.readouterr().out
    assert " 0 lost, 1 answered 500 by a Pod itself" in output
    assert "1 x 500 from a" in output


@pytest.mark.parametrize(
    ("answer", "seen"), [(NO_ENDPOINT, "503 from the gateway"), (DROPPED, "IncompleteReadError")]
)
async def test_a_gateway_that_never_leads_to_the_pods_is_an_error(
    answer: bytes, seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_demo, "FIRST_ANSWER_S", 0.3)
    async with gateway(lambda: answer) as port:
        monkeypatch.setattr(_demo, "GATEWAY_PORT", port)
        nothing: Any = None
        instance: Any = Instance()
        with pytest.raises(DemoStartError, match=seen) as caught:
            await Demo([Scene.STEADY], 0.0)._play(nothing, instance, "127.0.0.1", "/nowhere")
    assert caught.value.hint == "its last words: I am tired"
