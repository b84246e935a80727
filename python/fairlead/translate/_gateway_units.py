"""Units of GatewayClasses and Gateways.

Laws:
1. A unit computes its plan, which is pure, before it changes anything but the assignment of addresses.
2. Routes are marked only if what they depend on of a Listener changed.
3. A Gateway that stops being ours gives its address and everything else back.
"""

from collections import Counter

import msgspec

from fairlead.resources import Gateway, Kind, Ref
from fairlead.translate._addresses import Assignment
from fairlead.translate._classes import class_status, is_accepted
from fairlead.translate._conditions import Conditions
from fairlead.translate._gateways import GatewayPlan, count_routes, plan_gateway
from fairlead.translate._graph import Level, Name, Unit
from fairlead.translate._listeners import ListenerPlan
from fairlead.translate._objects import recorded_address
from fairlead.translate._statuses import ConditionType, Forgotten, GatewayStatus, Reason
from fairlead.translate._world import World


class GatewayUnits:
    """The plans of all Gateways of ours, and the counters of their Listeners."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._classes: dict[Ref, bool] = {}
        self._plans: dict[Ref, GatewayPlan] = {}
        self._attached: dict[Ref, Counter[str]] = {}
        self._recount: dict[Ref, None] = {}
        self._without_address: dict[Ref, None] = {}

    def listeners_of(self, gateway: Ref) -> tuple[ListenerPlan, ...] | None:
        """The Listeners of a Gateway of ours; None for any other."""
        plan = self._plans.get(gateway)
        return None if plan is None else plan.listeners

    def count(self, gateway: Ref, listener: str, change: int) -> None:
        """Counts Routes that attach to a Listener, or leave it."""
        self._attached.setdefault(gateway, Counter())[listener] += change
        self._recount[gateway] = None

    def say_statuses(self) -> None:
        """Tells the statuses of Gateways whose plan or counters changed."""
        for ref in self._recount:
            plan = self._plans.get(ref)
            if plan is not None:
                self._world.outbox.say(count_routes(plan.status, self._attached.get(ref, {})))
        self._recount.clear()

    def retry_addresses(self) -> None:
        """Has Gateways without all their addresses tried again."""
        self._world.queue.update(Unit(Level.GATEWAY, ref) for ref in self._without_address)

    def class_of(self, gateway: Gateway) -> bool | None:
        """Whether the Gateway's class is accepted; None where it is not ours."""
        return self._class_verdict(gateway.spec.gateway_class_name)

    def work_class(self, ref: Ref) -> None:
        """A GatewayClass came, changed or went."""
        world = self._world
        verdict = self._class_verdict(ref.name)
        item = world.objects.gateway_class(ref.name)
        if verdict != self._classes.get(ref):
            if verdict is None:
                del self._classes[ref]
            else:
                self._classes[ref] = verdict
            world.graph.mark(Name(Kind.GATEWAY_CLASS, ref))
        if verdict is None or item is None:
            world.outbox.say(Forgotten(kind=Kind.GATEWAY_CLASS, ref=ref))
        else:
            world.outbox.say(class_status(item, world.gateway_api))

    def work_gateway(self, ref: Ref) -> None:
        """A Gateway came, changed or went, or its class or address did."""
        world = self._world
        gateway = world.objects.gateway(ref)
        accepted = self.class_of(gateway) if gateway is not None else None
        names = (
            [] if gateway is None else [Name(Kind.GATEWAY_CLASS, Ref("", gateway.spec.gateway_class_name))]
        )
        world.graph.set(Unit(Level.GATEWAY, ref), names)
        if gateway is None or accepted is None:
            self._leave(ref)
            return
        held_before = world.addresses.address_of(ref)
        assignment = world.addresses.assign(ref, gateway.spec.addresses, recorded_address(gateway))
        self._after_assignment(ref, held_before, assignment)
        self._replace(ref, plan_gateway(gateway, assignment, class_accepted=accepted))

    def refuse(self, ref: Ref, message: str) -> None:
        """Translation of the Gateway failed: says so, and leaves the last plan in force."""
        gateway = self._world.objects.gateway(ref)
        if gateway is None or self.class_of(gateway) is None:
            return
        make = Conditions(gateway.metadata.generation)
        conditions = tuple(
            make.false(kind, Reason.INTERNAL, message)
            for kind in (ConditionType.ACCEPTED, ConditionType.PROGRAMMED)
        )
        before = self._plans.get(ref)
        if before is None:
            status = GatewayStatus(
                ref=ref, uid=gateway.metadata.uid, conditions=conditions, addresses=(), listeners=()
            )
            self._world.outbox.say(status)
            return
        status = msgspec.structs.replace(before.status, uid=gateway.metadata.uid, conditions=conditions)
        self._plans[ref] = msgspec.structs.replace(before, status=status)
        self._recount[ref] = None

    def _class_verdict(self, name: str) -> bool | None:
        item = self._world.objects.gateway_class(name)
        settings = self._world.settings
        if item is None:
            return True if name and name == settings.gateway_class else None
        if item.spec.controller_name != settings.controller_name:
            return None
        return is_accepted(item)

    def _after_assignment(self, ref: Ref, held_before: str | None, assignment: Assignment) -> None:
        if assignment.problem is None:
            self._without_address.pop(ref, None)
        else:
            self._without_address[ref] = None
        if held_before not in (None, assignment.address):
            self._address_is_free(ref)

    def _address_is_free(self, by: Ref) -> None:
        self._world.queue.update(Unit(Level.GATEWAY, ref) for ref in self._without_address if ref != by)

    def _leave(self, ref: Ref) -> None:
        world = self._world
        if world.addresses.address_of(ref) is not None:
            world.addresses.release(ref)
            self._address_is_free(ref)
        self._without_address.pop(ref, None)
        before = self._plans.pop(ref, None)
        if before is not None:
            for key in before.resources:
                world.outbox.remove(key)
            self._mark_routes(ref)
        world.outbox.say(Forgotten(kind=Kind.GATEWAY, ref=ref))

    def _replace(self, ref: Ref, plan: GatewayPlan) -> None:
        outbox = self._world.outbox
        before = self._plans.get(ref)
        self._plans[ref] = plan
        for key in before.resources if before is not None else ():
            if key not in plan.resources:
                outbox.remove(key)
        for key, resource in plan.resources.items():
            outbox.put(key, resource)
        self._recount[ref] = None
        if before is None or before.listeners != plan.listeners:
            self._mark_routes(ref)
        elif before.resources != plan.resources:
            self._world.held = True

    def _mark_routes(self, ref: Ref) -> None:
        world = self._world
        world.held = True
        world.graph.mark(Name(Kind.GATEWAY, ref))
