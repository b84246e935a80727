"""The Translator: object changes in; resources, statuses and findings out.

Laws:
1. `apply` only marks what is dirty; all work happens in the two lanes, a unit at a time.
2. A unit that raises keeps its last result, is reported, and is not tried again before something that it
   depends on changes. Others go on.
3. A change of a Gateway's Listeners goes out together with all Routes that it concerns.
"""

from collections.abc import Callable, Sequence

import msgspec

from fairlead import snapshot
from fairlead.resources import KINDS, Kind, Object, Ref
from fairlead.sources import Change, Finding, Removed, Synced, Unavailable, Upserted
from fairlead.translate._addresses import AddressBook
from fairlead.translate._gateway_api import GatewayAPI
from fairlead.translate._graph import Level, Name, Unit
from fairlead.translate._model import Delta, Encoded, Origin, TranslateSettings
from fairlead.translate._objects import policy_targets, recorded_address, ref_of
from fairlead.translate._outbox import PART, Validate
from fairlead.translate._statuses import ObjectStatus
from fairlead.translate._units import Units
from fairlead.translate._world import new_world


class Full(msgspec.Struct, frozen=True):
    """Everything that translation gives for the objects at hand."""

    resources: dict[snapshot.Key, Encoded]
    statuses: dict[tuple[Kind, Ref], ObjectStatus]
    findings: dict[tuple[str, str], Finding]
    """By code and place."""


