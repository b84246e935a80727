"""What the instance knows, as the admin API shows it. No I/O.

Laws:
1. Only what is ours is shown: Gateways and Routes with a status of ours, Backends and Endpoints of the Snapshot,
   findings.
2. Listing is done key by key, so that whoever asks for much can be served in slices.
"""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Protocol

import msgspec

from fairlead import api, snapshot, stream
from fairlead.admin._findings import all_findings, finding
from fairlead.admin._telemetry import Measure, TelemetryBook
from fairlead.resources import Gateway, HTTPRoute, Kind, ObjectMeta, Ref
from fairlead.sources import Change, Finding, Removed, Synced, Unavailable, Upserted


class StatusReader(Protocol):
    """The part of the StatusBook that the admin API reads."""

    def status_of(self, kind: Kind, ref: Ref) -> api.ObjectStatus | None: ...


class Inventory:
    """Objects, findings, proxies and the Snapshot."""

    def __init__(self, store: stream.Store, statuses: StatusReader, telemetry: TelemetryBook) -> None:
        self._store = store
        self._statuses = statuses
        self._telemetry = telemetry
        self._objects: dict[tuple[Kind, Ref], Gateway | HTTPRoute] = {}
        self._findings: dict[tuple[str, str], api.Finding] = {}
        self._kinds: dict[Kind, api.KindState] = {}
        self._proxies: dict[str, api.ProxyState] = {}
        self._revision = 0
        self._backend_refs: tuple[int, list[Ref]] = (-1, [])
        """All of them, as they were in an edition of the Store."""
        self._all_findings: tuple[int, dict[Ref, api.Finding]] = (-1, {})
        """All of them, as they were at a revision."""

    @property
    def revision(self) -> int:
        """Rises with everything that a list may show."""
        return self._revision + self._telemetry.revision + self._store.generation

    def apply(self, changes: Sequence[Change]) -> None:
        """Takes what the source told."""
        self._revision += 1
        for change in changes:
            match change:
                case Upserted(object=Gateway() | HTTPRoute() as item):
                    self._objects[change.kind, _ref(item.metadata)] = item
                case Removed(object=Gateway() | HTTPRoute() as item):
                    self._objects.pop((change.kind, _ref(item.metadata)), None)
                case Synced():
                    self._kinds[change.kind] = api.KindState(kind=change.kind, synced=True)
                case Unavailable():
                    before = self._kinds.get(change.kind)
                    self._kinds[change.kind] = api.KindState(
                        kind=change.kind,
                        synced=before.synced if before else False,
                        problem=f"{change.code}: {change.message}",
                    )
                case Finding():
                    self.find((change,))
                case _:
                    pass

    def find(self, findings: Sequence[Finding]) -> None:
        """Takes findings of the source or of translation; a resolved one takes back its like."""
        for one in findings:
            self._revision += 1
            if one.resolved:
                self._findings.pop((one.code, one.where), None)
            else:
                self._findings[one.code, one.where] = finding(one.code, one.message, one.where)

    def touch(self) -> None:
        """Statuses or refusals have changed."""
        self._revision += 1

    def told(self, event: stream.Event) -> None:
        """Takes what a proxy told."""
        self._revision += 1
        match event:
            case stream.Greeted():
                self._proxies[event.proxy] = api.ProxyState(name=event.proxy, scope=event.scope)
            case stream.Adopted():
                self._change(
                    event.proxy,
                    generation=event.position.generation,
                    rejected=tuple(map(_rejected, event.rejected)),
                )
            case stream.FactsLearnt():
                binds = tuple(
                    api.BindState(name=bind.name, listening=bind.listening, message=bind.message)
                    for bind in event.binds
                )
                self._change(event.proxy, binds=binds)
            case stream.Gone():
                self._proxies.pop(event.proxy, None)
                self._telemetry.gone(event.proxy)
            case stream.Measured():
                pass

    def _change(self, proxy: str, **fields: object) -> None:
        state = self._proxies.get(proxy)
        if state is not None:
            self._proxies[proxy] = msgspec.structs.replace(state, **fields)

    @property
    def findings(self) -> dict[Ref, api.Finding]:
        """What users should mend, by place."""
        if self._all_findings[0] != self.revision:
            found = all_findings(
                told=self._findings.values(),
                kinds=self._kinds,
                refused=self._store.refused.values(),
                proxies=self.proxies,
            )
            self._all_findings = self.revision, found
        return self._all_findings[1]

    @property
    def kinds(self) -> tuple[api.KindState, ...]:
        """Whether each kind can be read."""
        return tuple(self._kinds[kind] for kind in sorted(self._kinds))

    @property
    def proxies(self) -> tuple[api.ProxyState, ...]:
        """The connected proxies."""
        return tuple(self._proxies[name] for name in sorted(self._proxies))

    @property
    def refused(self) -> tuple[api.Rejected, ...]:
        """What the controller found invalid."""
        return tuple(map(_rejected, self._store.refused.values()))

    def keys(self, collection: api.Collection) -> Sequence[Ref]:
        """All of a collection, by namespace and name."""
        match collection:
            case api.Collection.GATEWAYS:
                return sorted(ref for kind, ref in self._objects if kind is Kind.GATEWAY)
            case api.Collection.ROUTES:
                return sorted(ref for kind, ref in self._objects if kind is Kind.HTTP_ROUTE)
            case api.Collection.BACKENDS | api.Collection.ENDPOINTS:
                if self._backend_refs[0] != self._store.edition:
                    names = (key.name for key in self._store if key.kind is snapshot.Kind.BACKEND)
                    self._backend_refs = self._store.edition, sorted(map(_backend_ref, names))
                return self._backend_refs[1]
            case api.Collection.FINDINGS:
                return list(self.findings)

    def items(self, collection: api.Collection, ref: Ref) -> Sequence[api.Item]:
        """What a key of `keys` stands for: one object, several Endpoints, or nothing (any more)."""
        match collection:
            case api.Collection.GATEWAYS:
                return self._gateway(ref)
            case api.Collection.ROUTES:
                return self._route(ref)
            case api.Collection.BACKENDS:
                return self._backend(ref)
            case api.Collection.ENDPOINTS:
                return self._endpoints(ref)
            case api.Collection.FINDINGS:
                found = self.findings.get(ref)
                return () if found is None else (found,)

    def _gateway(self, ref: Ref) -> Sequence[api.Item]:
        item = self._objects.get((Kind.GATEWAY, ref))
        status = self._statuses.status_of(Kind.GATEWAY, ref)
        if not isinstance(item, Gateway) or not isinstance(status, api.GatewayStatus):
            return ()
        return (api.Gateway(metadata=item.metadata, spec=item.spec, status=status),)

    def _route(self, ref: Ref) -> Sequence[api.Item]:
        item = self._objects.get((Kind.HTTP_ROUTE, ref))
        status = self._statuses.status_of(Kind.HTTP_ROUTE, ref)
        if not isinstance(item, HTTPRoute) or not isinstance(status, api.RouteStatus) or not status.parents:
            return ()
        return (api.Route(metadata=item.metadata, spec=item.spec, status=status),)

    def _backend(self, ref: Ref) -> Sequence[api.Item]:
        name = backend_name(ref)
        backend = self._resource(snapshot.Kind.BACKEND, name)
        if not isinstance(backend, snapshot.Backend):
            return ()
        endpoints = self._resource(snapshot.Kind.ENDPOINTS, name)
        found = endpoints.endpoints if isinstance(endpoints, snapshot.Endpoints) else ()
        return (
            api.Backend(
                metadata=ObjectMeta(name=ref.name, namespace=ref.namespace),
                spec=api.BackendSpec(
                    service=backend.service,
                    port=backend.port,
                    protocol=backend.protocol,
                    load_balancer=backend.policy.load_balancer,
                    consistent_hash=_consistent_hash(backend.policy.consistent_hash),
                    max_connections_per_endpoint=backend.policy.max_connections_per_endpoint,
                    retry_attempts=backend.policy.retry_attempts,
                    origins=backend.policy.origins,
                ),
                status=api.BackendStatus(
                    endpoints=len(found),
                    ready=sum(item.ready for item in found),
                    traffic=self._telemetry.backend(name),
                ),
            ),
        )

    def _endpoints(self, ref: Ref) -> Sequence[api.Item]:
        name = backend_name(ref)
        resource = self._resource(snapshot.Kind.ENDPOINTS, name)
        if not isinstance(resource, snapshot.Endpoints):
            return ()
        measures = self._telemetry.endpoints(name)
        by_address = sorted(resource.endpoints, key=_place)
        return [_endpoint(ref, item, measures.get(item.id)) for item in by_address]

    def _resource(self, kind: snapshot.Kind, name: str) -> snapshot.Resource | None:
        version = self._store.get(snapshot.Key(kind, name))
        return snapshot.decode_resource(kind, version.body) if version is not None else None


