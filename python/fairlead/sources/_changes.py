"""The changes that sources tell."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from fairlead.resources import Kind, Object


class Upserted(msgspec.Struct, frozen=True):
    """An object is new or has changed."""

    kind: Kind
    object: Object
    at: float
    """When the source learnt of it, by the monotonic clock, in seconds."""


class Removed(msgspec.Struct, frozen=True):
    """An object is gone; `object` is its last known state."""

    kind: Kind
    object: Object
    at: float


class Synced(msgspec.Struct, frozen=True):
    """The kind has been listed whole, or can be read again after it was unavailable."""

    kind: Kind


class Unavailable(msgspec.Struct, frozen=True):
    """The kind cannot be listed: refused, failing or absent. What is known of it stays in force."""

    kind: Kind
    code: str
    """`Forbidden`, `Unreachable`, `ServerError`, ...; `NotFound` for 404, `NotInstalled` once that has lasted."""
    message: str


class Finding(msgspec.Struct, frozen=True):
    """Something a user should mend: a broken document, a duplicate, an object that cannot be decoded."""

    code: str
    message: str
    where: str
    """`FILE:LINE`, or `KIND NAMESPACE/NAME`."""
    resolved: bool = False
    """True takes back the finding of the same code and place."""


Change = Upserted | Removed | Synced | Unavailable | Finding


class Sink(Protocol):
    """Takes changes; called on the event loop, returns at once."""

    def __call__(self, changes: Sequence[Change], /) -> None: ...


class Source(Protocol):
    """A stream of changes."""

    async def run(self, sink: Sink) -> None:
        """Tells changes to `sink` until cancelled. Returns only by cancellation."""
        ...
