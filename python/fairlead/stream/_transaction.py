"""One update as frames.

Laws:
1. Parts of a transaction share its position; all but the last carry `more`.
2. A frame holds at most 1 MiB of resources, unless a single one is bigger.
3. Resources come in the order of `Kind`, removals after them in reverse.
"""

from collections.abc import Iterator

import msgspec

from fairlead.snapshot import EndpointsDelta, Key, Kind, Position, Removal, Update, Upsert, encode_frame

FRAME_BYTES = 1 << 20
"""What a frame may hold; small enough that the proxy reads it in one turn of its control thread."""

_OVERHEAD = 96
_ENDPOINT_BYTES = 256
_ORDER = {kind: number for number, kind in enumerate(Kind)}

Item = Upsert | EndpointsDelta | Removal


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """What one update holds; bodies are shared with the Store, so that holding it costs little."""

    position: Position
    full: bool
    upserts: tuple[Upsert, ...]
    endpoints: tuple[EndpointsDelta, ...]
    removals: tuple[Removal, ...]
    event_ms: int | None

    def frames(self) -> Iterator[bytes]:
        """The frames, each encoded when it is asked for."""
        part: list[Item] = []
        size = 0
        for item in self._items():
            weight = _size(item)
            if part and size + weight > FRAME_BYTES:
                yield self._frame(part, more=True)
                part, size = [], 0
            part.append(item)
            size += weight
        yield self._frame(part, more=False)

    def _items(self) -> Iterator[Item]:
        yield from sorted(self.upserts, key=lambda item: _ORDER[item.kind])
        yield from self.endpoints
        yield from sorted(self.removals, key=lambda item: -_ORDER[item.kind])

    def _frame(self, part: list[Item], *, more: bool) -> bytes:
        return encode_frame(
            Update(
                position=self.position,
                full=self.full,
                more=more,
                upserts=tuple(item for item in part if isinstance(item, Upsert)),
                endpoints=tuple(item for item in part if isinstance(item, EndpointsDelta)),
                removals=tuple(item for item in part if isinstance(item, Removal)),
                event_ms=self.event_ms,
            )
        )


def _size(item: Item) -> int:
    match item:
        case Upsert():
            return _OVERHEAD + len(item.name) + len(item.body or b"")
        case EndpointsDelta():
            changes = len(item.upserts) * _ENDPOINT_BYTES + sum(len(gone) + 5 for gone in item.removals)
            return _OVERHEAD + len(item.name) + changes
        case Removal():
            return _OVERHEAD + len(item.name)


def key_of(text: str) -> Key | None:
    """The key written as `KIND/NAME`; None for a kind that this controller does not know."""
    kind, _, name = text.partition("/")
    try:
        return Key(Kind(kind), name)
    except ValueError:
        return None
