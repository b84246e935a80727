"""The programs that the benchmark's tests start, built once."""

import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench import build
from bench.generator import Load


@pytest.fixture(scope="session")
def load() -> Load:
    return Load(build.load_generator())


@pytest.fixture(scope="session")
def program() -> Path:
    return build.bare_proxy()


@pytest.fixture(scope="session")
def free_ports() -> Callable[[int], list[int]]:
    def find(count: int) -> list[int]:
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
            return [each.getsockname()[1] for each in sockets]

    return find
