"""One update as frames.

Laws:
1. Parts of a transaction share its position; all but the last carry `more`.
2. A frame holds at most 64 KiB of resources, unless a single one is bigger. Items are asked for as they are needed:
   making one frame is all that anybody has to do at a time, about a millisecond. Where many keys come to nothing,
   empty frames, which are not sent, let others go on.
3. Resources keep the order of the items.
"""

from collections.abc import Iterable, Iterator

from fairlead.snapshot import EndpointsDelta, Key, Kind, Position, Removal, Update, Upsert, encode_frame

FRAME_BYTES = 1 << 16
"""What a frame may hold."""

LOOKS = 1024
"""After so many keys that came to nothing others may go on: half a millisecond."""

_OVERHEAD = 96
_ENDPOINT_BYTES = 256

Item = Upsert | EndpointsDelta | Removal
"""What an update is made of."""


def frames(
    items: Iterable[Item | None], *, position: Position, full: bool = False, event_ms: int | None = None
) -> Iterator[bytes]:
    """The whole transaction in parts, each made when it is asked for; no frame where nothing is to be said.

    An item may be None: something was looked at and came to nothing.
    """
    part: list[Item] = []
    size = looked = 0

    def frame(*, more: bool) -> bytes:
        return encode_frame(
            Update(
                position=position,
                full=full,
                more=more,
                upserts=tuple(item for item in part if isinstance(item, Upsert)),
                endpoints=tuple(item for item in part if isinstance(item, EndpointsDelta)),
                removals=tuple(item for item in part if isinstance(item, Removal)),
                event_ms=event_ms,
            )
        )

    for item in items:
        if item is None:
            looked += 1
            if looked % LOOKS == 0:
                yield b""
            continue
        weight = _size(item)
        if part and size + weight > FRAME_BYTES:
            yield frame(more=True)
            part.clear()
            size = 0
        part.append(item)
        size += weight
    if part or full:
        yield frame(more=False)


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
