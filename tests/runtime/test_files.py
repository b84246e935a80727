"""Where an instance lives: folders, locks, records."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead.resources import Ref
from fairlead.runtime._addresses import load, save
from fairlead.runtime._lock import CONTROLLER, PROXY, acquire
from fairlead.runtime._validation import Verdicts
from fairlead.runtime.instance import (
    HealthAddressError,
    InstanceRunningError,
    PathError,
    Settings,
    instance_paths,
    run_instance,
    run_proxy,
)
from fairlead.snapshot import Key, Rejection
from fairlead.snapshot import Kind as ResourceKind


def env(tmp_path: Path) -> dict[str, str]:
    return {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "XDG_STATE_HOME": str(tmp_path / "state")}


def test_an_instance_has_its_own_sockets_and_state(tmp_path: Path) -> None:
    paths = instance_paths("edge", env=env(tmp_path))
    assert paths.admin_socket == tmp_path / "run/fairlead/edge.sock"
    assert paths.stream_socket == tmp_path / "run/fairlead/edge.stream.sock"
    assert paths.last_good == tmp_path / "state/fairlead/edge/last-good"
    for folder in (paths.runtime_dir, paths.state_dir):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_the_state_folder_can_be_chosen(tmp_path: Path) -> None:
    paths = instance_paths("edge", state_dir=tmp_path / "elsewhere", env=env(tmp_path))
    assert paths.last_good == tmp_path / "elsewhere/edge/last-good"


@pytest.mark.parametrize("name", ["", "Edge", "a/b", "../x", "-a", "a" * 41])
def test_a_name_that_cannot_be_a_file_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(PathError) as caught:
        instance_paths(name, env=env(tmp_path))
    assert caught.value.code == "InvalidInstanceName"


def test_a_folder_too_deep_for_sockets_is_refused_in_words(tmp_path: Path) -> None:
    deep = {**env(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / ("x" * 100))}
    with pytest.raises(PathError, match="too long for a socket"):
        instance_paths("edge", env=deep)


def test_a_second_start_is_refused_with_the_process_that_runs(tmp_path: Path) -> None:
    paths = instance_paths("edge", env=env(tmp_path))
    lock = acquire(paths, PROXY)
    with pytest.raises(InstanceRunningError, match=rf'"edge" is already running .process {os.getpid()}\)'):
        acquire(paths, PROXY)
    acquire(paths, CONTROLLER).release()
    lock.release()
    acquire(paths, PROXY).release()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    paths = instance_paths("edge", env=env(tmp_path))
    script = (
        "import os, sys, time; from pathlib import Path\n"
        "from fairlead.runtime.instance import instance_paths; from fairlead.runtime._lock import acquire\n"
        "lock = acquire(instance_paths('edge'), 'proxy'); print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        env=os.environ | env(tmp_path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(InstanceRunningError):
            acquire(paths, PROXY)
        process.kill()
    acquire(paths, PROXY).release()


def test_recorded_addresses_come_back(tmp_path: Path) -> None:
    path = tmp_path / "addresses.json"
    assert load(path) == {}
    addresses = {Ref("default", "web"): "127.1.2.3", Ref("shop", "edge"): "127.1.2.4"}
    save(path, addresses)
    assert load(path) == addresses
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"gateways": 1}', b'{"gateways": {"a/b": "\xff"}}', b"[" * 100_000],
    ids=["nothing", "cut", "a list", "a number", "no text", "deep"],
)
def test_a_broken_record_is_no_record(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "addresses.json"
    path.write_bytes(content)
    assert load(path) == {}


def test_a_verdict_is_reached_once_for_translation_and_store() -> None:
    asked: list[bytes] = []

    def validate(key: Key, body: bytes) -> Rejection | None:
        asked.append(body)
        return Rejection(kind=key.kind, name=key.name, reason="Bad", message="") if b"bad" in body else None

    verdicts, key, bad = Verdicts(validate), Key(ResourceKind.ROUTE, "r"), b"bad".join([b"", b""])
    first = verdicts.for_translation(key, bad)
    assert first is not None
    assert verdicts.for_store(key, bad) == first
    assert asked == [bad]
    verdicts.for_translation(key, bad)
    assert verdicts.for_store(key, b"good") is None, "other bytes are judged anew"
    verdicts.for_translation(key, bad)
    verdicts.forget()
    assert verdicts.for_store(key, bad) == first
    assert asked == [bad, bad, b"good", bad, bad]


def test_the_supervisor_loads_nothing_but_the_standard_library() -> None:
    script = (
        "import sys, sysconfig; import fairlead.runtime._supervisor\n"
        "allowed = set(sys.stdlib_module_names) | {'fairlead'}\n"
        "foreign = {name.partition('.')[0] for name in sys.modules} - allowed - {'__main__'}\n"
        "own = [name for name in sys.modules if name.startswith('fairlead.') and 'runtime' not in name]\n"
        "print(sorted(name for name in foreign if not name.startswith('_')) + own)\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": "python"},
    )
    assert done.stdout == "[]\n"


def test_a_health_address_that_is_taken_is_said_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in env(tmp_path).items():
        monkeypatch.setenv(name, value)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = Settings(instance="test", health_address=address)
        for start in (run_instance, run_proxy):
            with pytest.raises(HealthAddressError) as caught:
                start(settings, lambda *_: pytest.fail("started"))
            assert address in caught.value.message
            assert "Address already in use" in caught.value.message
