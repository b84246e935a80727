"""The Translator: object changes in; resources, statuses and findings out."""

from collections.abc import Callable, Mapping, Sequence

from fairlead import snapshot
from fairlead.sources import Change, Finding
from fairlead.translate._addresses import AddressBook
from fairlead.translate._model import Delta, Encoded, Origin, TranslateSettings
from fairlead.translate._statuses import ObjectStatus

Validate = Callable[[snapshot.Key, bytes], str | None]
"""Checks an encoded resource as the proxy will; gives the reason of a refusal, or None."""


class Translator:
    """Translates incrementally. Pure: no clock, no input or output; not thread-safe."""

    def __init__(
        self, settings: TranslateSettings, addresses: AddressBook, validate: Validate | None = None
    ) -> None:
        raise NotImplementedError

    @property
    def ready(self) -> bool:
        """Whether every required kind was listed once. Before, both lanes give nothing."""
        raise NotImplementedError

    @property
    def idle(self) -> bool:
        """Whether no work waits in either lane."""
        raise NotImplementedError

    def apply(self, changes: Sequence[Change]) -> None:
        """Takes changes and marks what depends on them. O(changes)."""
        raise NotImplementedError

    def endpoints_lane(self) -> Delta | None:
        """All endpoint changes of Backends that proxies know of, at once."""
        raise NotImplementedError

    def configuration_lane(self, within: Callable[[], bool]) -> Delta | None:
        """Works while `within()` is true; gives what is consistent by itself, or None."""
        raise NotImplementedError

    def reassign_addresses(self, *, assigning: bool) -> None:
        """Says whether this instance may assign addresses; Gateways without one are tried again."""
        raise NotImplementedError

    def origin_of(self, key: snapshot.Key) -> Origin | None:
        """The object that a resource comes from; None where it is not known."""
        raise NotImplementedError

    def full(self) -> "Full":
        """All resources, statuses and findings, computed from nothing: what all Deltas must add up to."""
        raise NotImplementedError


class Full:
    resources: Mapping[snapshot.Key, Encoded]
    statuses: Sequence[ObjectStatus]
    findings: Sequence[Finding]
