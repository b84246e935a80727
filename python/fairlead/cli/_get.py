"""`fairlead get`: lists of what the running instance knows, in the manner of kubectl."""

import json
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from fairlead import api
from fairlead.cli._client import Client
from fairlead.cli._columns import columns, headings, row
from fairlead.cli._discovery import find_socket
from fairlead.cli._errors import NotFoundError, UsageError
from fairlead.cli._table import lines

DEFAULT_NAMESPACE = "default"
_FINDINGS = 10
"""How many findings are told where nothing else is to be shown."""

_WORDS = {
    api.Collection.GATEWAYS: ("gateways", "gateway", "gtw"),
    api.Collection.ROUTES: ("routes", "route", "httproutes", "httproute"),
    api.Collection.BACKENDS: ("backends", "backend"),
    api.Collection.ENDPOINTS: ("endpoints", "endpoint", "ep"),
    api.Collection.FINDINGS: ("findings", "finding"),
}
_KIND_WORDS = {
    api.Collection.GATEWAYS: "gateway.gateway.networking.k8s.io",
    api.Collection.ROUTES: "httproute.gateway.networking.k8s.io",
    api.Collection.BACKENDS: "backend",
    api.Collection.ENDPOINTS: "endpoint",
    api.Collection.FINDINGS: "finding",
}


class Output(StrEnum):
    """How items are shown."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


def get(
    what: str,
    name: str | None = None,
    /,
    *,
    namespace: Annotated[str, Parameter(alias="-n")] = DEFAULT_NAMESPACE,
    all_namespaces: Annotated[bool, Parameter(alias="-A", negative=())] = False,
    output: Annotated[Output, Parameter(alias="-o")] = Output.TABLE,
    watch: Annotated[bool, Parameter(alias="-w", negative=())] = False,
    no_headers: Annotated[bool, Parameter(negative=())] = False,
    address: str | None = None,
) -> int:
    """Shows gateways, routes, backends, endpoints or findings of the running instance.

    Parameters
    ----------
    what
        gateways, routes, backends, endpoints, or findings: what is wrong, and where.
    name
        Only this one. For backends and endpoints: SERVICE or SERVICE:PORT. For findings: FILE, FILE:LINE or an object.
    namespace
        The namespace to look into. Findings are in none.
    all_namespaces
        Look into all namespaces.
    output
        table, wide, json, yaml or name.
    watch
        Show the items, then every change, until stopped.
    no_headers
        Leave the headings out.
    address
        The instance's socket; else FAIRLEAD_ADDRESS, else the only running instance.
    """
    collection = _collection(what)
    if name is not None and all_namespaces:
        raise UsageError("an item cannot be named across all namespaces", hint="use -n NAMESPACE")
    asked = _Asked(
        collection=collection,
        name=name,
        namespace="" if all_namespaces or not collection.namespaced else namespace,
        output=output,
        no_headers=no_headers,
    )
    client = Client(find_socket(address))
    if watch:
        _watch(client, asked)
    else:
        _list(client, asked)
    return 0


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What to show, and how."""

    collection: api.Collection
    name: str | None
    namespace: str
    """Empty for all."""
    output: Output
    no_headers: bool

    def wants(self, item: api.Item) -> bool:
        """Whether the item has the name that was asked for."""
        if self.name is None:
            return True
        full = item.metadata.name
        if isinstance(item, api.Finding):
            return self.name in {full, item.spec.where, item.spec.where.rpartition(":")[0]}
        backend = full.partition("/")[0]
        if isinstance(item, api.Backend | api.Endpoint):
            return self.name in {full, backend, backend.rpartition(":")[0]}
        return self.name == full


