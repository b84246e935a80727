"""Endpoint changes go first, configuration in slices; with a translator that takes virtual time."""

from collections.abc import Callable, Sequence

import pytest

from fairlead.base import VirtualClock
from fairlead.resources import EndpointSlice, HTTPRoute, Kind, ObjectMeta
from fairlead.runtime._lanes import SLICE_S, Lanes
from fairlead.snapshot import Key
from fairlead.snapshot import Kind as ResourceKind
from fairlead.sources import Change, Synced, Upserted
from fairlead.translate import Delta

UNIT_S = 0.0005


class SlowTranslator:
    """Every route is a unit of work of half a millisecond; endpoint changes cost nothing."""

    def __init__(self, clock: VirtualClock) -> None:
        self.ready = True
        self._clock = clock
        self._routes: list[str] = []
        self._slices: list[str] = []

    @property
    def idle(self) -> bool:
        return not self._routes and not self._slices

    def apply(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, Upserted):
                names = self._slices if change.kind is Kind.ENDPOINT_SLICE else self._routes
                names.append(change.object.metadata.name)

    def endpoints_lane(self) -> Delta | None:
        names, self._slices = self._slices, []
        return _delta(ResourceKind.ENDPOINTS, names) if self.ready and names else None

    def configuration_lane(self, within: Callable[[], bool]) -> Delta | None:
        done = []
        while self.ready and self._routes:
            done.append(self._routes.pop(0))
            self._clock.advance(UNIT_S)
            if not within():
                break
        return _delta(ResourceKind.ROUTE, done) if done else None


def _delta(kind: ResourceKind, names: Sequence[str]) -> Delta:
    return Delta(removals=tuple(Key(kind, name) for name in names))


class Rig:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.translator = SlowTranslator(self.clock)
        self.published: list[Delta] = []
        self.settled = 0
        self.lanes = Lanes(
            self.translator, publish=self.published.append, settled=self._on_settled, clock=self.clock
        )

    def _on_settled(self) -> None:
        self.settled += 1

    def turn(self) -> tuple[float, bool]:
        before = self.clock.monotonic()
        more = self.lanes.turn()
        return self.clock.monotonic() - before, more


def route(name: str) -> Change:
    return Upserted(Kind.HTTP_ROUTE, HTTPRoute(metadata=ObjectMeta(name=name)), 0.0)


def slice_(name: str) -> Change:
    return Upserted(Kind.ENDPOINT_SLICE, EndpointSlice(metadata=ObjectMeta(name=name)), 0.0)


def names(delta: Delta) -> list[str]:
    return [key.name for key in delta.removals]


def test_configuration_works_in_slices() -> None:
    rig = Rig()
    rig.lanes.sink([route(f"r{n}") for n in range(40)])
    spent, more = rig.turn()
    assert spent <= SLICE_S + UNIT_S
    assert more
    while more:
        spent, more = rig.turn()
        assert spent <= SLICE_S + UNIT_S
    assert [name for delta in rig.published for name in names(delta)] == [f"r{n}" for n in range(40)]


def test_an_endpoint_change_waits_for_no_configuration_work() -> None:
    rig = Rig()
    rig.lanes.sink([route(f"r{n}") for n in range(1000)])
    rig.turn()
    rig.lanes.sink([route("late"), slice_("now")])
    assert names(rig.published[-1]) == ["now"], "published in the call that brought it"


def test_endpoint_changes_wait_until_everything_required_was_listed() -> None:
    rig = Rig()
    rig.translator.ready = False
    rig.lanes.sink([slice_("early")])
    assert rig.published == []
    rig.translator.ready = True
    rig.lanes.sink([slice_("later")])
    assert names(rig.published[-1]) == ["early", "later"]


def test_a_defect_in_the_endpoint_lane_ends_the_run_and_not_the_source() -> None:
    rig = Rig()

    def fail(_: Delta) -> None:
        raise ValueError("it has lost count")

    rig.lanes = Lanes(rig.translator, publish=fail, settled=lambda: None, clock=rig.clock)
    rig.lanes.sink([slice_("now")])
    with pytest.raises(ValueError, match="lost count"):
        rig.lanes.turn()


def test_the_end_of_the_work_after_a_sync_is_told_once() -> None:
    rig = Rig()
    rig.lanes.sink([route("a"), Synced(Kind.HTTP_ROUTE)])
    while rig.turn()[1]:
        assert rig.settled == 0
    assert rig.settled == 1
    rig.lanes.sink([route("b")])
    while rig.turn()[1]:
        pass
    assert rig.settled == 1


def test_nothing_settles_before_the_translator_is_ready() -> None:
    rig = Rig()
    rig.translator.ready = False
    rig.lanes.sink([route("a"), Synced(Kind.HTTP_ROUTE)])
    assert rig.turn()[1] is False
    assert rig.settled == 0
    assert rig.published == []
    rig.translator.ready = True
    rig.lanes.sink([Synced(Kind.GATEWAY)])
    while rig.turn()[1]:
        pass
    assert rig.settled == 1
