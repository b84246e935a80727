"""A proxy process in front of a recording backend."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http1.rig import Rig
from tests.proxy.conftest import World, wait_until


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder: Path = tmp_path_factory.mktemp("proxy")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        bind_port = free.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        world = World(folder, listener.getsockname()[1], bind_port)
        # One worker, so that every exchange meets the same pool.
        process = world.configure(workers=1, access_log=False)
        rig = Rig(bind_port, listener)
        try:
            wait_until("readiness", lambda: world.health("/readyz")[0] == 200)
            yield rig
            assert process.poll() is None, "the proxy has ended"
        finally:
            rig.close()
            process.kill()
            process.communicate()