class Translator:
    """Translates incrementally. Pure: no clock, no input or output; not thread-safe.

    `validate` checks every resource with the proxy's own code before it goes out.
    """

    def __init__(
        self,
        settings: TranslateSettings,
        addresses: AddressBook,
        validate: Validate | None = None,
        *,
        part: int = PART,
    ) -> None:
        """`part`: see Outbox."""
        self._validate = validate
        self._world = new_world(settings, addresses, validate, part)
        self._units = Units(self._world)

    @property
    def ready(self) -> bool:
        """Whether every required kind was listed once. Before, both lanes give nothing."""
        return self._world.kinds.ready

    @property
    def idle(self) -> bool:
        """Whether no work waits in either lane."""
        world = self._world
        return not (world.queue or world.backends or world.outbox or world.findings)

    def apply(self, changes: Sequence[Change]) -> None:
        """Takes changes and marks what depends on them. O(changes)."""
        for change in changes:
            match change:
                case Upserted() | Removed():
                    self._apply_object(change)
                case Synced() | Unavailable():
                    was_ready = self.ready
                    if self._world.kinds.note(change):
                        self._units.routes.reconsider_tentative()
                    if self.ready and not was_ready:
                        self._reserve_addresses()
                case Finding():
                    """The source tells its findings to users itself."""

    def endpoints_lane(self) -> Delta | None:
        """All endpoint changes of Backends that proxies know of, at once."""
        return self._world.backends.lane() if self.ready else None

    def configuration_lane(self, within: Callable[[], bool]) -> Delta | None:
        """Works while `within()` is true, on at least one unit; gives what may go out by then, or None.

        While a big Delta goes out, a part per call, no unit is worked on.
        """
        if not self.ready:
            return None
        if not self._world.outbox.leaving:
            self._work(within)
        world = self._world
        delta = world.outbox.take(held=world.held, findings=world.findings.take())
        if delta is not None:
            world.backends.settle(delta)
        return delta

    def _work(self, within: Callable[[], bool]) -> None:
        world = self._world
        while (unit := world.queue.pop()) is not None:
            self._units.work(unit)
            if not within():
                break
        world.held = world.held and bool(world.queue)
        if not world.held:
            self._units.gateways.say_statuses()

    def know(self, gateway_api: GatewayAPI) -> None:
        """Takes what is known of the Gateway API's CRDs; the GatewayClasses say it."""
        if gateway_api != self._world.gateway_api:
            self._world.gateway_api = gateway_api
            self._world.queue.update(Unit(Level.CLASS, ref) for ref in self._world.objects.gateway_classes())

    def reassign_addresses(self, *, assigning: bool) -> None:
        """Says whether this instance may assign addresses; Gateways without one are tried again."""
        self._world.addresses.assigning = assigning
        self._units.gateways.retry_addresses()

    def origin_of(self, key: snapshot.Key) -> Origin | None:
        """The object that a resource comes from; None where it is not known."""
        match key.kind, key.name.split("/"):
            case snapshot.Kind.BIND, _:
                gateway = self._world.addresses.holder(key.name.rpartition(":")[0].strip("[]"))
                return None if gateway is None else Origin(Kind.GATEWAY, gateway)
            case snapshot.Kind.LISTENER, [namespace, name, section]:
                return Origin(Kind.GATEWAY, Ref(namespace, name), section)
            case snapshot.Kind.ROUTE, [kind, namespace, name] if kind in KINDS:
                return Origin(Kind(kind), Ref(namespace, name))
            case ((snapshot.Kind.BACKEND | snapshot.Kind.ENDPOINTS), [_, namespace, name, port]):
                return Origin(Kind.SERVICE, Ref(namespace, name), port)
        return None

    def full(self) -> Full:
        """All resources, statuses and findings, computed from nothing: what all Deltas must add up to."""
        world = self._world
        fresh = Translator(world.settings, world.addresses.copy(), self._validate)
        fresh._world.kinds = world.kinds.copy()
        fresh._world.gateway_api = world.gateway_api
        fresh.apply([Upserted(kind, obj, 0.0) for kind, obj in world.objects.everything()])
        fresh._reserve_addresses()
        resources: dict[snapshot.Key, Encoded] = {}
        statuses: dict[tuple[Kind, Ref], ObjectStatus] = {}
        findings: dict[tuple[str, str], Finding] = {}
        while (delta := fresh.configuration_lane(lambda: True)) is not None:
            resources.update((item.key, item) for item in delta.upserts)
            statuses.update(((item.kind, item.ref), item) for item in delta.statuses)
            findings.update(((item.code, item.where), item) for item in delta.findings)
        return Full(resources, statuses, findings)

    def _apply_object(self, change: Upserted | Removed) -> None:
        kind, ref = change.kind, ref_of(change.object)
        try:
            if isinstance(change, Upserted):
                changed, before = self._world.objects.put(kind, change.object)
                after: Object | None = change.object
            else:
                before = self._world.objects.remove(kind, ref)
                changed, after = before is not None, None
            if changed:
                self._mark(kind, ref, before, after, change.at)
        except Exception as error:  # noqa: BLE001
            message = f"cannot be read, its last form stays in force: {error!r}"
            self._world.findings.set((kind, ref), [Finding("Internal", message, f"{kind.value} {ref}")])
        else:
            self._world.findings.set((kind, ref), ())

    def _mark(self, kind: Kind, ref: Ref, before: Object | None, after: Object | None, at: float) -> None:
        queue, graph, backends = self._world.queue, self._world.graph, self._world.backends
        match kind:
            case Kind.GATEWAY_CLASS:
                queue.add(Unit(Level.CLASS, ref))
            case Kind.GATEWAY:
                queue.add(Unit(Level.GATEWAY, ref))
            case Kind.HTTP_ROUTE:
                queue.add(Unit(Level.ROUTE, ref))
            case Kind.NAMESPACE:
                graph.mark(Name(kind, ref))
            case Kind.SERVICE:
                graph.mark(Name(kind, ref))
                backends.touch(ref, at)
            case Kind.ENDPOINT_SLICE:
                for item in (before, after):
                    if item is not None and item.service:  # type: ignore[union-attr]
                        backends.touch(Ref(ref.namespace, item.service), at)  # type: ignore[union-attr]
            case Kind.REFERENCE_GRANT:
                graph.mark(Name(kind, Ref(ref.namespace, "")))
            case Kind.BACKEND_POLICY:
                queue.add(Unit(Level.POLICY, ref))
                for policy in (before, after):
                    if policy is not None:
                        for target in policy_targets(policy):  # type: ignore[arg-type]
                            graph.mark(Name(kind, target))

    def _reserve_addresses(self) -> None:
        """Before the first assignment: what Gateways had before is theirs."""
        world = self._world
        gateways = sorted(
            world.objects.gateways(), key=lambda item: (item[1].metadata.creation_timestamp or "", item[0])
        )
        world.addresses.retain({ref for ref, _ in gateways})
        for ref, gateway in gateways:
            address = recorded_address(gateway)
            if address is not None and self._units.gateways.class_of(gateway) is not None:
                world.addresses.record(ref, address)
