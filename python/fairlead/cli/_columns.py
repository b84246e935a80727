"""What `fairlead get` shows of each collection: one table per kind of item."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from fairlead import api
from fairlead.cli._table import NONE, age, milliseconds, percent
from fairlead.resources import Condition


class Column(msgspec.Struct, frozen=True):
    """A heading and what stands below it."""

    heading: str
    cell: Callable[[api.Item], str]
    wide: bool = False
    """Only shown with `-o wide`."""


def columns(collection: api.Collection, *, wide: bool, namespaces: bool) -> list[Column]:
    """The columns of a collection; `namespaces` puts the namespace in front."""
    first = [Column("NAMESPACE", lambda item: item.metadata.namespace)]
    first = first if namespaces and collection.namespaced else []
    return first + [column for column in _TABLES[collection] if wide or not column.wide]


def headings(shown: Sequence[Column]) -> list[str]:
    return [column.heading for column in shown]


def row(shown: Sequence[Column], item: api.Item) -> list[str]:
    return [column.cell(item) or NONE for column in shown]


def _name(item: api.Item) -> str:
    return item.metadata.name


def _age(item: api.Item) -> str:
    return age(item.metadata.creation_timestamp, datetime.now(UTC))


def _joined(texts: Iterable[str]) -> str:
    return ",".join(texts)


def _status(conditions: Iterable[Condition], kind: str) -> str:
    return next((one.status for one in conditions if one.type == kind), "Unknown")


def _problem(conditions: Iterable[Condition]) -> str:
    """The first condition that is not as it should be."""
    for one in conditions:
        good = "False" if one.type in {"Conflicted", "PartiallyInvalid"} else "True"
        if one.status != good:
            return f"{one.reason}: {one.message}" if one.message else one.reason
    return ""


def _class(item: api.Item) -> str:
    return item.spec.gateway_class_name if isinstance(item, api.Gateway) else ""


def _addresses(item: api.Item) -> str:
    if not isinstance(item, api.Gateway):
        return ""
    return _joined(address.value for address in item.status.addresses)


def _programmed(item: api.Item) -> str:
    return _status(item.status.conditions, "Programmed") if isinstance(item, api.Gateway) else ""


def _listeners(item: api.Item) -> str:
    if not isinstance(item, api.Gateway):
        return ""
    attached = {listener.name: listener.attached_routes for listener in item.status.listeners}
    return _joined(f"{one.name}:{one.port}({attached.get(one.name, 0)})" for one in item.spec.listeners)


def _gateway_problem(item: api.Item) -> str:
    if not isinstance(item, api.Gateway):
        return ""
    # A listener's own reason says more than the Gateway's "one or more listeners are not valid".
    of_listeners = (
        f"{one.name}: {problem}" for one in item.status.listeners if (problem := _problem(one.conditions))
    )
    return next(of_listeners, "") or _problem(item.status.conditions)


def _hostnames(item: api.Item) -> str:
    return _joined(item.spec.hostnames or ()) if isinstance(item, api.Route) else ""


def _parents(item: api.Item) -> str:
    if not isinstance(item, api.Route):
        return ""
    refs = [entry.parent_ref for entry in item.status.parents]
    return _joined(f"{one.name}/{one.section_name}" if one.section_name else one.name for one in refs)


def _of_parents(kind: str) -> Callable[[api.Item], str]:
    def cell(item: api.Item) -> str:
        if not isinstance(item, api.Route):
            return ""
        found = {_status(entry.conditions, kind) for entry in item.status.parents}
        return found.pop() if len(found) == 1 else "Mixed" if found else "Unknown"

    return cell


def _rules(item: api.Item) -> str:
    return str(len(item.spec.rules or ())) if isinstance(item, api.Route) else ""


def _route_problem(item: api.Item) -> str:
    if not isinstance(item, api.Route):
        return ""
    problems = (_problem(entry.conditions) for entry in item.status.parents)
    return next((problem for problem in problems if problem), "")


def _backend(read: Callable[[api.Backend], str]) -> Callable[[api.Item], str]:
    return lambda item: read(item) if isinstance(item, api.Backend) else ""


def _endpoint(read: Callable[[api.Endpoint], str]) -> Callable[[api.Item], str]:
    return lambda item: read(item) if isinstance(item, api.Endpoint) else ""


def _finding(read: Callable[[api.FindingSpec], str]) -> Callable[[api.Item], str]:
    return lambda item: read(item.spec) if isinstance(item, api.Finding) else ""


def _rate(traffic: api.Traffic | None) -> str:
    rate = traffic.requests_per_second if traffic else None
    return "-" if rate is None else f"{rate:.1f}"


def _success(traffic: api.Traffic | None) -> str:
    return percent(traffic.success_rate if traffic else None)


def _p99(traffic: api.Traffic | None) -> str:
    return milliseconds(traffic.latency_p99_ms if traffic else None)


def _max_connections(item: api.Backend) -> str:
    limit = item.spec.max_connections_per_endpoint
    return "-" if limit is None else str(limit)


def _hashed_by(item: api.Backend) -> str:
    hashing = item.spec.consistent_hash
    if hashing is None:
        return "-"
    return f"{hashing.type}:{hashing.header}" if hashing.header else hashing.type


def _count(name: str) -> Callable[[api.Item], str]:
    return _endpoint(lambda item: str(getattr(item.status.traffic, name)) if item.status.traffic else "-")


def _where(item: api.Endpoint) -> str:
    host = f"[{item.spec.address}]" if ":" in item.spec.address else item.spec.address
    return f"{host}:{item.spec.port}"


_TABLES: dict[api.Collection, list[Column]] = {
    api.Collection.GATEWAYS: [
        Column("NAME", _name),
        Column("CLASS", _class),
        Column("ADDRESS", _addresses),
        Column("PROGRAMMED", _programmed),
        Column("LISTENERS", _listeners, wide=True),
        Column("AGE", _age),
        Column("PROBLEM", _gateway_problem, wide=True),
    ],
    api.Collection.ROUTES: [
        Column("NAME", _name),
        Column("HOSTNAMES", _hostnames),
        Column("PARENTS", _parents),
        Column("ACCEPTED", _of_parents("Accepted")),
        Column("RESOLVED", _of_parents("ResolvedRefs")),
        Column("RULES", _rules, wide=True),
        Column("AGE", _age),
        Column("PROBLEM", _route_problem, wide=True),
    ],
    api.Collection.BACKENDS: [
        Column("NAME", _name),
        Column("READY", _backend(lambda item: f"{item.status.ready}/{item.status.endpoints}")),
        Column("BALANCER", _backend(lambda item: item.spec.load_balancer)),
        Column("RPS", _backend(lambda item: _rate(item.status.traffic))),
        Column("SUCCESS", _backend(lambda item: _success(item.status.traffic))),
        Column("P99", _backend(lambda item: _p99(item.status.traffic))),
        Column("PROTOCOL", _backend(lambda item: item.spec.protocol), wide=True),
        Column("HASHED-BY", _backend(_hashed_by), wide=True),
        Column("MAX-CONNECTIONS", _backend(_max_connections), wide=True),
        Column("RETRIES", _backend(lambda item: str(item.spec.retry_attempts)), wide=True),
        Column("ORIGIN", _backend(lambda item: _joined(sorted(set(item.spec.origins.values())))), wide=True),
    ],
    api.Collection.FINDINGS: [
        Column("WHERE", _finding(lambda spec: spec.where)),
        Column("CODE", _finding(lambda spec: spec.code)),
        Column("MESSAGE", _finding(lambda spec: spec.message)),
    ],
    api.Collection.ENDPOINTS: [
        Column("BACKEND", _endpoint(lambda item: item.spec.backend)),
        Column("ENDPOINT", _endpoint(_where)),
        Column("STATE", _endpoint(lambda item: item.status.state)),
        Column("SHARE", _endpoint(lambda item: percent(item.status.share))),
        Column("SUCCESS", _endpoint(lambda item: _success(item.status.traffic))),
        Column("LATENCY", _endpoint(lambda item: milliseconds(item.status.latency_ms))),
        Column("REQUESTS", _count("requests"), wide=True),
        Column("IN-FLIGHT", _count("in_flight"), wide=True),
        Column("P99", _endpoint(lambda item: _p99(item.status.traffic)), wide=True),
        Column("POD", _endpoint(lambda item: item.spec.pod or ""), wide=True),
        Column("NODE", _endpoint(lambda item: item.spec.node or ""), wide=True),
        Column("ZONE", _endpoint(lambda item: item.spec.zone or ""), wide=True),
        Column("REASON", _endpoint(lambda item: item.status.reason)),
    ],
}
