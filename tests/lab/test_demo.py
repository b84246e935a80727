"""The demo itself, as a newcomer starts it: no request is lost in any scene, and what it prints is true."""

import http.client
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

pytest.importorskip("fairlead._core", reason="the binding is not built")
pytestmark = pytest.mark.process

PODS = 4


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "fairlead", "demo", *arguments]


def demo(*arguments: str) -> tuple[int, str]:
    """Exit code and output, without a terminal."""
    done = subprocess.run(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A demo whose output is read as it comes."""
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def until_played(process: subprocess.Popen[str]) -> list[str]:
    """The lines up to the first that a scene says."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(f"{PODS} even Pods"):
            break
    return lines


def tally(output: str) -> tuple[int, int]:
    """What the client counted: answered, lost."""
    found = re.findall(r"client: (\d+) answered, (\d+) lost", output)
    assert found, output
    return int(found[-1][0]), int(found[-1][1])


@pytest.mark.parametrize("scene", ["steady", "scale", "rolling-update", "slow-pod"])
def test_no_request_is_lost(scene: str) -> None:
    code, output = demo("--scene", scene, "--for", "4s")
    answered, lost = tally(output)
    assert (code, lost) == (0, 0), output
    assert answered > 700


def test_a_pod_that_fails_fast_attracts_little_traffic() -> None:
    code, output = demo("--scene", "failing-pod", "--for", "6s")
    failed = re.search(r"(\d+) answered 500 by a Pod itself", output)
    assert failed, output
    # A quarter of the requests of the 4 s in which it fails would be 200; fast failures attract even more.
    assert 0 < int(failed[1]) <= 40
    answered, lost = tally(output)
    assert (code, lost) == (0, 0), output
    assert answered > 1000


def below(pid: int) -> Iterator[int]:
    """All processes below one."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            yield child
            yield from below(child)


def test_where_requests_are_lost_it_says_so_and_fails() -> None:
    """The proxy is killed: its connections die with the requests that are sent on them."""
    with running("--scene", "steady", "--for", "3s") as process:
        until_played(process)
        (proxy,) = (
            pid
            for pid in below(process.pid)
            if b"fairlead.proxy" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        )
        os.kill(proxy, signal.SIGKILL)
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 1, output
    assert tally(output)[1] > 0
    assert re.search(r"lost: \d+ x \w+", output), output


def test_the_commands_that_it_prints_work() -> None:
    with running("--scene", "steady", "--for", "10s") as process:
        lines = until_played(process)
        curl = next(line for line in lines if line.startswith("  curl "))
        get = next(line for line in lines if "get endpoints -w" in line)

        _, _, header, url = shlex.split(curl)
        found = re.fullmatch(r"http://(127\.\d+\.\d+\.\d+:8080)(/)", url)
        assert found, curl
        name, _, value = header.partition(": ")
        with closing(http.client.HTTPConnection(found[1], timeout=5)) as connection:
            connection.request("GET", found[2], headers={name: value})
            assert re.fullmatch(rb"pod=echo-v1-\d\n", connection.getresponse().read())

        watching = subprocess.Popen(
            get, shell=True, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            assert watching.stdout is not None
            seen: set[str] = set()
            # It ends with the demo, if not before.
            for line in watching.stdout:
                seen.update(re.findall(r"127\.88\.0\.\d+:8080", line))
                if len(seen) == PODS:
                    break
        finally:
            os.killpg(watching.pid, signal.SIGINT)
            watching.communicate(timeout=30)
        assert len(seen) == PODS


def on_a_terminal(*arguments: str) -> tuple[int, str]:
    """Exit code and everything that was written to the terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command(*arguments), stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        output = b""
        # The last writer's end is an error to read from.
        with suppress(OSError):
            while part := os.read(ours, 65536):
                output += part
        os.close(ours)
    return process.returncode, output.decode()


def test_on_a_terminal_a_table_lives() -> None:
    code, output = on_a_terminal("--scene", "steady", "--for", "2s")
    first, *frames = output.split("\x1b[H")
    assert (code, first) == (0, "\x1b[2J"), output
    assert len(frames) >= 3, "drawn twice a second"
    assert all(frame.startswith(f"▶ {PODS} even Pods") for frame in frames[1:])
    for frame in frames:
        assert re.search(r"^POD +ADDRESS +STATE +SHARE +SUCCESS +P50", frame, re.MULTILINE)
        assert "get endpoints -w" in frame
    # The last holds the summary behind it as well.
    *_, last, _ = frames
    rows = re.findall(
        r"^echo-v1-\d +127\.88\.0\.\d+:8080 +\w+ +[\d.]+% +100\.0% +[\d.]+ ms +█+", last, re.MULTILINE
    )
    assert len(rows) == PODS, last
    counts = [tally(frame) for frame in frames]
    assert counts == sorted(counts), "the client's count rises"
    assert counts[-1][0] > counts[1][0]
    assert counts[-1][1] == 0