def _list(client: Client, asked: _Asked) -> None:
    answer = json.loads(client.list(asked.collection, asked.namespace, asked.name or ""))
    kind = api.ITEM_TYPES[asked.collection]
    found = [(raw, msgspec.convert(raw, kind)) for raw in answer["items"]]
    found = [(raw, item) for raw, item in found if asked.wants(item)]
    if asked.name is not None and not found:
        where = f" in namespace {asked.namespace}" if asked.namespace else ""
        raise NotFoundError(f'{asked.collection} "{asked.name}" not found{where}')
    match asked.output:
        case Output.JSON | Output.YAML:
            raws = [raw for raw, _ in found]
            whole = {"apiVersion": "v1", "kind": "List", "items": raws}
            _dump(raws[0] if asked.name is not None and len(raws) == 1 else whole, asked.output)
        case Output.NAME:
            _print(_named(asked, item) for _, item in found)
        case _:
            if found:
                _print(_table(asked, [item for _, item in found]))
            else:
                _say_nothing(client, asked, answer.get("elsewhere", 0))


def _watch(client: Client, asked: _Asked) -> None:
    kind = api.ITEM_TYPES[asked.collection]
    first: list[api.Item] | None = []
    for line in client.watch(asked.collection, asked.namespace, asked.name or ""):
        event = json.loads(line)
        if event["type"] == api.WatchType.BOOKMARK:
            if first is not None:
                # Only now are the widths of the columns known.
                _print(_table(asked, first))
                first = None
            continue
        item = msgspec.convert(event["object"], kind)
        if not asked.wants(item):
            continue
        match asked.output:
            case Output.JSON | Output.YAML:
                _dump(event["object"], asked.output)
            case Output.NAME:
                _print([_named(asked, item)])
            case _ if first is not None:
                first.append(item)
            case _:
                _print(_table(asked, [item], headed=False))


def _table(asked: _Asked, items: list[api.Item], *, headed: bool = True) -> Iterator[str]:
    if asked.output not in {Output.TABLE, Output.WIDE}:
        return
    shown = columns(asked.collection, wide=asked.output is Output.WIDE, namespaces=not asked.namespace)
    rows = [row(shown, item) for item in items]
    head = [headings(shown)] if headed and not asked.no_headers else []
    yield from lines([*head, *rows], [len(column.heading) for column in shown])


def _collection(word: str) -> api.Collection:
    for collection, words in _WORDS.items():
        if word.lower() in words:
            return collection
    known = ", ".join(api.Collection)
    raise UsageError(f'"{word}" cannot be listed', hint=f"known are: {known}")


def _named(asked: _Asked, item: api.Item) -> str:
    return f"{_KIND_WORDS[asked.collection]}/{item.metadata.name}"


def _dump(body: Any, output: Output) -> None:
    if output is Output.JSON:
        _print([json.dumps(body, indent=4)])
        return
    import yaml

    text = yaml.safe_dump(body, sort_keys=False, allow_unicode=True)
    _print(["---", text.rstrip()] if "items" not in body and not sys.stdout.isatty() else [text.rstrip()])


def _print(texts: Iterable[str]) -> None:
    for text in texts:
        sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _say_nothing(client: Client, asked: _Asked, elsewhere: int) -> None:
    """Why there is nothing to show."""
    where = f" in namespace {asked.namespace}" if asked.namespace else " in any namespace"
    sys.stderr.write(f"No {asked.collection} found{where if asked.collection.namespaced else ''}.\n")
    if elsewhere:
        sys.stderr.write(f"hint: {elsewhere} in other namespaces: use -A\n")
    instance = client.instance()
    if not instance.ready:
        problems = "".join(f", {kind.kind}: {kind.problem}" for kind in instance.kinds if kind.problem)
        sys.stderr.write(f"hint: not everything has been read yet{problems}\n")
    found = [] if asked.collection is api.Collection.FINDINGS else [one.spec for one in client.findings()]
    for finding in found[:_FINDINGS]:
        sys.stderr.write(f"finding: {finding.where}: {finding.message} ({finding.code})\n")
    if len(found) > _FINDINGS:
        sys.stderr.write(f"hint: {len(found) - _FINDINGS} more: fairlead get findings\n")
