"""The shell: looks at the directory and tells the changes.

inotify (through watchfiles) tells of changes at once. What it cannot see, such as a file behind a symbolic
link that leads out of the directory, is found by comparing the files' fingerprints every `POLL_S` seconds.
"""

import asyncio
from pathlib import Path

from watchfiles import awatch

from fairlead.base import Clock, FairleadError, SystemClock
from fairlead.sources._changes import Sink
from fairlead.sources.directory._files import fingerprint, scan
from fairlead.sources.directory._state import DirectoryState

POLL_S = 1.0
_DEBOUNCE_MS = 20
_STEP_MS = 5


class DirectoryNotFoundError(FairleadError):
    """There is no such directory."""

    code = "DirectoryNotFound"


class DirectorySource:
    """The manifests below `root` as a source."""

    def __init__(self, root: Path, *, clock: Clock | None = None) -> None:
        if not root.is_dir():
            raise DirectoryNotFoundError(f"{root} is not a directory", hint="name a directory with manifests")
        self._root = root
        self._clock = clock or SystemClock()
        self.state = DirectoryState()

    async def run(self, sink: Sink) -> None:
        """Tells changes to `sink` until cancelled."""
        seen = fingerprint(self._root)
        await self._look(sink)
        events = awatch(
            self._root,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            rust_timeout=int(POLL_S * 1000),
            yield_on_timeout=True,
            recursive=True,
        )
        async for changes in events:
            now = fingerprint(self._root)
            if changes or now != seen:
                seen = now
                await self._look(sink)

    async def _look(self, sink: Sink) -> None:
        at = self._clock.monotonic()
        files = await asyncio.to_thread(scan, self._root)
        changes = self.state.update(files, at)
        if changes:
            sink(changes)
