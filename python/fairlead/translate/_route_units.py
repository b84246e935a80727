"""Units of HTTPRoutes and of the Backends that they use.

Laws:
1. A Route goes out with, or after, the Backends and Endpoints that it names; they go after it.
2. A Route that the proxies would refuse keeps its last good version, with that version's Backends.
3. Counters change by the difference of two plans, so they are exact whatever the order of events.
"""

import msgspec

from fairlead import snapshot
from fairlead.resources import Kind, Ref
from fairlead.translate._conditions import Conditions
from fairlead.translate._gateway_units import GatewayUnits
from fairlead.translate._graph import BackendId, Level, Name, Unit
from fairlead.translate._policies import effective_policy
from fairlead.translate._policy_units import PolicyUnits
from fairlead.translate._references import find_port
from fairlead.translate._routes import RoutePlan, parent_gateway, plan_route, route_key, route_names
from fairlead.translate._rules import backend_name
from fairlead.translate._statuses import ConditionType, Forgotten, ParentStatus, Reason, RouteStatus
from fairlead.translate._world import World


class RouteUnits:
    """The plans of all Routes."""

    def __init__(self, world: World, gateways: GatewayUnits, policies: PolicyUnits) -> None:
        self._world = world
        self._gateways = gateways
        self._policies = policies
        self._plans: dict[Ref, RoutePlan] = {}

    def reconsider_tentative(self) -> None:
        """An optional kind became known: has all that was computed without it computed again."""
        queue = self._world.queue
        queue.update(Unit(Level.ROUTE, ref) for ref, plan in self._plans.items() if plan.status.tentative)
        queue.update(Unit(Level.BACKEND, backend) for backend in self._world.backends.all())

    def work_route(self, ref: Ref) -> None:
        """A Route came, changed or went, or something that it names did."""
        world = self._world
        route = world.objects.route(ref)
        before = self._plans.get(ref)
        if route is None:
            world.graph.set(Unit(Level.ROUTE, ref), ())
            if before is not None:
                del self._plans[ref]
                self._count(before, None)
                world.outbox.remove(route_key(ref))
                self._release(before.backends)
            world.outbox.say(Forgotten(kind=Kind.HTTP_ROUTE, ref=ref))
            return
        names, crosses = route_names(route)
        plan = plan_route(
            route,
            self._gateways.listeners_of,
            world.objects,
            tentative=crosses and not world.kinds.known(Kind.REFERENCE_GRANT),
        )
        world.graph.set(Unit(Level.ROUTE, ref), names)
        old = before.backends if before is not None else frozenset()
        self._acquire(plan.backends - old)
        refusal = None
        if plan.resource is None:
            world.outbox.remove(route_key(ref))
        else:
            refusal = world.outbox.put(route_key(ref), plan.resource, tentative=plan.status.tentative)
        if refusal is not None:
            self._release(plan.backends - old)
            plan = _refused(plan, old, route.metadata.generation, refusal)
        self._release(old - plan.backends)
        self._plans[ref] = plan
        self._count(before, plan)
        world.outbox.say(plan.status)

    def refuse(self, ref: Ref, message: str) -> None:
        """Translation of the Route failed: says so, and leaves the last plan in force."""
        route = self._world.objects.route(ref)
        if route is None:
            return
        condition = Conditions(route.metadata.generation).false(
            ConditionType.ACCEPTED, Reason.INTERNAL, message
        )
        parents = tuple(
            ParentStatus(parent_ref=parent, conditions=(condition,))
            for parent in route.spec.parent_refs or ()
            if (gateway := parent_gateway(parent, ref.namespace)) is not None
            and self._gateways.listeners_of(gateway) is not None
        )
        self._world.outbox.say(
            RouteStatus(ref=ref, uid=route.metadata.uid, parents=parents, key=route_key(ref))
        )

    def work_backend(self, backend: BackendId) -> None:
        """A Backend's Service or policies changed."""
        if backend in self._world.backends:
            self._put_backend(backend, self._plan_backend(backend))

    def _plan_backend(self, backend: BackendId) -> snapshot.Backend | None:
        """The Backend's resource; None where its port is gone, and its Routes are about to leave it."""
        objects = self._world.objects
        service = objects.service(backend.service)
        port = find_port(service, backend.port) if service is not None else None
        if port is None:
            return None
        return snapshot.Backend(
            namespace=backend.service.namespace,
            service=backend.service.name,
            port=backend.port,
            policy=effective_policy(backend.service, port.name, objects.policies_for(backend.service)),
        )

    def _put_backend(self, backend: BackendId, resource: snapshot.Backend | None) -> None:
        if resource is not None:
            tentative = not self._world.kinds.known(Kind.BACKEND_POLICY)
            self._world.outbox.put(_backend_key(backend), resource, tentative=tentative)

    def _count(self, before: RoutePlan | None, after: RoutePlan | None) -> None:
        old = before.attached if before is not None else frozenset()
        new = after.attached if after is not None else frozenset()
        for gateway, listener in old - new:
            self._gateways.count(gateway, listener, -1)
        for gateway, listener in new - old:
            self._gateways.count(gateway, listener, 1)
        self._policies.count(
            before.users if before is not None else frozenset(),
            after.users if after is not None else frozenset(),
        )

    def _acquire(self, backends: frozenset[BackendId]) -> None:
        world = self._world
        planned = {
            backend: self._plan_backend(backend) for backend in backends if backend not in world.backends
        }
        for backend in backends:
            if world.backends.use(backend):
                names = [Name(kind, backend.service) for kind in (Kind.SERVICE, Kind.BACKEND_POLICY)]
                world.graph.set(Unit(Level.BACKEND, backend), names)
                self._put_backend(backend, planned[backend])

    def _release(self, backends: frozenset[BackendId]) -> None:
        world = self._world
        for backend in backends:
            if world.backends.release(backend):
                world.graph.set(Unit(Level.BACKEND, backend), ())
                world.outbox.remove(_backend_key(backend))


def _backend_key(backend: BackendId) -> snapshot.Key:
    return snapshot.Key(snapshot.Kind.BACKEND, backend_name(backend))


def _refused(
    plan: RoutePlan, backends: frozenset[BackendId], generation: int, refusal: snapshot.Rejection
) -> RoutePlan:
    """The plan of a Route that the proxies would refuse: not accepted anywhere, its last version stays."""
    message = f"{refusal.reason}: {refusal.message}"
    condition = Conditions(generation).false(ConditionType.ACCEPTED, Reason.UNSUPPORTED_VALUE, message)
    parents = tuple(
        ParentStatus(
            parent_ref=parent.parent_ref,
            conditions=(
                condition,
                *(
                    item
                    for item in parent.conditions
                    if item.type not in (ConditionType.ACCEPTED, ConditionType.PARTIALLY_INVALID)
                ),
            ),
        )
        for parent in plan.status.parents
    )
    return msgspec.structs.replace(
        plan,
        status=msgspec.structs.replace(plan.status, parents=parents),
        attached=frozenset(),
        backends=backends,
    )
