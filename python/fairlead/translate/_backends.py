"""The Backends in use and their Endpoints.

Laws:
1. Only Backends that some Route uses exist; Endpoints of others cost nothing.
2. A Backend comes with its Endpoints, whole; from then on they change by EndpointsDelta, each based on the
   version before, in a lane that no configuration work delays.
3. A slice event touches the Backends of its Service only; slices that did not change are not read again.
4. A slice that cannot be read harms itself only: what it said last stays. So with a Service.
"""

from collections import Counter

import msgspec

from fairlead import snapshot
from fairlead.resources import EndpointSlice, Ref, Service
from fairlead.sources import Finding
from fairlead.translate._endpoint_set import Changes, EndpointSet
from fairlead.translate._endpoints import PortSpec, SliceView, view_slice
from fairlead.translate._findings import Findings
from fairlead.translate._graph import BackendId
from fairlead.translate._model import Delta, TranslateSettings
from fairlead.translate._objects import Objects
from fairlead.translate._outbox import Outbox
from fairlead.translate._references import find_port
from fairlead.translate._rules import backend_name

_SHOWN = 3
"""How many refused addresses a finding names."""


class _Known(msgspec.Struct, frozen=True, gc=False):
    """A slice as it was read."""

    item: EndpointSlice
    view: SliceView
    findings: tuple[Finding, ...]


class _State:
    """A Backend in use."""

    def __init__(self, backend: BackendId, settings: TranslateSettings) -> None:
        self.id = backend
        self.name = backend_name(backend)
        self.key = snapshot.Key(snapshot.Kind.ENDPOINTS, self.name)
        self.port: PortSpec | None = None
        self.slices: dict[str, _Known] = {}
        self.set = EndpointSet(zone=settings.zone, node=settings.node)


