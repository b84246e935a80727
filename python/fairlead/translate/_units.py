"""Work on units, one at a time, each for itself.

Laws:
1. A unit that raises is reported as a finding and in its object's status; its last result stays in force,
   and it is not tried again before something that it depends on changes.
2. Nothing that a unit raises reaches the others.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import cast

from fairlead.resources import Kind, Ref
from fairlead.sources import Finding
from fairlead.translate._gateway_units import GatewayUnits
from fairlead.translate._graph import BackendId, Level, Unit
from fairlead.translate._policy_units import PolicyUnits
from fairlead.translate._route_units import RouteUnits
from fairlead.translate._world import World

_KINDS = {
    Level.CLASS: Kind.GATEWAY_CLASS,
    Level.GATEWAY: Kind.GATEWAY,
    Level.ROUTE: Kind.HTTP_ROUTE,
    Level.BACKEND: Kind.SERVICE,
    Level.POLICY: Kind.BACKEND_POLICY,
}


class Units:
    """Works on any unit."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.gateways = GatewayUnits(world)
        self.policies = PolicyUnits(world)
        self.routes = RouteUnits(world, self.gateways, self.policies)

    def work(self, unit: Unit) -> None:
        """Brings the unit up to date; never raises."""
        owner = (unit, "internal")
        try:
            self._work(unit)
        except Exception as error:  # noqa: BLE001
            message = f"translation failed, the last form stays in force: {error!r}"
            where = f"{_KINDS[unit.level].value} {_ref(unit)}"
            self._world.findings.set(owner, [Finding("Internal", message, where)])
            with suppress(Exception):
                self._refuse(unit, message)
        else:
            self._world.findings.set(owner, ())

    def _work(self, unit: Unit) -> None:
        match unit.level:
            case Level.CLASS:
                self.gateways.work_class(_ref(unit))
            case Level.GATEWAY:
                self.gateways.work_gateway(_ref(unit))
            case Level.ROUTE:
                self.routes.work_route(_ref(unit))
            case Level.BACKEND:
                self.routes.work_backend(cast("BackendId", unit.id))
            case Level.POLICY:
                self.policies.work(_ref(unit))

    def _refuse(self, unit: Unit, message: str) -> None:
        refusals: dict[Level, Callable[[Ref], None]] = {
            Level.GATEWAY: lambda ref: self.gateways.refuse(ref, message),
            Level.ROUTE: lambda ref: self.routes.refuse(ref, message),
            Level.POLICY: self.policies.refuse,
        }
        if unit.level in refusals:
            refusals[unit.level](_ref(unit))


def _ref(unit: Unit) -> Ref:
    """The object of a unit."""
    if isinstance(unit.id, BackendId):
        return unit.id.service
    return cast("Ref", unit.id)
