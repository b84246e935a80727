"""What is true of each object: translation's word, corrected by what the proxy says. No I/O, no clock.

Laws:
1. A statement is settled once the proxy has acknowledged a generation that contains what it speaks of. Until
   then the last settled one stands; after `PENDING_AFTER_S` without an acknowledgement it says Pending.
2. A bind that is not listening makes its Listeners PortUnavailable with the system's reason; a refused
   resource makes its Route or Listener invalid with the proxy's.
3. A tentative statement (made without a kind that could not be read yet) is held for `TENTATIVE_S`: what was
   said before may well be right. Then it is made, because the kind may stay refused for ever.
"""

from collections.abc import Iterable, Mapping

import msgspec

from fairlead.resources import Kind, Ref
from fairlead.snapshot import BindFact, Key, Rejection
from fairlead.snapshot import Kind as ResourceKind
from fairlead.translate import (
    ConditionStatus,
    ConditionType,
    Forgotten,
    GatewayStatus,
    ListenerStatus,
    ObjectStatus,
    Reason,
    RouteStatus,
    StatusCondition,
)

PENDING_AFTER_S = 2.0
TENTATIVE_S = 30.0

_GLANCES = 16
"""How much cheaper it is to see that a statement must wait than to make it."""

Name = tuple[Kind, Ref]


class Statement(msgspec.Struct, frozen=True):
    """What is to be said of an object now."""

    status: ObjectStatus
    settled: bool
    """False: the proxy has not acknowledged it yet, and the time to wait for that is over."""


class _Entry(msgspec.Struct):
    intent: ObjectStatus
    generation: int
    since: float
    said: Statement | None = None