class Backends:
    """All Backends in use."""

    def __init__(
        self, settings: TranslateSettings, objects: Objects, outbox: Outbox, findings: Findings
    ) -> None:
        self._settings = settings
        self._objects = objects
        self._outbox = outbox
        self._findings = findings
        self._users: Counter[BackendId] = Counter()
        self._states: dict[BackendId, _State] = {}
        self._by_service: dict[Ref, set[BackendId]] = {}
        self._by_name: dict[str, BackendId] = {}
        self._dirty: dict[BackendId, float] = {}

    def __contains__(self, backend: BackendId) -> bool:
        return backend in self._users

    def __bool__(self) -> bool:
        """Whether endpoint work waits."""
        return bool(self._dirty)

    def all(self) -> list[BackendId]:
        """The Backends that have users."""
        return list(self._users)

    def use(self, backend: BackendId) -> bool:
        """Counts a user; gives whether it is the first. The first has the Endpoints go out whole."""
        self._users[backend] += 1
        if self._users[backend] > 1:
            return False
        state = self._states.get(backend)
        if state is None:
            state = self._states[backend] = _State(backend, self._settings)
            self._by_service.setdefault(backend.service, set()).add(backend)
            self._by_name[state.name] = backend
            self._read(state)
        if self._outbox.version(state.key) is None:
            self._outbox.put(state.key, snapshot.Endpoints(endpoints=state.set.endpoints))
        else:
            self._outbox.keep(state.key)
        return True

    def release(self, backend: BackendId) -> bool:
        """Counts a user less; gives whether it was the last. The last has the Endpoints go."""
        self._users[backend] -= 1
        if self._users[backend] > 0:
            return False
        del self._users[backend]
        self._outbox.remove(self._states[backend].key)
        if self._outbox.version(self._states[backend].key) is None:
            self._forget(backend)
        return True

    def settle(self, delta: Delta) -> None:
        """Forgets the Backends whose removal has gone out."""
        for key in delta.removals:
            if key.kind is snapshot.Kind.ENDPOINTS:
                self._forget(self._by_name[key.name])

    def touch(self, service: Ref, at: float) -> None:
        """Something that the Service's Endpoints come from changed at `at`."""
        for backend in self._by_service.get(service, ()):
            self._dirty[backend] = min(at, self._dirty.get(backend, at))

    def lane(self) -> Delta | None:
        """The changes of all Endpoints, at once."""
        changes: list[snapshot.EndpointsDelta] = []
        since: list[float] = []
        for backend, at in self._dirty.items():
            change = self._change(self._states[backend])
            if change is not None:
                changes.append(change)
                since.append(at)
        self._dirty.clear()
        findings = self._findings.take()
        if not changes and not findings:
            return None
        return Delta(endpoints=tuple(changes), findings=findings, event_at=min(since, default=None))

    def _change(self, state: _State) -> snapshot.EndpointsDelta | None:
        changes = self._read(state)
        base = self._outbox.version(state.key)
        if not changes or base is None:
            return None
        version = snapshot.endpoints_hash(snapshot.Endpoints(endpoints=state.set.endpoints))
        self._outbox.moved(state.key, version)
        return snapshot.EndpointsDelta(
            name=state.name, base=base, hash=version, upserts=changes.upserts, removals=changes.removals
        )

    def _read(self, state: _State) -> Changes:
        """Brings the state's endpoints up to date with the objects; never raises."""
        try:
            changes = self._read_service(state)
        except Exception as error:  # noqa: BLE001
            message = f"translation failed, the last endpoints stay: {error!r}"
            finding = Finding("Internal", message, f"Service {state.id.service}")
            self._findings.set((state.key, "internal"), [finding])
            return Changes()
        self._findings.set((state.key, "internal"), ())
        return changes

    def _read_service(self, state: _State) -> Changes:
        service = self._objects.service(state.id.service)
        port = _port_spec(service, state.id.port, self._settings)
        if service is None or port is None:
            # The Service or its port is gone: the Routes learn of it in the configuration lane.
            return Changes()
        if port != state.port:
            state.port = port
            state.slices.clear()
        items = self._objects.slices_of(state.id.service)
        slices: dict[str, _Known] = {}
        for name, item in items.items():
            known = state.slices.get(name)
            slices[name] = known if known and known.item is item else _know(item, port, known)
        state.slices = slices
        self._findings.set(state.key, [item for known in slices.values() for item in known.findings])
        views = {name: known.view for name, known in slices.items()}
        return state.set.update(views, service.spec.ip_families or ())

    def _forget(self, backend: BackendId) -> None:
        state = self._states.pop(backend)
        del self._by_name[state.name]
        self._dirty.pop(backend, None)
        for owner in (state.key, (state.key, "internal")):
            self._findings.set(owner, ())
        backends = self._by_service[backend.service]
        backends.discard(backend)
        if not backends:
            del self._by_service[backend.service]


def _port_spec(service: Service | None, number: int, settings: TranslateSettings) -> PortSpec | None:
    port = find_port(service, number) if service is not None else None
    if service is None or port is None:
        return None
    return PortSpec(port.name, port.protocol, service.metadata.uid, settings.loopback_endpoints_allowed)


def _know(item: EndpointSlice, port: PortSpec, before: _Known | None) -> _Known:
    where = f"EndpointSlice {item.metadata.namespace}/{item.metadata.name}"
    try:
        view = view_slice(item, port)
    except Exception as error:  # noqa: BLE001
        finding = Finding("Internal", f"translation failed, its last form stays: {error!r}", where)
        return _Known(item, before.view if before is not None else SliceView(item.address_type), (finding,))
    if not view.refused:
        return _Known(item, view, ())
    shown = ", ".join(f"{address} ({reason})" for address, reason in view.refused[:_SHOWN])
    more = f" and {len(view.refused) - _SHOWN} more" if len(view.refused) > _SHOWN else ""
    return _Known(item, view, (Finding("EndpointAddressRefused", f"not used: {shown}{more}", where),))
