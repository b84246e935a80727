"""The reference graph and the queue of work.

Laws:
1. An edge goes from a unit of work to a name, whether or not anything of that name exists: what is created
   later finds who waited for it.
2. Units are worked on level by level (classes, Gateways, Routes, ...), within a level in the order in which
   they became dirty; a unit waits at most once.
"""

from collections.abc import Hashable, Iterable
from enum import IntEnum
from typing import NamedTuple

from fairlead.resources import Kind, Ref


class Level(IntEnum):
    """The kinds of units; results flow from lower to higher levels only."""

    CLASS = 0
    GATEWAY = 1
    ROUTE = 2
    BACKEND = 3
    POLICY = 4


class BackendId(NamedTuple):
    """A Service's port, by its number."""

    service: Ref
    port: int


class Unit(NamedTuple):
    """Something that is translated as a whole."""

    level: Level
    id: Hashable


class Name(NamedTuple):
    """What an edge points to: an object, or all objects of a kind in a namespace (with an empty name)."""

    kind: Kind
    ref: Ref


class Graph:
    """Who depends on which names."""

    def __init__(self) -> None:
        self._names: dict[Unit, frozenset[Name]] = {}
        self._units: dict[Name, dict[Unit, None]] = {}

    def set(self, unit: Unit, names: Iterable[Name]) -> None:
        """Replaces the unit's edges."""
        after = frozenset(names)
        before = self._names.get(unit, frozenset())
        if after == before:
            return
        for name in before - after:
            units = self._units[name]
            del units[unit]
            if not units:
                del self._units[name]
        for name in after - before:
            self._units.setdefault(name, {})[unit] = None
        if after:
            self._names[unit] = after
        else:
            self._names.pop(unit, None)

    def dependents(self, name: Name) -> Iterable[Unit]:
        """The units with an edge to `name`."""
        return self._units.get(name, {})


class Queue:
    """Dirty units."""

    def __init__(self) -> None:
        self._levels: tuple[dict[Unit, None], ...] = tuple({} for _ in Level)

    def add(self, unit: Unit) -> None:
        self._levels[unit.level].setdefault(unit)

    def update(self, units: Iterable[Unit]) -> None:
        for unit in units:
            self.add(unit)

    def discard(self, unit: Unit) -> None:
        self._levels[unit.level].pop(unit, None)

    def pop(self) -> Unit | None:
        """The next unit, or None when there is no work."""
        for level in self._levels:
            if level:
                unit = next(iter(level))
                del level[unit]
                return unit
        return None

    def __bool__(self) -> bool:
        return any(self._levels)
