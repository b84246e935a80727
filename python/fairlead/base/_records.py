"""Files that keep something over a restart of their process.

Laws:
1. A record is replaced whole, or not at all. It is readable by its owner only.
2. That one cannot be written is said when the reason changes, and when it can be again.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from fairlead.base._logging import get_logger


def replace_record(path: Path, pieces: Iterable[bytes]) -> None:
    """Makes `pieces` the file's content, on the disk. Raises OSError."""
    temporary = path.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(pieces)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class RecordTrouble:
    """What is said of the attempts to write one record."""

    def __init__(self, component: str, path: Path) -> None:
        self._path = path
        self._problem = ""
        self._log = get_logger(component)

    def failed(self, error: OSError) -> None:
        """An attempt failed."""
        if str(error) != self._problem:
            self._problem = str(error)
            self._log.warning("record not written", path=str(self._path), error=self._problem)

    def written(self) -> None:
        """An attempt succeeded."""
        if self._problem:
            self._problem = ""
            self._log.info("record written", path=str(self._path))
