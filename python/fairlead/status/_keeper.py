"""The book with a clock, for everyone who asks: the writer, the admin API.

Several proxies may be connected (two while one takes over from the other): a status is settled when all of them
have acknowledged it, and a bind counts as listening when it listens in all. An acknowledgement may settle thousands
of objects at once: that is done in slices, so that whoever drives it (`take_changed`) can let others go between.
"""

from collections.abc import Sequence

from fairlead import api
from fairlead.base import Clock
from fairlead.resources import BackendPolicy, HTTPRoute, Kind, Ref, kind_of
from fairlead.snapshot import BindFact, Key, Position, Rejection
from fairlead.status._book import Name, StatusBook
from fairlead.status._merge import merge_gateway, merge_own_ancestors, merge_own_class, merge_own_parents
from fairlead.status._render import render, timestamp
from fairlead.translate import Forgotten, ObjectStatus, PolicyStatus, RouteStatus

SLICE = 32
"""Statuses settled at a time: one or two milliseconds."""


class StatusKeeper:
    """The status of every object of ours, as Kubernetes shapes it. Every method returns at once."""

    def __init__(self, *, controller_name: str, clock: Clock, epoch: int) -> None:
        """`epoch`: the controller's run, as in its positions; acks of another run are passed over."""
        self.controller_name = controller_name
        self._clock = clock
        self._epoch = epoch
        self._book = StatusBook()
        self._shaped: dict[Name, api.ObjectStatus] = {}
        self._changed: dict[Name, None] = {}
        self._acked: dict[str, int] = {}
        self._rejections: dict[str, dict[Key, Rejection]] = {}
        self._binds: dict[str, Sequence[BindFact]] = {}
        self._with_entries: set[Name] = set()

    def seen(self, item: HTTPRoute | BackendPolicy) -> None:
        """A live object: whether its status has an entry of ours. Told before its status comes by `update`.

        Of the many objects that are none of ours only those with such an entry are looked at.
        """
        name = (kind_of(item), Ref(item.metadata.namespace, item.metadata.name))
        (self._with_entries.add if item.has_entry_of(self.controller_name) else self._with_entries.discard)(
            name
        )

    def update(self, statuses: Sequence[ObjectStatus], position: Position) -> None:
        """Translation's view, complete per object; true of a proxy once it has acked `position` or later."""
        relevant = [one for one in statuses if not self._is_foreign(one)]
        self._book.update(relevant, generation=position.generation, now=self._clock.monotonic())

    def acked(self, proxy: str, position: Position) -> None:
        """All workers of the proxy serve `position`."""
        if position.epoch == self._epoch:
            self._acked[proxy] = position.generation
            self._book.acknowledged(min(self._acked.values()))

    def rejected(self, proxy: str, rejections: Sequence[Rejection]) -> None:
        """All that the proxy refuses at present; the empty name stands for the controller's own validation."""
        self._rejections[proxy] = {Key(one.kind, one.name): one for one in rejections}
        self._tell_rejections()

    def facts(self, proxy: str, binds: Sequence[BindFact]) -> None:
        """The state of all binds of the proxy."""
        self._binds[proxy] = binds
        self._tell_binds()

    def gone(self, proxy: str) -> None:
        """The proxy is no longer connected; what it served last, it may still serve."""
        self._acked.pop(proxy, None)
        if self._rejections.pop(proxy, None):
            self._tell_rejections()
        if self._binds.pop(proxy, None) is not None and self._binds:
            self._tell_binds()
        if self._acked:
            self._book.acknowledged(min(self._acked.values()))

    def status_of(self, kind: Kind, ref: Ref) -> api.ObjectStatus | None:
        """The object's status; None for an object that is not ours, or of which nothing can be said yet."""
        return self._shaped.get((kind, ref))

    def status_to_write(self, kind: Kind, ref: Ref) -> api.ObjectStatus | None:
        """Like `status_of`, but an empty one for an object that our entries must leave."""
        statement = self._book.statement(kind, ref)
        status = self.status_of(kind, ref)
        return _empty(kind) if status is None and statement is not None else status

    def uid_of(self, kind: Kind, ref: Ref) -> str | None:
        """The uid of the object that the status speaks of; None where it speaks of any, because ours is gone."""
        statement = self._book.statement(kind, ref)
        if statement is None or isinstance(statement.status, Forgotten):
            return None
        return statement.status.uid

    def take_changed(self) -> list[Name]:
        """The objects whose status has changed since the last call; call again at once while `behind`."""
        self._settle()
        changed, self._changed = list(self._changed), {}
        return changed

    @property
    def waiting(self) -> bool:
        """Whether some status waits for a proxy."""
        return self._book.waiting

    @property
    def behind(self) -> bool:
        """Whether more could be settled now."""
        return self._book.behind

    def names(self) -> list[Name]:
        """All objects with a status."""
        return list(self._shaped)

    def forget(self, kind: Kind, ref: Ref) -> None:
        """Drops an object of which nothing is left to say."""
        self._book.forget(kind, ref)

    def _is_foreign(self, status: ObjectStatus) -> bool:
        """Whether there is nothing of ours to say, and nothing of ours to take out."""
        match status:
            case RouteStatus(parents=()) | PolicyStatus(ancestors=()):
                name = (status.kind, status.ref)
                return name not in self._with_entries and not self._book.knows(*name)
            case _:
                return False

    def _settle(self) -> None:
        at = timestamp(self._clock.wall())
        for name in self._book.settle(self._clock.monotonic(), most=SLICE):
            statement = self._book.statement(*name)
            shaped = (
                render(statement.status, controller_name=self.controller_name, at=at) if statement else None
            )
            if shaped is None or shaped == _empty(name[0]):
                self._shaped.pop(name, None)
            else:
                self._shaped[name] = _with_times(self._shaped.get(name), shaped)
            self._changed[name] = None

    def _tell_rejections(self) -> None:
        merged: dict[Key, Rejection] = {}
        for rejections in self._rejections.values():
            merged.update(rejections)
        self._book.refused(merged)

    def _tell_binds(self) -> None:
        merged: dict[str, BindFact] = {}
        for binds in self._binds.values():
            for fact in binds:
                if fact.name not in merged or not fact.listening:
                    merged[fact.name] = fact
        self._book.bound(merged.values())


def _empty(kind: Kind) -> api.ObjectStatus | None:
    match kind:
        case Kind.HTTP_ROUTE:
            return api.RouteStatus()
        case Kind.BACKEND_POLICY:
            return api.PolicyStatus()
        case _:
            return None


def _with_times(before: api.ObjectStatus | None, now: api.ObjectStatus) -> api.ObjectStatus:
    """`now`, with the transition times of conditions that stayed as they were."""
    match before, now:
        case api.GatewayStatus(), api.GatewayStatus():
            return merge_gateway(before, now) or before
        case api.GatewayClassStatus(), api.GatewayClassStatus():
            return merge_own_class(before, now)
        case api.RouteStatus(), api.RouteStatus():
            return merge_own_parents(before, now)
        case api.PolicyStatus(), api.PolicyStatus():
            return merge_own_ancestors(before, now)
        case _:
            return now
