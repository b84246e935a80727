"""The supervisor with real processes in the place of controller and proxy."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

CHILD = """
import os, signal, sys, time
name, folder = sys.argv[1], sys.argv[2]
def note(text):
    with open(os.path.join(folder, "log"), "a") as file:
        file.write(f"{name} {text}\\n")
def end(number, frame):
    note(signal.Signals(number).name)
    if name == "proxy" and number == signal.SIGTERM:
        time.sleep(0.3)
    note("end")
    os._exit(0)
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, end)
with open(os.path.join(folder, name + ".pid"), "w") as file:
    file.write(str(os.getpid()))
note("start")
while True:
    signal.pause()
"""
SUPERVISOR = """
import sys
from pathlib import Path
from fairlead.runtime.instance import instance_paths
from fairlead.runtime._lock import acquire
from fairlead.runtime._supervision import Half
from fairlead.runtime._supervisor import Supervisor
child, folder = sys.argv[1], sys.argv[2]
commands = {half: [sys.executable, "-c", child, half.value, folder] for half in Half}
lock = acquire(instance_paths("test"), "proxy")
sys.exit(Supervisor(commands, proxy_lock=lock.descriptor, drain_s=5.0).run())
"""


class Rig:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = os.environ | {
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "XDG_STATE_HOME": str(folder / "state"),
        }
        self.process = self.launch()

    def launch(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, CHILD, str(self.folder)],
            env=self.env,
            stderr=subprocess.PIPE,
            text=True,
        )

    def log(self) -> list[str]:
        path = self.folder / "log"
        return path.read_text().splitlines() if path.exists() else []

    def pid(self, half: str) -> int:
        return int((self.folder / f"{half}.pid").read_text())

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.01)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    try:
        rig.until(lambda: {"controller start", "proxy start"} <= set(rig.log()))
        yield rig
    finally:
        rig.process.kill()
        rig.process.wait()
        assert rig.process.stderr is not None
        rig.process.stderr.close()
        for half in ("controller", "proxy"):
            rig.until(lambda half=half: not _alive(rig.pid(half)))  # type: ignore[misc]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(("killed", "other"), [("controller", "proxy"), ("proxy", "controller")])
def test_a_killed_half_comes_back_and_the_other_runs_on(rig: Rig, killed: str, other: str) -> None:
    before, untouched = rig.pid(killed), rig.pid(other)
    os.kill(before, signal.SIGKILL)
    rig.until(lambda: rig.log().count(f"{killed} start") == 2)
    assert rig.pid(killed) != before
    assert rig.pid(other) == untouched
    assert _alive(untouched)


def test_sigterm_drains_the_proxy_before_the_controller_is_told(rig: Rig) -> None:
    rig.process.terminate()
    assert rig.process.wait(timeout=10) == 0
    assert rig.log()[2:] == ["proxy SIGTERM", "proxy end", "controller SIGTERM", "controller end"]


def test_sigint_stops_both_fast(rig: Rig) -> None:
    rig.process.send_signal(signal.SIGINT)
    assert rig.process.wait(timeout=10) == 130
    assert "proxy SIGINT" in rig.log()


def test_a_hangup_is_no_reason_to_stop(rig: Rig) -> None:
    rig.process.send_signal(signal.SIGHUP)
    os.kill(rig.pid("controller"), signal.SIGKILL)
    rig.until(lambda: rig.log().count("controller start") == 2)
    assert "proxy SIGTERM" not in rig.log()


def test_a_log_that_nobody_reads_any_more_is_no_reason_to_stop(rig: Rig) -> None:
    assert rig.process.stderr is not None
    rig.process.stderr.close()
    os.kill(rig.pid("controller"), signal.SIGKILL)
    rig.until(lambda: rig.log().count("controller start") == 2)
    assert rig.process.poll() is None


def test_a_killed_supervisor_takes_its_halves_along_gently(rig: Rig) -> None:
    rig.process.kill()
    rig.until(lambda: rig.log().count("proxy end") == 1 and rig.log().count("controller end") == 1)
    assert "proxy SIGTERM" in rig.log()


def test_a_second_start_is_refused_until_the_last_half_is_gone(rig: Rig) -> None:
    second = rig.launch()
    _, errors = second.communicate(timeout=10)
    assert second.returncode != 0
    assert "already running" in errors
    assert rig.log().count("proxy start") == 1
