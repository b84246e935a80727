"""Credentials kept in files that rotate underneath: tokens, certificates, CAs.

Laws:
1. A file is read again when its identity, size or time of change is another (mounted Secrets are swapped by
   symlink), at the latest after `MAX_AGE`, and at once after `forget`.
2. While it cannot be read, or is empty, what was read last stays in force; without that it is an error.
"""

import os
from pathlib import Path

from fairlead.base import Clock, SystemClock
from fairlead.kube._errors import CredentialsError

MAX_AGE = 60.0
"""Seconds."""

SIZE_LIMIT = 4 * 1024 * 1024
"""Bytes; the largest CA bundles in use are a quarter of it."""


class WatchedFile:
    """One file, read again when it has changed."""

    def __init__(self, path: Path, *, what: str, clock: Clock | None = None) -> None:
        """`what` names the file's role in errors, such as `client certificate`."""
        self.path = path
        self._what = what
        self._clock = clock or SystemClock()
        self._content: bytes | None = None
        self._mark: tuple[int, int, int] | None = None
        self._read_at = 0.0

    def read(self) -> bytes:
        """The current content.

        Raises:
            CredentialsError: it could not be read even once.
        """
        now = self._clock.monotonic()
        try:
            stat = self.path.stat()
            mark = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if self._content is not None and mark == self._mark and now - self._read_at < MAX_AGE:
                return self._content
            with self.path.open("rb") as file:
                content = file.read(SIZE_LIMIT + 1)
        except OSError as error:
            if self._content is not None:
                return self._content
            raise CredentialsError(
                f"the {self._what} {self.path} cannot be read: {os.strerror(error.errno or 0)}",
                code="CredentialsFileUnreadable",
                hint="check the path and its permissions",
            ) from error
        if not content.strip() or len(content) > SIZE_LIMIT:
            if self._content is not None:
                return self._content
            problem = "empty" if not content.strip() else f"larger than {SIZE_LIMIT} bytes"
            raise CredentialsError(
                f"the {self._what} {self.path} is {problem}", code="CredentialsFileUnreadable"
            )
        self._content, self._mark, self._read_at = content, mark, now
        return content

    def forget(self) -> None:
        """Makes the next `read` read."""
        self._mark = None


class Fixed:
    """The same interface over content that does not change."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self) -> bytes:
        return self._content

    def forget(self) -> None:
        """Nothing to forget."""


Content = WatchedFile | Fixed
