"""A collection of EndpointSlices as an API server keeps it: current state, history, compaction, restore."""

from __future__ import annotations

from fairlead.resources import Endpoint, EndpointConditions, EndpointSlice, ObjectMeta, Ref


def make_slice(name: str, service: str, addresses: list[str], *, uid: str, version: int) -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(
            name=name,
            namespace="default",
            uid=uid,
            resource_version=str(version),
            labels={"kubernetes.io/service-name": service},
        ),
        endpoints=tuple(
            Endpoint(addresses=(address,), conditions=EndpointConditions(ready=True)) for address in addresses
        ),
    )


class Event:
    def __init__(self, version: int, type_: str, obj: EndpointSlice) -> None:
        self.version, self.type, self.object = version, type_, obj


class World:
    """What is true, and what can still be told of how it came to be."""

    def __init__(self) -> None:
        self.version = 100
        self.objects: dict[Ref, EndpointSlice] = {}
        self.log: list[Event] = []
        self.floor = 100
        """Watches from before this version are Gone."""
        self.ever: set[tuple[str, str, str, str, tuple[str, ...]]] = set()
        """Every form that any object ever had, on any timeline."""
        self._uids = 0

    def put(self, name: str, service: str = "web", addresses: list[str] | None = None) -> EndpointSlice:
        ref = Ref("default", name)
        old = self.objects.get(ref)
        self.version += 1
        if old is None:
            self._uids += 1
        uid = old.metadata.uid if old else f"uid-{self._uids}"
        obj = make_slice(name, service, addresses or ["10.0.0.1"], uid=uid, version=self.version)
        self.objects[ref] = obj
        self.ever.add(form(obj))
        self.log.append(Event(self.version, "MODIFIED" if old else "ADDED", obj))
        return obj

    def delete(self, name: str) -> None:
        ref = Ref("default", name)
        old = self.objects.pop(ref)
        self.version += 1
        gone = make_slice(name, old.service, addresses_of(old), uid=old.metadata.uid, version=self.version)
        self.log.append(Event(self.version, "DELETED", gone))

    def tick(self) -> None:
        """Something else in the cluster changes."""
        self.version += 1

    def since(self, version: int) -> list[Event]:
        return [event for event in self.log if event.version > version]

    def is_gone(self, version: int) -> bool:
        return version < self.floor

    def compact(self) -> None:
        """The history up to now is no longer kept."""
        self.floor = self.version
        self.log = []

    def backup(self) -> tuple[int, dict[Ref, EndpointSlice]]:
        return self.version, dict(self.objects)

    def restore(self, backup: tuple[int, dict[Ref, EndpointSlice]]) -> None:
        """etcd is restored: versions go backwards, and history begins anew."""
        self.version, objects = backup
        self.objects = dict(objects)
        self.compact()


def addresses_of(obj: EndpointSlice) -> list[str]:
    return [endpoint.addresses[0] for endpoint in obj.endpoints or ()]


def form(obj: EndpointSlice) -> tuple[str, str, str, str, tuple[str, ...]]:
    meta = obj.metadata
    return (meta.name, meta.uid, meta.resource_version, obj.service, tuple(addresses_of(obj)))


def endpoints(objects: dict[Ref, EndpointSlice]) -> dict[str, set[str]]:
    """The pure function from the API's state to what is asked of it: addresses by service."""
    found: dict[str, set[str]] = {}
    for obj in objects.values():
        found.setdefault(obj.service, set()).update(addresses_of(obj))
    return found
