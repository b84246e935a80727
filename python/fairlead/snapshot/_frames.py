"""Frames: what travels between controller and proxy.

A frame on the wire is a 4-byte big-endian length (at most 64 MiB) and a msgpack map whose `type` names it.
"""

import struct

import msgspec

from fairlead.snapshot._resources import Endpoint, Kind

SCHEMA = 1
"""The number of the contract; a proxy refuses another one."""

MAX_FRAME_BYTES = 64 << 20


class _Frame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A map with string keys; fields that hold their default are left out."""


class Position(_Frame, frozen=True, kw_only=True, order=True):
    """What a proxy has adopted: a controller's run, and a count of its updates."""

    epoch: int
    """Milliseconds since the Unix epoch at the controller's start."""
    generation: int


class Upsert(_Frame, frozen=True, kw_only=True):
    """One resource. Without `body` (only in a full update) the proxy keeps the version that it has."""

    kind: Kind
    name: str
    hash: str
    body: bytes | None = None


class Removal(_Frame, frozen=True, kw_only=True):
    kind: Kind
    name: str


class EndpointsDelta(_Frame, frozen=True, kw_only=True):
    """Single endpoints of one Backend: from version `base` to version `hash`."""

    name: str
    base: str
    hash: str
    upserts: tuple[Endpoint, ...] = ()
    removals: tuple[str, ...] = ()
    """Endpoint ids."""


class Update(_Frame, frozen=True, kw_only=True, tag="update", tag_field="type"):
    """A transaction, or a part of one.

    Parts of one transaction share the position; all but the last have `more`. Upserts are applied before
    removals. A `full` transaction deletes every resource that it does not name.
    """

    position: Position
    full: bool = False
    more: bool = False
    upserts: tuple[Upsert, ...] = ()
    endpoints: tuple[EndpointsDelta, ...] = ()
    removals: tuple[Removal, ...] = ()
    event_ms: int | None = None
    """Unix time in milliseconds of the oldest endpoint event in this update, for the propagation histogram."""


class Subscribe(_Frame, frozen=True, kw_only=True, tag="subscribe", tag_field="type"):
    """Asks for Telemetry every `period_ms` (0 ends it) for the Backends named, or all."""

    period_ms: int
    backends: tuple[str, ...] | None = None


class ReflectorStats(_Frame, frozen=True, kw_only=True):
    """What the controller counts of one collection that it follows, since its start."""

    kind: str
    """The Kubernetes kind."""
    relists: int
    """Lists begun, the first one included."""
    watch_events: int
    """Without bookmarks."""
    last_sync_age_ms: int | None = None
    """Milliseconds since the local copy was last known to be current; None: it never was."""
    errors: dict[str, int] = {}
    """Failed lists and watches, by the error's code."""


class Stats(_Frame, frozen=True, kw_only=True, tag="stats", tag_field="type"):
    """The controller's own counters, for the proxy's metrics page.

    It is no part of any transaction, and no ack answers it: the last one counts.
    """

    reflectors: tuple[ReflectorStats, ...] = ()


class Hello(_Frame, frozen=True, kw_only=True, tag="hello", tag_field="type"):
    """A proxy's first frame."""

    schema: int
    instance: str
    scope: str = ""
    """Empty for the whole installation, else `NAMESPACE/GATEWAY`."""
    position: Position | None = None
    have: dict[str, str] = {}
    """`KIND/NAME` to hash."""


class Rejection(_Frame, frozen=True, kw_only=True):
    """One resource that the proxy refused; its last good version, if any, still serves."""

    kind: Kind
    name: str
    reason: str
    """A stable code."""
    message: str


class Ack(_Frame, frozen=True, kw_only=True, tag="ack", tag_field="type"):
    """All workers have adopted `position`."""

    position: Position
    rejected: tuple[Rejection, ...] = ()
    """All that the proxy refuses at `position`, whichever update brought it: it replaces what an earlier ack
    said. A rejection ends without another version where what the resource lacked has come."""


class BindFact(_Frame, frozen=True, kw_only=True):
    """Whether a bind's socket is listening, and if not the system's reason."""

    name: str
    listening: bool
    message: str = ""


class Facts(_Frame, frozen=True, kw_only=True, tag="facts", tag_field="type"):
    """What only the proxy knows: the state of every bind. Sent before the Ack that it belongs to, and on change."""

    binds: tuple[BindFact, ...] = ()


class EndpointStats(_Frame, frozen=True, kw_only=True):
    """Counters of one Endpoint since its start, summed over all workers."""

    id: str
    backend: str
    state: str
    """`ready`, `fallback` (serving and terminating), `draining`, `not-ready` or `suspect`."""
    in_flight: int
    connections: int
    requests: int
    success: int
    """Answers below 500."""
    failures: int
    """Answers of 500 and above, failed dials, resets and timeouts."""
    latency_ewma_us: int
    latency_p50_us: int = 0
    latency_p99_us: int = 0
    last_failure: str = ""
    """Response flag and age of the last failure, for people."""


class Telemetry(_Frame, frozen=True, kw_only=True, tag="telemetry", tag_field="type"):
    """The counters of the subscribed Backends' Endpoints."""

    at_ms: int
    endpoints: tuple[EndpointStats, ...] = ()


ToProxy = Update | Subscribe | Stats
FromProxy = Hello | Ack | Facts | Telemetry

_encoder = msgspec.msgpack.Encoder(order="sorted")
_from_proxy: msgspec.msgpack.Decoder[FromProxy] = msgspec.msgpack.Decoder(FromProxy)
_LENGTH = struct.Struct(">I")


def encode_frame(frame: ToProxy | FromProxy) -> bytes:
    """The frame with its length in front."""
    payload = _encoder.encode(frame)
    return _LENGTH.pack(len(payload)) + payload


def decode_from_proxy(payload: bytes) -> FromProxy:
    """The frame in `payload` (without the length). Raises msgspec.ValidationError or DecodeError."""
    return _from_proxy.decode(payload)
