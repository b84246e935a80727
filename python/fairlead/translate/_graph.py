"""The reference graph and the queue of work.

Laws:
1. An edge goes from a unit of work to a name, whether or not anything of that name exists: what is created
   later finds who waited for it.
2. Units are worked on level by level (classes, Gateways, Routes, ...), within a level in the order in which
   they became dirty; a unit waits at most once.
"""

from collections import deque
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


class Queue:
    """Dirty units, first come first served within a level."""

    def __init__(self) -> None:
        self._waiting: dict[Level, deque[Unit]] = {level: deque() for level in Level}
        self._members: set[Unit] = set()

    def add(self, unit: Unit) -> None:
        if unit not in self._members:
            self._members.add(unit)
            self._waiting[unit.level].append(unit)

    def update(self, units: Iterable[Unit]) -> None:
        for unit in units:
            self.add(unit)

    def update_level(self, level: Level, units: dict[Unit, None]) -> None:
        """Adds many units of one level; faster than one by one."""
        new = units
        if len(self._members) > len(units) or any(unit in units for unit in self._members):
            new = {unit: None for unit in units if unit not in self._members}
        self._waiting[level].extend(new)
        self._members.update(new)

    def pop(self) -> Unit | None:
        """The next unit, or None when there is no work."""
        for waiting in self._waiting.values():
            if waiting:
                unit = waiting.popleft()
                self._members.remove(unit)
                return unit
        return None

    def __bool__(self) -> bool:
        return bool(self._members)


class Graph:
    """Who depends on which names."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._names: dict[Unit, frozenset[Name]] = {}
        self._units: dict[Name, dict[Level, dict[Unit, None]]] = {}

    def set(self, unit: Unit, names: Iterable[Name]) -> None:
        """Replaces the unit's edges."""
        after = frozenset(names)
        before = self._names.get(unit, frozenset())
        if after == before:
            return
        for name in before - after:
            self._remove(name, unit)
        for name in after - before:
            self._units.setdefault(name, {}).setdefault(unit.level, {})[unit] = None
        if after:
            self._names[unit] = after
        else:
            self._names.pop(unit, None)

    def mark(self, name: Name) -> None:
        """Has all units with an edge to `name` worked on."""
        for level, units in self._units.get(name, {}).items():
            self._queue.update_level(level, units)

    def _remove(self, name: Name, unit: Unit) -> None:
        levels = self._units[name]
        units = levels[unit.level]
        del units[unit]
        if not units:
            del levels[unit.level]
        if not levels:
            del self._units[name]
