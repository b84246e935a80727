"""What is wrong, in the log: said when it begins and when it ends, and not in between.

Law: of what comes at once at most `MOST` are said one by one, then how many more there are. `fairlead get findings`
shows all.
"""

from collections.abc import Sequence

from fairlead.base import get_logger
from fairlead.resources import Kind
from fairlead.snapshot import Rejection
from fairlead.sources import Finding, Synced, Unavailable

MOST = 20


class Complaints:
    """Remembers what was said."""

    def __init__(self) -> None:
        self._log = get_logger("controller")
        self._kinds: dict[Kind, str] = {}
        self._refused: dict[str, frozenset[Rejection]] = {}

    def kind(self, state: Synced | Unavailable) -> None:
        """Whether a kind can be read."""
        before = self._kinds.pop(state.kind, None)
        match state:
            case Unavailable():
                problem = self._kinds[state.kind] = f"{state.code}: {state.message}"
                if problem != before:
                    self._log.warning("kind cannot be read", kind=state.kind, problem=problem)
            case Synced() if before is not None:
                self._log.info("kind can be read", kind=state.kind)

    def finding(self, finding: Finding) -> None:
        """Something that users should mend; sources and translation tell each once."""
        if finding.resolved:
            self._log.info("finding resolved", code=finding.code, where=finding.where)
        else:
            self._log.warning("finding", code=finding.code, where=finding.where, message=finding.message)

    def refused(self, proxy: str, rejections: Sequence[Rejection]) -> None:
        """All that a proxy refuses now."""
        before, now = self._refused.get(proxy, frozenset()), frozenset(rejections)
        self._refused[proxy] = now
        new = [one for one in rejections if one not in before]
        names = {(one.kind, one.name) for one in now}
        for one in new[:MOST]:
            self._log.warning(
                "proxy refuses",
                proxy=proxy,
                kind=one.kind,
                name=one.name,
                reason=one.reason,
                message=one.message,
            )
        if len(new) > MOST:
            self._log.warning("proxy refuses more", proxy=proxy, resources=len(new) - MOST)
        healed = sorted((one.kind, one.name) for one in before if (one.kind, one.name) not in names)
        for kind, name in healed[:MOST]:
            self._log.info("proxy refuses no longer", proxy=proxy, kind=kind, name=name)
        if len(healed) > MOST:
            self._log.info("proxy refuses no longer more", proxy=proxy, resources=len(healed) - MOST)

    def gone(self, proxy: str) -> None:
        """The proxy is no longer connected."""
        self._refused.pop(proxy, None)
