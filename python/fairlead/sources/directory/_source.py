"""The shell: looks at the directory and tells the changes.

inotify (through watchfiles) tells of changes at once. What it cannot see, such as a file behind a symbolic
link that leads out of the directory, is found by comparing the files' fingerprints every `POLL_S` seconds.

Laws:
1. The loop is held for none of it: files are listed, read and understood, and the record is written, in threads. One
   look at a time touches the state.
2. The record follows within two seconds, and no look waits for it.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from watchfiles import awatch

from fairlead.base import Clock, FairleadError, RecordTrouble, SystemClock
from fairlead.sources._changes import Change, Sink
from fairlead.sources.directory._files import fingerprint, scan
from fairlead.sources.directory._objects import CONTROLLER_NAME
from fairlead.sources.directory._record import Recorded, load, save
from fairlead.sources.directory._state import DirectoryState

POLL_S = 1.0
_DEBOUNCE_MS = 20
_STEP_MS = 5


class DirectoryNotFoundError(FairleadError):
    """There is no such directory."""

    code = "DirectoryNotFound"


class DirectorySource:
    """The manifests below `root` as a source."""

    def __init__(
        self,
        root: Path,
        *,
        controller_name: str = CONTROLLER_NAME,
        record: Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`record`: the file that keeps what was in force over a restart. Raises DirectoryNotFoundError."""
        if not root.is_dir():
            raise DirectoryNotFoundError(f"{root} is not a directory", hint="name a directory with manifests")
        self._root = root
        self._clock = clock or SystemClock()
        self.state = DirectoryState(controller_name, load(record, root) if record is not None else ())
        self._recorder = _Recorder(record, root) if record is not None else None

    async def run(self, sink: Sink) -> None:
        """Tells changes to `sink` until cancelled."""
        seen = await asyncio.to_thread(fingerprint, self._root, self.state.paths)
        await self._look(sink)
        events = awatch(
            self._root,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            rust_timeout=int(POLL_S * 1000),
            yield_on_timeout=True,
            recursive=True,
            ignore_permission_denied=True,
        )
        async for changes in events:
            now = await asyncio.to_thread(fingerprint, self._root, self.state.paths)
            if changes or now != seen:
                seen = now
                await self._look(sink)
            if self._recorder is not None:
                self._recorder.turn(self._clock.monotonic())

    async def _look(self, sink: Sink) -> None:
        changes = await asyncio.to_thread(self._changes, self._clock.monotonic())
        if changes:
            sink(changes)

    def _changes(self, at: float) -> Sequence[Change]:
        changes = self.state.update(scan(self._root, self.state.paths), at)
        if self._recorder is not None:
            self._recorder.wanted = self.state.record()
        return changes


class _Recorder:
    """Writes the record as far as it is behind, in a thread, at most every `POLL_S`."""

    def __init__(self, record: Path, root: Path) -> None:
        self._record = record
        self._root = root
        self.wanted: list[Recorded] = []
        self._written: list[Recorded] | None = None
        self._writing: asyncio.Future[list[Recorded]] | None = None
        self._next_at = 0.0
        self._trouble = RecordTrouble("directory", record)

    def turn(self, now: float) -> None:
        """Sees how the last write went, and begins another where one is due."""
        if self._writing is not None:
            if not self._writing.done():
                return
            self._finish(self._writing)
            self._writing = None
        if now >= self._next_at and self.wanted is not self._written:
            self._next_at = now + POLL_S
            loop = asyncio.get_running_loop()
            self._writing = loop.run_in_executor(None, self._write, self.wanted, self._written)

    def _write(self, wanted: list[Recorded], written: list[Recorded] | None) -> list[Recorded]:
        if wanted != written:
            save(self._record, self._root, wanted)
        return wanted

    def _finish(self, writing: "asyncio.Future[list[Recorded]]") -> None:
        try:
            self._written = writing.result()
        except OSError as error:
            self._trouble.failed(error)
        else:
            self._trouble.written()
