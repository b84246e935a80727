"""Units of policies, and the counts of who sends requests to which Service.

Laws:
1. A policy's status depends on its targets, on its rivals, and on the Gateways whose Routes use a target.
2. Counts change by the difference of two Routes' plans; only the first and the last user of a Service at a
   Gateway touch policies.
"""

from collections import Counter
from collections.abc import Set as AbstractSet

from fairlead.resources import Kind, Ref
from fairlead.translate._graph import Level, Unit
from fairlead.translate._policies import plan_policy, policy_names
from fairlead.translate._statuses import Forgotten, PolicyStatus
from fairlead.translate._world import World


class PolicyUnits:
    """All policies, and the Gateways at which they take effect."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._users: dict[Ref, Counter[Ref]] = {}

    def count(self, before: AbstractSet[tuple[Ref, Ref]], after: AbstractSet[tuple[Ref, Ref]]) -> None:
        """A Route's (Service, Gateway) pairs changed."""
        for service, gateway in before - after:
            gateways = self._users[service]
            gateways[gateway] -= 1
            if not gateways[gateway]:
                del gateways[gateway]
                self._mark(service)
            if not gateways:
                del self._users[service]
        for service, gateway in after - before:
            gateways = self._users.setdefault(service, Counter())
            gateways[gateway] += 1
            if gateways[gateway] == 1:
                self._mark(service)

    def work(self, ref: Ref) -> None:
        """A policy came, changed or went, or a target, a rival or a Gateway of it did."""
        world = self._world
        policy = world.objects.policy(ref)
        unit = Unit(Level.POLICY, ref)
        if policy is None:
            world.graph.set(unit, ())
            world.findings.set((unit, "policy"), ())
            world.outbox.say(Forgotten(kind=Kind.BACKEND_POLICY, ref=ref))
            return
        names = policy_names(policy)
        status, findings = plan_policy(policy, world.objects, self._gateways_of)
        world.graph.set(unit, names)
        world.findings.set((unit, "policy"), findings)
        world.outbox.say(status)

    def refuse(self, ref: Ref) -> None:
        """Translation of the policy failed: it has no effect that could be told."""
        policy = self._world.objects.policy(ref)
        if policy is not None:
            self._world.outbox.say(PolicyStatus(ref=ref, uid=policy.metadata.uid, ancestors=()))

    def _gateways_of(self, service: Ref) -> tuple[Ref, ...]:
        return tuple(self._users.get(service, ()))

    def _mark(self, service: Ref) -> None:
        world = self._world
        world.queue.update(Unit(Level.POLICY, ref) for ref in world.objects.policies_for(service))
