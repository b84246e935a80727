"""Which resources a proxy of one Gateway needs.

A scope is empty (the whole installation) or `NAMESPACE/GATEWAY`: then its Listeners, their binds, the routes
attached to them, and the Backends and Endpoints that those routes name.
"""

from collections.abc import Iterable

import msgspec

from fairlead.snapshot import Key, Kind, Listener, Route, decode_resource
from fairlead.stream._store import Store


class Scope:
    """The view of one Gateway; decoded resources are remembered by hash, so that a look costs only changes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._links: dict[Key, tuple[str, _Links]] = {}

    def visible(self, store: Store) -> frozenset[Key] | None:
        """The keys in scope; None means all."""
        if not self.text:
            return None
        listeners: set[Key] = set()
        seen: set[Key] = set()
        for key in store:
            if key.kind is Kind.LISTENER and self._linked(store, key).gateway == self.text:
                listeners.add(key)
                seen |= {key, *self._linked(store, key).needs}
        for key in store:
            if key.kind is Kind.ROUTE:
                links = self._linked(store, key)
                if not listeners.isdisjoint(links.attached):
                    seen |= {key, *links.needs}
        self._links = {key: links for key, links in self._links.items() if key in store}
        return frozenset(key for key in seen if key in store)

    def _linked(self, store: Store, key: Key) -> "_Links":
        version = store.get(key)
        if version is None:
            return _Links()
        known = self._links.get(key)
        if known is not None and known[0] == version.hash:
            return known[1]
        links = _links(key, version.body)
        self._links[key] = (version.hash, links)
        return links


class _Links(msgspec.Struct, frozen=True):
    gateway: str = ""
    attached: tuple[Key, ...] = ()
    needs: tuple[Key, ...] = ()


def _links(key: Key, body: bytes) -> _Links:
    resource = decode_resource(key.kind, body)
    match resource:
        case Listener():
            gateway = f"{resource.gateway_namespace}/{resource.gateway}"
            return _Links(gateway=gateway, needs=(Key(Kind.BIND, resource.bind),))
        case Route():
            return _Links(
                attached=tuple(Key(Kind.LISTENER, item.listener) for item in resource.attachments),
                needs=tuple(_backends(resource)),
            )
        case _:
            return _Links()


def _backends(route: Route) -> Iterable[Key]:
    for rule in route.rules:
        for target in rule.targets:
            if target.backend is not None:
                yield Key(Kind.BACKEND, target.backend)
                yield Key(Kind.ENDPOINTS, target.backend)
