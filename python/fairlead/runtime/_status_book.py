"""What the runtime asks of the status layer."""

from collections.abc import Sequence
from typing import Protocol

from fairlead import api
from fairlead.resources import Kind, Ref
from fairlead.snapshot import BindFact, Position, Rejection
from fairlead.translate import ObjectStatus

CONTROLLER = ""
"""The proxy name under which the controller's own refusals are told."""


class StatusBook(Protocol):
    """Knows the status of every object of ours: what translation says, made true by what proxies tell.

    Called on the event loop; every method returns at once. A proxy is named as in stream's events
    (`INSTANCE#CONNECTION`), unique among connections.
    """

    def update(self, statuses: Sequence[ObjectStatus], position: Position) -> None:
        """Translation's view, complete per object; true of a proxy once it has acked `position` or later."""
        ...

    def acked(self, proxy: str, position: Position) -> None:
        """All workers of the proxy serve `position`."""
        ...

    def rejected(self, proxy: str, rejections: Sequence[Rejection]) -> None:
        """All that the proxy refuses at present; `CONTROLLER` stands for the controller's own validation."""
        ...

    def facts(self, proxy: str, binds: Sequence[BindFact]) -> None:
        """The state of all binds of the proxy."""
        ...

    def gone(self, proxy: str) -> None:
        """The proxy is no longer connected; what it served last, it may still serve."""
        ...

    def status_of(self, kind: Kind, ref: Ref) -> api.ObjectStatus | None:
        """The object's status as Kubernetes shapes it; None for an object that is not ours."""
        ...
