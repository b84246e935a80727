"""The package as users install it: a wheel in an environment of its own, away from this checkout.

The wheel is built with the profile that `make build` has used, so that little is compiled again. The dependencies
come from uv's cache, which has them since the environment of the tests was made; without it from the network.
"""

import http.client
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.e2e.harness.directory import Directory
from tests.e2e.harness.waiting import eventually

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
SOURCES = ROOT / "python" / "fairlead"
ALONE = os.environ | {"PYTHONPATH": ""}
"""What it finds is what is installed."""


def run(*command: str | Path, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    words = list(map(str, command))
    done = subprocess.run(words, cwd=cwd, env=ALONE, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("package")


@pytest.fixture(scope="module")
def wheel(folder: Path) -> Path:
    run(BIN / "maturin", "build", "--quiet", "--profile", "fast", "--out", folder / "wheels", cwd=ROOT)
    (found,) = (folder / "wheels").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def environment(folder: Path, wheel: Path) -> Path:
    """The folder with the programs of an environment that has the wheel and what it depends on."""
    uv, python = BIN / "uv", folder / "venv" / "bin" / "python"
    run(uv, "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder)
    pinned = ("--require-hashes", ROOT / "requirements" / "run.txt")
    sync = (uv, "pip", "sync", "--quiet", "--python", python, *pinned)
    if run(*sync, "--offline", cwd=ROOT, check=False).returncode != 0:
        run(*sync, cwd=ROOT)
    run(uv, "pip", "install", "--quiet", "--no-deps", "--offline", "--python", python, wheel, cwd=folder)
    return python.parent


def test_it_holds_what_the_package_needs_at_run_time_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        found = {name.removeprefix("fairlead/") for name in opened.namelist() if name.startswith("fairlead/")}
        others = {name.partition("/")[0] for name in opened.namelist()} - {"fairlead"}
    wanted = {
        str(path.relative_to(SOURCES))
        for path in SOURCES.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert found == wanted | {"_core.abi3.so"}
    assert {"py.typed", "_core.pyi"} <= found
    assert any(name.startswith("sources/crds/gateway.networking") for name in found)
    assert others == {f"fairlead-{VERSION}.dist-info"}
    assert wheel.name.startswith(f"fairlead-{VERSION}-cp311-abi3-")


def test_its_dependencies_are_those_that_it_names(environment: Path, folder: Path) -> None:
    run(BIN / "uv", "pip", "check", "--python", environment / "python", cwd=folder)


def test_it_brings_the_command(environment: Path, folder: Path) -> None:
    told = run(environment / "fairlead", "version", cwd=folder).stdout
    assert VERSION in told
    where = "import fairlead; print(fairlead.__file__)"
    assert run(environment / "python", "-c", where, cwd=folder).stdout.startswith(str(folder))


def test_it_is_typed(environment: Path, folder: Path) -> None:
    asked = "import fairlead\nreveal_type(fairlead.__version__)\nfairlead.nowhere"
    mypy = (BIN / "mypy", "--strict", "--no-incremental", "--python-executable", environment / "python")
    told = run(*mypy, "-c", asked, cwd=folder, check=False).stdout
    assert 'Revealed type is "str"' in told.replace("builtins.", "")
    assert 'has no attribute "nowhere"' in told
    assert "py.typed" not in told


@pytest.fixture
def pods() -> Iterator[list[int]]:
    """The ports of two Pods."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
    threads = [Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    yield [server.server_port for server in servers]
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        server.server_close()
        thread.join()


def test_it_runs_the_first_example(environment: Path, tmp_path: Path, pods: list[int]) -> None:
    instance = Directory(tmp_path, environment=ALONE, program=[str(environment / "fairlead")])
    text = (ROOT / "examples" / "01-directory" / "echo.yaml").read_text()
    # The ports of the example may be taken here.
    for written, port in zip(("9001", "9002"), pods, strict=True):
        text, found = re.subn(rf"port: {written}\b", f"port: {port}", text)
        assert found == 1
    instance.write("echo.yaml", text)

    def answer() -> bool:
        with closing(http.client.HTTPConnection(address, 8080, timeout=5)) as connection:
            connection.request("GET", "/", headers={"Host": "echo.example.com"})
            return connection.getresponse().read() == b"ok"

    try:
        instance.start()
        address = instance.address("web")
        eventually("a Pod answers", answer)
    finally:
        instance.stop()
        print(instance.tail())
