"""The proxy as a process: how it starts, survives and leaves."""

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.process

Wait = Callable[[str, Callable[[], bool]], float]
Fetch = Callable[..., tuple[int, str]]


def _answers(fetch: Fetch, port: int) -> bool:
    try:
        return fetch(port) == (200, "hello\n")
    except OSError:
        return False


def _leave_a_file(world: Any, wait: Wait) -> None:
    process = world.configure()
    wait("the last good file", (world.folder / "last-good").exists)
    process.kill()
    process.wait()


def test_a_killed_proxy_serves_again_from_disk_within_a_second(world: Any, wait: Wait, fetch: Fetch) -> None:
    process = world.configure()
    assert fetch(world.bind_port) == (200, "hello\n")
    wait("the last good file", (world.folder / "last-good").exists)
    process.kill()
    process.wait()
    world.start()
    assert wait("an answer", lambda: _answers(fetch, world.bind_port)) < 1.0
    wait("readiness", lambda: world.health("/readyz")[0] == 200)


def test_a_graceful_stop_fails_readiness_and_accepts_for_the_grace_time(
    world: Any, wait: Wait, fetch: Fetch
) -> None:
    process = world.configure()
    wait("readiness", lambda: world.health("/readyz")[0] == 200)
    process.send_signal(signal.SIGTERM)
    wait("readiness fails", lambda: world.health("/readyz")[0] == 503)
    assert fetch(world.bind_port) == (200, "hello\n")
    assert process.wait(timeout=10) == 0
    with socket.socket() as late:
        assert late.connect_ex(("127.0.0.1", world.bind_port)) != 0


def test_an_interrupt_stops_at_once(world: Any) -> None:
    process = world.configure()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=5) == 0


def test_what_a_proxy_says_is_one_json_object_per_line(world: Any, fetch: Fetch) -> None:
    process = world.configure()
    assert fetch(world.bind_port, "/with?query=1")[0] == 200
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    (line,) = [json.loads(line) for line in out.splitlines()]
    assert (line["method"], line["path"], line["response_code"]) == ("GET", "/with?query=1", 200)
    assert (line["response_flags"], line["route_name"]) == ("-", "shop/app")
    assert {"started", "stopped"} <= {json.loads(line)["event"] for line in err.splitlines()}


def test_the_access_log_can_be_switched_off(world: Any, wait: Wait, fetch: Fetch) -> None:
    _leave_a_file(world, wait)
    process = world.start(access_log=False)
    wait("an answer", lambda: _answers(fetch, world.bind_port))
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=10)[0] == b""


def test_an_access_log_that_nobody_reads_holds_nothing_up(world: Any, fetch: Fetch) -> None:
    process = world.configure()
    connection = http.client.HTTPConnection("127.0.0.1", world.bind_port, timeout=10)
    path = "/" + "x" * 2_000
    fields = dict.fromkeys(("User-Agent", "X-Request-Id"), "x" * 500)
    for _ in range(3_000):  # 9 MB of lines, more than the pipe and all buffers hold
        connection.request("GET", path, headers=fields)
        assert connection.getresponse().read() == b"hello\n"
    connection.close()
    lines = world.health("/metrics")[1].splitlines()
    dropped = [line for line in lines if line.startswith("fairlead_access_log_dropped_total")]
    assert float(dropped[0].split()[-1]) > 0
    assert world.health("/livez")[0] == 200
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=5) == 0


def test_a_passed_descriptor_serves(world: Any, wait: Wait, fetch: Fetch) -> None:
    _leave_a_file(world, wait)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        wait("the port is free", lambda: _binds(listener, world.bind_port))
        listener.listen()
        # As the service manager does it: the descriptor is number 3, and the variables name the process.
        program = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3); "
            "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); "
            "os.execv(sys.executable, [sys.executable, '-m', 'fairlead.proxy', '--config', sys.argv[2]])"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(listener.fileno()), world.config()],
            pass_fds=(listener.fileno(),),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        world.processes.append(process)
        wait("readiness", lambda: world.health("/readyz")[0] == 200)
    assert fetch(world.bind_port) == (200, "hello\n")


def _binds(listener: socket.socket, port: int) -> bool:
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def test_a_proxy_imports_nothing_but_its_binding() -> None:
    program = "import sys, fairlead.proxy; print(*sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    loaded = set(out.split())
    assert "fairlead._core" in loaded
    assert not loaded & {"json", "msgspec", "asyncio", "aiohttp", "socket", "ssl", "re", "subprocess"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--conf", "{}"], 2, "usage"),
        (["--config", "@/nonexistent"], 2, "No such file"),
        (["--config", "{"], 1, "configuration"),
        (["--config", '{"wrokers": 1}'], 1, "wrokers"),
        (["--config", '{"health_address": "192.0.2.1:1"}'], 1, "cannot start"),
    ],
)
def test_a_bad_start_says_why(arguments: list[str], code: int, message: str) -> None:
    command = [sys.executable, "-m", "fairlead.proxy", *arguments]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
    assert result.returncode == code
    assert message in result.stderr
