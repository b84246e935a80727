"""The endpoints of one Backend: whole now, and the way from recent versions to now.

Laws:
1. Endpoints go to a proxy whole once, then as single upserts and removals; a proxy at a version that is
   not in the journal gets them whole.
2. The journal is bounded by changes, not by versions: past the bound the oldest way is forgotten.
"""

from collections import deque

from fairlead.base import FairleadError
from fairlead.snapshot import Endpoint, Endpoints, EndpointsDelta, Kind, decode_resource, encode_resource

_JOURNAL_CHANGES = 4096
"""Single upserts and removals that are remembered; a proxy further behind is cheaper served whole."""


class BaseUnknownError(FairleadError):
    """A delta starts from a version that is not the current one: whoever made it has lost count."""

    code = "EndpointsBaseUnknown"


class EndpointSet:
    """All endpoints of a Backend, with the recent changes that led here."""

    __slots__ = ("_body", "_by_id", "_journal", "_journal_changes", "hash")

    def __init__(self, version: str, body: bytes) -> None:
        self.hash = version
        self._body: bytes | None = body
        self._by_id: dict[str, Endpoint] | None = None
        """Decoded at the first change: most Backends of a big installation are at rest."""
        self._journal: deque[EndpointsDelta] | None = None
        """None before the first change, for the same reason: an empty deque takes 600 bytes."""
        self._journal_changes = 0

    @property
    def body(self) -> bytes:
        """The canonical bytes; encoded when first asked for after a change."""
        if self._body is None:
            by_id = self._decoded()
            ordered = tuple(by_id[key] for key in sorted(by_id))
            self._body = encode_resource(Endpoints(endpoints=ordered))
        return self._body

    def apply(self, delta: EndpointsDelta) -> None:
        """Moves from `delta.base` to `delta.hash`. Raises BaseUnknownError when this is not `delta.base`."""
        if delta.base != self.hash:
            raise BaseUnknownError(f"endpoints of {delta.name}: at {self.hash}, change from {delta.base}")
        by_id = self._decoded()
        for endpoint in delta.upserts:
            by_id[endpoint.id] = endpoint
        for gone in delta.removals:
            by_id.pop(gone, None)
        self.hash = delta.hash
        self._body = None
        if self._journal is None:
            self._journal = deque()
        self._journal.append(delta)
        self._journal_changes += _changes(delta)
        while self._journal_changes > _JOURNAL_CHANGES and self._journal:
            self._journal_changes -= _changes(self._journal.popleft())

    def _decoded(self) -> dict[str, Endpoint]:
        if self._by_id is None:
            resource = decode_resource(Kind.ENDPOINTS, self._body or b"")
            if not isinstance(resource, Endpoints):
                raise TypeError("not endpoints")
            self._by_id = {endpoint.id: endpoint for endpoint in resource.endpoints}
        return self._by_id

    def since(self, base: str) -> EndpointsDelta | None:
        """One delta from version `base` to now; None when the way is not known."""
        steps: list[EndpointsDelta] = []
        for delta in reversed(self._journal or ()):
            steps.append(delta)
            if delta.base == base:
                return _merged(steps[::-1])
        return None


def _changes(delta: EndpointsDelta) -> int:
    return len(delta.upserts) + len(delta.removals)


def _merged(steps: list[EndpointsDelta]) -> EndpointsDelta:
    if len(steps) == 1:
        return steps[0]
    upserts: dict[str, Endpoint] = {}
    removals: dict[str, None] = {}
    for step in steps:
        for endpoint in step.upserts:
            removals.pop(endpoint.id, None)
            upserts[endpoint.id] = endpoint
        for gone in step.removals:
            upserts.pop(gone, None)
            removals[gone] = None
    return EndpointsDelta(
        name=steps[0].name,
        base=steps[0].base,
        hash=steps[-1].hash,
        upserts=tuple(upserts.values()),
        removals=tuple(removals),
    )
