"""JSON of lists and watch streams to typed objects, one object at a time.

Laws:
1. An object that does not decode is a `Broken` with as much of its identity as can be read: it harms itself
   only. Only an envelope that cannot be read is an error.
2. A list is first split into undecoded items, one C call of milliseconds for tens of megabytes; the items are
   decoded in between other work of the event loop.
"""

from typing import Generic, TypeVar

import msgspec

from fairlead.base import UNDECODABLE
from fairlead.kube._errors import ProtocolError
from fairlead.kube._store import HasMetadata
from fairlead.resources import Ref

T = TypeVar("T", bound=HasMetadata)


class Broken(msgspec.Struct, frozen=True):
    """An object that does not decode."""

    ref: Ref | None
    """None where not even its name can be read."""
    uid: str
    version: str
    """Its resource version; empty where it cannot be read."""
    error: str


class ListPart(msgspec.Struct, frozen=True):
    """The answer to a list, split and not decoded."""

    version: str
    """The collection's resource version."""
    continue_token: str
    items: list[msgspec.Raw]


class WatchLine(msgspec.Struct, frozen=True):
    """One line of a watch stream."""

    type: str
    """ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""
    object: msgspec.Raw


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str | None = msgspec.field(default=None, name="continue")


class _ListEnvelope(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _Identity(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""


class _Identified(msgspec.Struct):
    metadata: _Identity


_list_decoder = msgspec.json.Decoder(_ListEnvelope)
_line_decoder = msgspec.json.Decoder(WatchLine)
_identity_decoder = msgspec.json.Decoder(_Identified)


def split_list(body: bytes) -> ListPart:
    """Splits the answer to a list.

    Raises:
        ProtocolError: it is not a list; an answer that cannot be read is never an empty one.
    """
    try:
        envelope = _list_decoder.decode(body)
    except UNDECODABLE as error:
        raise ProtocolError(f"the answer to a list cannot be read: {error}", code="ListUnreadable") from error
    return ListPart(
        envelope.metadata.resource_version, envelope.metadata.continue_ or "", envelope.items or []
    )


def split_line(line: bytes) -> WatchLine:
    """Splits a line of a watch stream.

    Raises:
        ProtocolError: it is not a watch event: truncated, or no JSON.
    """
    try:
        return _line_decoder.decode(line)
    except UNDECODABLE as error:
        raise ProtocolError(
            f"a line of the watch stream cannot be read: {error}", code="LineUnreadable"
        ) from error


def version_of(raw: msgspec.Raw) -> str:
    """The resource version inside an object (of a bookmark, say); empty where it cannot be read."""
    try:
        return _identity_decoder.decode(raw).metadata.resource_version
    except UNDECODABLE:
        return ""


class ItemDecoder(Generic[T]):
    """Decodes single objects of one type."""

    def __init__(self, type_: type[T]) -> None:
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(type_)

    def decode(self, raw: msgspec.Raw) -> T | Broken:
        """The object, or what is wrong with it."""
        try:
            obj = self._decoder.decode(raw)
        except UNDECODABLE as error:
            return _broken(raw, str(error))
        if not obj.metadata.name:
            return _broken(raw, "metadata.name is missing")
        return obj


def _broken(raw: msgspec.Raw, error: str) -> Broken:
    try:
        meta = _identity_decoder.decode(raw).metadata
    except UNDECODABLE:
        return Broken(None, "", "", error)
    ref = Ref(meta.namespace, meta.name) if meta.name else None
    return Broken(ref, meta.uid, meta.resource_version, error)