class StatusBook:
    """The statements on all objects that are ours."""

    def __init__(self) -> None:
        self._entries: dict[Name, _Entry] = {}
        self._waiting: set[Name] = set()
        self._dirty: dict[Name, None] = {}
        self._acked = 0
        self._unbound: dict[str, str] = {}
        self._rejected: dict[Key, Rejection] = {}
        self._round: list[Name] = []
        """Those of the waiting that are still to be looked at, from the last."""
        self.behind = False

    def update(self, statuses: Iterable[ObjectStatus], *, generation: int, now: float) -> None:
        """Takes statuses whose resources are in the Snapshot from `generation` on; `now` in monotonic seconds."""
        for status in statuses:
            name = (status.kind, status.ref)
            entry = self._entries.get(name)
            if entry is None:
                if isinstance(status, Forgotten):
                    continue
                self._entries[name] = _Entry(status, generation, now)
            elif entry.intent == status:
                continue
            else:
                entry.intent, entry.generation, entry.since = status, generation, now
            self._waiting.add(name)

    def acknowledged(self, generation: int) -> None:
        """The proxy has adopted `generation`. A lower one than before is a proxy that started anew."""
        self._acked = generation

    def bound(self, facts: Iterable[BindFact]) -> None:
        """The state of all binds."""
        unbound = {fact.name: fact.message for fact in facts if not fact.listening}
        if unbound != self._unbound:
            self._unbound = unbound
            self._reconsider(GatewayStatus)

    def refused(self, rejections: Mapping[Key, Rejection]) -> None:
        """All resources that are refused now."""
        if dict(rejections) != self._rejected:
            self._rejected = dict(rejections)
            self._reconsider(GatewayStatus)
            self._reconsider(RouteStatus)

    def settle(self, now: float, *, most: int | None = None) -> list[Name]:
        """Settles what can be settled at `now`; returns the names of objects with something new to say.

        With `most`, at most so many are settled, and `_GLANCES` times as many looked at; `behind` says whether others
        are left for the next call.
        """
        if not self._round:
            self._round = list(self._waiting)
            self._round.reverse()
        done = looked = 0
        while self._round and (most is None or (done < most and looked < most * _GLANCES)):
            looked += 1
            name = self._round.pop()
            entry = self._entries.get(name) if name in self._waiting else None
            if entry is None or (_is_tentative(entry.intent) and now - entry.since < TENTATIVE_S):
                continue
            settled = entry.generation <= self._acked
            if not settled and (
                now - entry.since < PENDING_AFTER_S or not (entry.said is None or entry.said.settled)
            ):
                continue
            self._say(name, entry, settled=settled)
            done += 1
        self.behind = bool(self._round)
        dirty, self._dirty = list(self._dirty), {}
        return dirty

    @property
    def waiting(self) -> bool:
        """Whether a statement waits for an acknowledgement."""
        return bool(self._waiting)

    def statement(self, kind: Kind, ref: Ref) -> Statement | None:
        """What is to be said of an object; None where nothing is, or not yet."""
        entry = self._entries.get((kind, ref))
        return entry.said if entry else None

    def knows(self, kind: Kind, ref: Ref) -> bool:
        """Whether something was ever said, or is about to be said, of an object."""
        return (kind, ref) in self._entries

    def forget(self, kind: Kind, ref: Ref) -> None:
        """Drops an object of which nothing is left to say."""
        entry = self._entries.get((kind, ref))
        if entry is not None and isinstance(entry.intent, Forgotten):
            del self._entries[kind, ref]
            self._waiting.discard((kind, ref))

    def _reconsider(self, kind: type[ObjectStatus]) -> None:
        self._waiting.update(name for name, entry in self._entries.items() if isinstance(entry.intent, kind))

    def _say(self, name: Name, entry: _Entry, *, settled: bool) -> None:
        said = Statement(self._corrected(entry.intent, settled=settled), settled)
        if settled:
            self._waiting.discard(name)
        if said != entry.said:
            entry.said = said
            self._dirty[name] = None

    def _corrected(self, status: ObjectStatus, *, settled: bool) -> ObjectStatus:
        match status:
            case GatewayStatus():
                return self._gateway(status, settled=settled)
            case RouteStatus():
                return self._route(status)
            case _:
                return status

    def _route(self, status: RouteStatus) -> RouteStatus:
        rejection = self._rejected.get(status.key)
        if rejection is None:
            return status
        message = f"the proxy refuses it: {rejection.reason}: {rejection.message}"
        parents = tuple(
            msgspec.structs.replace(
                parent,
                conditions=_turned(
                    parent.conditions,
                    ConditionType.ACCEPTED,
                    ConditionStatus.FALSE,
                    Reason.UNSUPPORTED_VALUE,
                    message,
                ),
            )
            for parent in status.parents
        )
        return msgspec.structs.replace(status, parents=parents)

    def _gateway(self, status: GatewayStatus, *, settled: bool) -> GatewayStatus:
        listeners = tuple(self._listener(listener, settled=settled) for listener in status.listeners)
        conditions = status.conditions
        if listeners != status.listeners and _is_true(conditions, ConditionType.PROGRAMMED):
            programmed = [one for one in listeners if _is_true(one.conditions, ConditionType.PROGRAMMED)]
            accepted = [one for one in listeners if _is_true(one.conditions, ConditionType.ACCEPTED)]
            if not settled:
                conditions = _turned(
                    conditions,
                    ConditionType.PROGRAMMED,
                    ConditionStatus.FALSE,
                    Reason.PENDING,
                    "no proxy has acknowledged the configuration yet",
                )
            elif not programmed:
                message = "no listener could be programmed; see their conditions"
                conditions = _turned(
                    conditions, ConditionType.PROGRAMMED, ConditionStatus.FALSE, Reason.INVALID, message
                )
            if len(accepted) < len(listeners):
                conditions = _turned(
                    conditions,
                    ConditionType.ACCEPTED,
                    ConditionStatus.TRUE if accepted else ConditionStatus.FALSE,
                    Reason.LISTENERS_NOT_VALID,
                    "one or more listeners are not valid; see their conditions",
                )
        return msgspec.structs.replace(status, listeners=listeners, conditions=conditions)

    def _listener(self, listener: ListenerStatus, *, settled: bool) -> ListenerStatus:
        if not _is_true(listener.conditions, ConditionType.PROGRAMMED):
            return listener
        conditions = listener.conditions
        for key in listener.keys:
            rejection = self._rejected.get(key)
            unbound = self._unbound.get(key.name) if key.kind is ResourceKind.BIND else None
            if unbound is not None:
                message = f"{key.name}: {unbound}"
                conditions = _turned(
                    conditions,
                    ConditionType.ACCEPTED,
                    ConditionStatus.FALSE,
                    Reason.PORT_UNAVAILABLE,
                    message,
                )
            elif rejection is not None:
                message = f"the proxy refuses it: {rejection.reason}: {rejection.message}"
            else:
                continue
            conditions = _turned(
                conditions, ConditionType.PROGRAMMED, ConditionStatus.FALSE, Reason.INVALID, message
            )
            break
        else:
            if not settled:
                message = "no proxy has acknowledged the configuration yet"
                conditions = _turned(
                    conditions, ConditionType.PROGRAMMED, ConditionStatus.FALSE, Reason.PENDING, message
                )
        return msgspec.structs.replace(listener, conditions=conditions)


def _is_tentative(status: ObjectStatus) -> bool:
    return isinstance(status, RouteStatus) and status.tentative


def _is_true(conditions: Iterable[StatusCondition], kind: ConditionType) -> bool:
    return any(one.type is kind and one.status is ConditionStatus.TRUE for one in conditions)


def _turned(
    conditions: tuple[StatusCondition, ...],
    kind: ConditionType,
    status: ConditionStatus,
    reason: Reason,
    message: str,
) -> tuple[StatusCondition, ...]:
    return tuple(
        msgspec.structs.replace(one, status=status, reason=reason, message=message)
        if one.type is kind
        else one
        for one in conditions
    )
