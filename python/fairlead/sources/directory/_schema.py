"""Defaults and validation by the pinned CRDs, as an API server does it, without CEL.

Order (Kubernetes' own): nulls that are not nullable are dropped, defaults are filled in, then the result is
validated. A field that the schema does not know is refused, as `kubectl apply` does by default.
"""

from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

import jsonschema
import yaml

from fairlead.resources import KINDS, Kind

Schema = dict[str, Any]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where there is one: it reads the pinned CRDs ten times as fast."""

_CRDS = "fairlead.sources.crds"
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING = "x-kubernetes-int-or-string"


@cache
def schemas() -> dict[tuple[str, str], dict[str, Schema]]:
    """(group, kind) to the schema of each served version."""
    found: dict[tuple[str, str], dict[str, Schema]] = {}
    for entry in sorted(resources.files(_CRDS).iterdir(), key=lambda item: item.name):
        if not entry.name.endswith(".yaml"):
            continue
        for crd in yaml.load_all(entry.read_text(), Loader=_LOADER):
            if not crd or crd.get("kind") != "CustomResourceDefinition":
                continue
            spec = crd["spec"]
            found[spec["group"], spec["names"]["kind"]] = {
                version["name"]: version["schema"]["openAPIV3Schema"]
                for version in spec["versions"]
                if version["served"]
            }
    return found


def schema_for(kind: Kind, version: str) -> Schema | None:
    """The schema of a kind at a served version; None for kinds of Kubernetes itself."""
    return schemas().get((KINDS[kind].group, kind.value), {}).get(version)


def served_versions(kind: Kind) -> frozenset[str]:
    """The versions at which a kind may be written."""
    found = schemas().get((KINDS[kind].group, kind.value))
    return frozenset(found) if found else frozenset({KINDS[kind].version})


def with_defaults(value: Any, schema: Schema) -> Any:
    """`value` with the schema's defaults filled in and its stray nulls dropped; the argument stays as it is."""
    if isinstance(value, dict):
        properties: dict[str, Schema] = schema.get("properties", {})
        extra = schema.get("additionalProperties")
        result = {}
        for key, item in value.items():
            inner = properties.get(key) or (extra if isinstance(extra, dict) else None)
            if inner is None:
                result[key] = item
            elif item is not None or inner.get("nullable"):
                result[key] = with_defaults(item, inner)
        for key, inner in properties.items():
            if key not in result and "default" in inner:
                result[key] = with_defaults(inner["default"], inner)
        return result
    if isinstance(value, list) and isinstance(items := schema.get("items"), dict):
        return [with_defaults(item, items) for item in value]
    return value


def problems(value: Any, schema: Schema) -> list[str]:
    """What the schema refuses in `value`, each as `FIELD: why`, in the order of the fields."""
    found = [f"{path}: is not a field of this kind" for path in _unknown(value, schema, "")]
    validator = _validator(_Frozen(schema))
    for error in sorted(validator.iter_errors(value), key=lambda e: list(map(str, e.path))):
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
        message = error.message if len(error.message) <= 200 else error.message[:200] + "…"
        found.append(f"{place.lstrip('.') or 'object'}: {message}")
    return found


class _Frozen:
    """A schema as a cache key: equal when it is the same object."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Frozen) and other.schema is self.schema

    def __hash__(self) -> int:
        return id(self.schema)


@cache
def _validator(schema: _Frozen) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema.schema)


def _unknown(value: Any, schema: Schema, path: str) -> Iterator[str]:
    if schema.get(_PRESERVE) or schema.get(_INT_OR_STRING):
        return
    if isinstance(value, dict):
        properties: dict[str, Schema] | None = schema.get("properties")
        extra = schema.get("additionalProperties")
        if properties is None and not isinstance(extra, dict):
            return  # metadata and other free-form objects
        for key, item in value.items():
            here = f"{path}.{key}" if path else str(key)
            inner = (properties or {}).get(key) or (extra if isinstance(extra, dict) else None)
            if inner is None:
                yield here
            else:
                yield from _unknown(item, inner, here)
    elif isinstance(value, list) and isinstance(items := schema.get("items"), dict):
        for index, item in enumerate(value):
            yield from _unknown(item, items, f"{path}[{index}]")
