"""All that users should mend, in one list.

It holds what sources and translation found, what is refused, and what cannot be read or listened on.

Law: what the log says of a problem is in this list for as long as the problem lasts.
"""

from collections.abc import Iterable, Iterator, Mapping

from fairlead import api, snapshot
from fairlead.resources import Kind, ObjectMeta, Ref

_SERVICE_PARTS = 4


def finding(code: str, message: str, where: str) -> api.Finding:
    """A finding, named by its place and code."""
    return api.Finding(
        metadata=ObjectMeta(name=f"{where}/{code}"),
        spec=api.FindingSpec(where=where, code=code, message=message),
    )


def all_findings(
    *,
    told: Iterable[api.Finding],
    kinds: Mapping[Kind, api.KindState],
    refused: Iterable[snapshot.Rejection],
    proxies: Iterable[api.ProxyState],
) -> dict[Ref, api.Finding]:
    """Everything, by place; what is known twice stands there once."""
    found = [*told, *_unreadable(kinds), *map(_refused, refused)]
    for proxy in proxies:
        found += (
            finding(one.code, f"proxy {proxy.name} refuses it: {one.message}", place(one.resource))
            for one in proxy.rejected
        )
        found += (
            finding("PortUnavailable", f"proxy {proxy.name} cannot listen: {one.message}", f"bind {one.name}")
            for one in proxy.binds
            if not one.listening
        )
    found.sort(key=_order)
    return {Ref("", one.metadata.name): one for one in found}


def _order(one: api.Finding) -> tuple[str, int, str]:
    """By file and line, or by object."""
    where, _, line = one.spec.where.rpartition(":")
    return (where, int(line), one.spec.code) if line.isdecimal() else (one.spec.where, 0, one.spec.code)


def place(resource: str) -> str:
    """The object that a resource `KIND/NAME` comes from, as `KIND NAMESPACE/NAME`; a bind is its own."""
    kind, _, name = resource.partition("/")
    parts = name.split("/")
    match kind:
        case snapshot.Kind.ROUTE if len(parts) > 1:
            return f"{parts[0]} {'/'.join(parts[1:])}"
        case snapshot.Kind.BACKEND | snapshot.Kind.ENDPOINTS if len(parts) == _SERVICE_PARTS:
            return f"{parts[0]} {parts[1]}/{parts[2]} port {parts[3]}"
        case snapshot.Kind.LISTENER if len(parts) > 1:
            return f"Gateway {'/'.join(parts[:-1])} listener {parts[-1]}"
        case _:
            return f"{kind} {name}"


def _unreadable(kinds: Mapping[Kind, api.KindState]) -> Iterator[api.Finding]:
    for kind, state in kinds.items():
        if state.problem:
            code, _, message = state.problem.partition(": ")
            yield finding(code, f"cannot be read: {message}", kind.value)


def _refused(rejection: snapshot.Rejection) -> api.Finding:
    where = place(f"{rejection.kind}/{rejection.name}")
    return finding(rejection.reason, f"refused: {rejection.message}", where)
