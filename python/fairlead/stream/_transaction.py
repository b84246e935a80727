"""One update as frames.

Laws:
1. Parts of a transaction share its position; all but the last carry `more`.
2. A frame holds at most 1 MiB of resources, unless a single one is bigger.
3. Resources come in the order of `Kind`, removals after them in reverse.
"""

from collections.abc import Iterator

from fairlead.snapshot import EndpointsDelta, Key, Kind, Removal, Update, Upsert, encode_frame

FRAME_BYTES = 1 << 20
"""What a frame may hold; small enough that the proxy reads it in one turn of its control thread."""

_OVERHEAD = 96
_ENDPOINT_BYTES = 256

Item = Upsert | EndpointsDelta | Removal


def frames(update: Update) -> Iterator[bytes]:
    """The whole transaction in parts, each encoded when it is asked for; bodies are shared until then."""
    part: list[Item] = []
    size = 0
    for item in _items(update):
        weight = _size(item)
        if part and size + weight > FRAME_BYTES:
            yield _frame(update, part, more=True)
            part, size = [], 0
        part.append(item)
        size += weight
    yield _frame(update, part, more=False)


def _items(update: Update) -> Iterator[Item]:
    for kind in Kind:
        yield from (item for item in update.upserts if item.kind is kind)
    yield from update.endpoints
    for kind in reversed(Kind):
        yield from (item for item in update.removals if item.kind is kind)


def _frame(update: Update, part: list[Item], *, more: bool) -> bytes:
    return encode_frame(
        Update(
            position=update.position,
            full=update.full,
            more=more,
            upserts=tuple(item for item in part if isinstance(item, Upsert)),
            endpoints=tuple(item for item in part if isinstance(item, EndpointsDelta)),
            removals=tuple(item for item in part if isinstance(item, Removal)),
            event_ms=update.event_ms,
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
