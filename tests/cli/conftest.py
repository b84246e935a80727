"""An instance for the commands: the real admin server, in a thread, over a scripted inventory."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from fairlead.base import SystemClock
from fairlead.cli import call
from fairlead.cli._discovery import _is_live
from tests.admin.rig import Rig


class Instance:
    """One instance under a name; `rig` holds what it knows."""

    def __init__(self, folder: Path, name: str = "default") -> None:
        self.path = folder / "fairlead" / f"{name}.sock"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.rig = Rig(SystemClock())
        self._loop = asyncio.new_event_loop()
        self._task: Future[asyncio.Task[None]] = Future()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        while not _is_live(self.path):
            assert self._thread.is_alive()

    def _run(self) -> None:
        async def serve() -> None:
            task = asyncio.create_task(self.rig.server().run(self.path))
            self._task.set_result(task)
            await asyncio.gather(task, return_exceptions=True)
            # A connection accepted in the last moment is closed only in the loop's next turns.
            await asyncio.sleep(0.05)

        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(serve())

    def stop(self) -> None:
        if not self._thread.is_alive():
            return
        # Connections that clients have just closed are seen to their end before the server goes.
        task = self._task.result(5)
        self._loop.call_soon_threadsafe(lambda: self._loop.call_later(0.05, task.cancel))
        self._thread.join(5)


class Cli:
    """Calls commands in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        code = call(arguments)
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err


@pytest.fixture
def runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where instances may be found."""
    folder = tmp_path / "run"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.delenv("FAIRLEAD_ADDRESS", raising=False)
    monkeypatch.setattr("fairlead.cli._discovery.runtime_dirs", lambda _env: [folder / "fairlead"])
    return folder


@pytest.fixture
def instance(runtime_dir: Path) -> Iterator[Instance]:
    instance = Instance(runtime_dir)
    instance.rig.fill()
    yield instance
    instance.stop()


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], runtime_dir: Path) -> Cli:
    return Cli(capsys)
