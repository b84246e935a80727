"""What the sources can read.

Laws:
1. Nothing is given before every required kind was listed once.
2. An optional kind that is not installed counts as empty. One that cannot be read for another reason is
   unknown: what depends on it is tentative. So is one that has been absent for a moment only (`NotFound`): the source
   says `NotInstalled` once that has lasted.
3. After a kind was listed once, its being unavailable changes nothing: its objects stay. A required kind that is not
   installed does not count as empty either: nothing is given before it was listed.
"""

from fairlead.resources import Kind
from fairlead.sources import Synced, Unavailable

REQUIRED = frozenset(
    (
        Kind.GATEWAY_CLASS,
        Kind.GATEWAY,
        Kind.HTTP_ROUTE,
        Kind.NAMESPACE,
        Kind.SERVICE,
        Kind.ENDPOINT_SLICE,
    )
)
OPTIONAL = frozenset(Kind) - REQUIRED

NOT_INSTALLED = "NotInstalled"


class KindStates:
    """Which kinds were listed, and which count as empty."""

    def __init__(self) -> None:
        self._synced: set[Kind] = set()
        self._absent: set[Kind] = set()

    def note(self, change: Synced | Unavailable) -> bool:
        """Takes what a source says; gives whether an optional kind became known by it."""
        known = self.known(change.kind)
        if isinstance(change, Synced):
            self._synced.add(change.kind)
        elif change.kind in OPTIONAL and change.kind not in self._synced:
            if change.code == NOT_INSTALLED:
                self._absent.add(change.kind)
            else:
                self._absent.discard(change.kind)
        return change.kind in OPTIONAL and self.known(change.kind) != known

    @property
    def ready(self) -> bool:
        return self._synced >= REQUIRED

    def known(self, kind: Kind) -> bool:
        """Whether what is stored of the kind can be relied on."""
        return kind in self._synced or kind in self._absent

    def copy(self) -> "KindStates":
        other = KindStates()
        other._synced = set(self._synced)
        other._absent = set(self._absent)
        return other
