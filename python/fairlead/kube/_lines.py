"""Splits a byte stream into lines, whatever the sizes of its chunks.

Laws:
1. Every byte is copied at most twice, also where a line of megabytes comes in small chunks.
2. A line over the limit is an error, not memory: an object is at most about 1.5 MiB in etcd, and its JSON
   a small multiple of that.
"""

from fairlead.kube._errors import ProtocolError

LINE_LIMIT = 32 * 1024 * 1024
"""Bytes."""


class LineSplitter:
    """Collects chunks and gives whole lines, without their ends; empty lines are passed over."""

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def pending(self) -> int:
        """Bytes of the line that has begun and not ended."""
        return self._size

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes.

        Raises:
            ProtocolError: a line is longer than the limit.
        """
        first, *rest = chunk.split(b"\n")
        lines: list[bytes] = []
        if rest:
            self._parts.append(first)
            lines.append(b"".join(self._parts))
            lines.extend(rest[:-1])
            first = rest[-1]
            self._parts.clear()
            self._size = 0
        if first:
            self._parts.append(first)
            self._size += len(first)
        if self._size > self._limit or any(len(line) > self._limit for line in lines):
            raise ProtocolError(
                f"a line of the watch stream is longer than {self._limit} bytes", code="LineTooLong"
            )
        return [line for line in lines if line.strip()]
