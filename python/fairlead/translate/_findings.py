"""What translation found wrong and no status has a place for.

Laws: a finding is told once when it appears or its message changes, and taken back once when the last unit
that found it no longer does.
"""

from collections.abc import Hashable, Iterable

import msgspec

from fairlead.sources import Finding

_Place = tuple[str, str]


class Findings:
    """All findings in force, by the unit that found them."""

    def __init__(self) -> None:
        self._by_owner: dict[Hashable, dict[_Place, Finding]] = {}
        self._owners: dict[_Place, dict[Hashable, None]] = {}
        self._changed: dict[_Place, Finding] = {}

    def set(self, owner: Hashable, findings: Iterable[Finding]) -> None:
        """Replaces what the owner found."""
        after = {(finding.code, finding.where): finding for finding in findings}
        before = self._by_owner.get(owner, {})
        if after == before:
            return
        if after:
            self._by_owner[owner] = after
        else:
            self._by_owner.pop(owner, None)
        for place, finding in after.items():
            self._owners.setdefault(place, {})[owner] = None
            if before.get(place) != finding:
                self._changed[place] = finding
        for place, finding in before.items():
            if place in after:
                continue
            owners = self._owners[place]
            del owners[owner]
            if not owners:
                del self._owners[place]
                self._changed[place] = msgspec.structs.replace(finding, resolved=True)

    def take(self) -> tuple[Finding, ...]:
        """What has changed since it was last asked."""
        changed = tuple(self._changed.values())
        self._changed.clear()
        return changed

    def __bool__(self) -> bool:
        return bool(self._changed)
