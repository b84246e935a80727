"""What goes into the reflector's machine and what comes out of it.

In: events, each handed over with the monotonic time. Out: changes of the local copy, and the one operation that
the shell does next.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

from fairlead.kube._decode import Broken
from fairlead.kube._errors import KubeError
from fairlead.kube._store import HasMetadata
from fairlead.resources import Ref

T = TypeVar("T", bound=HasMetadata)


# Events


class Listed(msgspec.Struct, frozen=True):
    """A list, or one page of it, has been answered; its items follow unless the machine wants something else."""

    version: str
    continue_token: str = ""


class Items(msgspec.Struct, Generic[T], frozen=True):
    """Some items of the page."""

    items: Sequence[T | Broken]


class PageEnd(msgspec.Struct, frozen=True):
    """All items of the page have been handed over."""


class Opened(msgspec.Struct, frozen=True):
    """The server has accepted the watch."""


class Observed(msgspec.Struct, Generic[T], frozen=True):
    """An ADDED, MODIFIED or DELETED event."""

    type: str
    item: T | Broken


class Bookmark(msgspec.Struct, frozen=True):
    """A BOOKMARK event: the stream has got as far as `version`."""

    version: str


class StreamError(msgspec.Struct, frozen=True):
    """An ERROR event, or a line that cannot be read: the stream is over."""

    error: KubeError


class Ended(msgspec.Struct, frozen=True):
    """The server has ended the watch in good order, or its longest time is over."""


class Stalled(msgspec.Struct, frozen=True):
    """Nothing whole has come for the watch's inactivity time."""


class Failed(msgspec.Struct, frozen=True):
    """The list or watch could not be made, or its connection broke."""

    error: KubeError


class Late(msgspec.Struct, frozen=True):
    """The list under way has not been answered for `ReflectorSettings.late_after`."""


class Woke(msgspec.Struct, frozen=True):
    """The sleep is over, or the server can be reached again."""

    recovered: bool = False
    """The shared probe has just reached the server after an outage."""


Event = (
    Listed
    | Items[T]
    | PageEnd
    | Opened
    | Observed[T]
    | Bookmark
    | StreamError
    | Ended
    | Stalled
    | Failed
    | Late
    | Woke
)


# Operations


class List(msgspec.Struct, frozen=True):
    """List the collection."""

    version: str
    """Empty: the newest by quorum; `0`: anything from the watch cache; else at least as new as that."""
    limit: int = 0
    """Items per page; 0: all at once."""
    continue_token: str = ""


class Watch(msgspec.Struct, frozen=True):
    """Watch the collection from a version on, with bookmarks."""

    version: str
    timeout: int
    """Seconds, for the server."""
    inactivity: float
    """Seconds without a whole line after which the watch is given up (`Stalled`)."""
    longest: float
    """Seconds after which the watch is `Ended` whatever comes: the server should have done so."""


class Sleep(msgspec.Struct, frozen=True):
    """Do nothing for a while, then `Woke`."""

    seconds: float
    until_recovery: bool = False
    """Wake early when an outage ends: the wait is for a connection that broke."""


class AwaitServer(msgspec.Struct, frozen=True):
    """Wait until the shared probe has reached the server, then `Woke`."""


Operation = List | Watch | Sleep | AwaitServer


# Changes


class Put(msgspec.Struct, Generic[T], frozen=True):
    """The object is new or has changed."""

    object: T


class Deleted(msgspec.Struct, Generic[T], frozen=True):
    """The object is gone; `object` is its last known form."""

    object: T


class Readable(msgspec.Struct, frozen=True):
    """The local copy is whole and followed (again)."""


class Unreadable(msgspec.Struct, frozen=True):
    """The collection cannot be listed or watched now; the copy stays as it is."""

    code: str
    message: str


class Undecodable(msgspec.Struct, frozen=True):
    """An object could not be decoded; its last good form, if there was one, stays."""

    ref: Ref | None
    message: str


class Mended(msgspec.Struct, frozen=True):
    """An `Undecodable` object can be decoded again or is gone."""

    ref: Ref | None


StoreChange = Put[T] | Deleted[T] | Readable | Unreadable | Undecodable | Mended


class Step(msgspec.Struct, Generic[T]):
    """The machine's answer to an event."""

    changes: Sequence[StoreChange[T]] = ()
    then: Operation | None = None
    """What to do now, dropping what is under way; None: go on with it."""
