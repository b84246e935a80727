"""Sets of keys, kept by kind, because updates go out kind by kind.

Law: adding a big set to a small one costs about a copy, which is fast: what is bigger is copied, what is smaller is
added. (Sets that are copied do not hash again.)
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

from fairlead.snapshot import Key, Kind

_NONE: frozenset[Key] = frozenset()


class Keys:
    """Keys by kind."""

    __slots__ = ("_of",)

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._of: dict[Kind, set[Key]] = {}
        for key in keys:
            self.add(key)

    def add(self, key: Key) -> None:
        """Adds one."""
        kind = self._of.get(key.kind)
        if kind is None:
            self._of[key.kind] = {key}
        else:
            kind.add(key)

    def update(self, other: "Keys") -> None:
        """Adds all of `other`, which stays as it is."""
        for kind, theirs in other._of.items():  # noqa: SLF001 - one of us
            ours = self._of.get(kind)
            if ours is None:
                self._of[kind] = theirs.copy()
            elif len(ours) < len(theirs):
                self._of[kind] = theirs | ours
            else:
                ours |= theirs

    def of(self, kind: Kind) -> AbstractSet[Key]:
        """Those of one kind."""
        return self._of.get(kind, _NONE)

    def __iter__(self) -> Iterator[Key]:
        for keys in self._of.values():
            yield from keys

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def __contains__(self, key: Key) -> bool:
        return key in self._of.get(key.kind, _NONE)
