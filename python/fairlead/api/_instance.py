"""What an instance tells of itself."""

import msgspec


class _View(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of an answer."""


class KindState(_View, frozen=True, kw_only=True):
    """Whether a kind can be read."""

    kind: str
    synced: bool
    """It has been listed whole at least once."""
    problem: str = ""
    """Why it cannot be read now, as `CODE: message`."""


class Rejected(_View, frozen=True, kw_only=True):
    """A resource that is not in force as written; its last good version, if any, serves."""

    resource: str
    """`KIND/NAME`."""
    code: str
    message: str


class BindState(_View, frozen=True, kw_only=True):
    """A socket of a proxy."""

    name: str
    listening: bool
    message: str = ""


class ProxyState(_View, frozen=True, kw_only=True):
    """A connected proxy."""

    name: str
    scope: str = ""
    generation: int | None = None
    """Of what all its workers have adopted; absent before the first time."""
    rejected: tuple[Rejected, ...] = ()
    binds: tuple[BindState, ...] = ()


class Version(_View, frozen=True, kw_only=True):
    """The running program."""

    version: str
    python: str
    contract: int
    """The number of the contract between controller and proxy."""


class Instance(_View, frozen=True, kw_only=True):
    """A running instance."""

    name: str
    version: str
    pid: int
    source: str
    """The directory, or `cluster`."""
    ready: bool
    """Every required kind has been read and translated once."""
    epoch: int
    generation: int
    status_writer: str = ""
    """Who writes status into the cluster: the holder of the Lease, or why there is none; empty without a cluster."""
    kinds: tuple[KindState, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    """What the controller itself found invalid and did not send."""
    proxies: tuple[ProxyState, ...] = ()


class Problem(_View, frozen=True, kw_only=True):
    """The body of every error answer."""

    code: str
    message: str
    hint: str | None = None