def _consistent_hash(hashing: snapshot.ConsistentHash | None) -> api.ConsistentHash | None:
    if hashing is None:
        return None
    return api.ConsistentHash(type=hashing.type, header=hashing.header, table_size=hashing.table_size)


def _endpoint(backend: Ref, item: snapshot.Endpoint, measure: Measure | None) -> api.Endpoint:
    host = f"[{item.address}]" if ":" in item.address else item.address
    state, reason = _condition(item)
    if measure is not None:
        state, reason = measure.state, reason or measure.last_failure
    return api.Endpoint(
        metadata=ObjectMeta(name=f"{backend.name}/{host}:{item.port}", namespace=backend.namespace),
        spec=api.EndpointSpec(
            id=item.id,
            backend=backend.name,
            address=item.address,
            port=item.port,
            weight=item.weight,
            pod=item.pod,
            node=item.node,
            zone=item.zone,
        ),
        status=api.EndpointStatus(
            state=state,
            reason=reason,
            share=measure.share if measure else None,
            latency_ms=measure.latency_ms if measure else None,
            traffic=measure.traffic if measure else None,
        ),
    )


def _place(item: snapshot.Endpoint) -> tuple[int, int, int]:
    """People look for addresses, so that is the order."""
    address = ip_address(item.address)
    return address.version, int(address), item.port


def _condition(item: snapshot.Endpoint) -> tuple[str, str]:
    """State and reason from what Kubernetes says alone."""
    if item.ready:
        return "ready", ""
    if item.terminating:
        return ("fallback" if item.serving else "draining"), "Terminating"
    return "not-ready", "NotReady"


def _rejected(rejection: snapshot.Rejection) -> api.Rejected:
    return api.Rejected(
        resource=f"{rejection.kind}/{rejection.name}", code=rejection.reason, message=rejection.message
    )


def _ref(metadata: ObjectMeta) -> Ref:
    return Ref(metadata.namespace, metadata.name)


def _backend_ref(name: str) -> Ref:
    """`Service/NAMESPACE/NAME/PORT` as namespace and `NAME:PORT`."""
    _, namespace, service, port = name.split("/")
    return Ref(namespace, f"{service}:{port}")


def backend_name(ref: Ref) -> str:
    """The Backend of a key of `Inventory.keys`, as telemetry names it."""
    service, _, port = ref.name.rpartition(":")
    return snapshot.backend_key(ref.namespace, service, int(port))
