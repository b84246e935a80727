"""The Structs against the pinned CRDs: every field that is read exists there, with a type that fits."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from fairlead.resources import KINDS, Kind, LabelSelector
from fairlead.sources.directory._schema import schemas, with_defaults

CRD_KINDS = [kind for kind in Kind if (KINDS[kind].group, kind.value) in schemas()]

SCALARS: dict[type, str] = {
    msgspec.inspect.StrType: "string",
    msgspec.inspect.IntType: "integer",
    msgspec.inspect.BoolType: "boolean",
}


def mismatches(struct: type[msgspec.Struct], schema: dict[str, Any], path: str) -> Iterator[str]:
    info = msgspec.inspect.type_info(struct)
    assert isinstance(info, msgspec.inspect.StructType)
    for field in info.fields:
        here = f"{path}.{field.encode_name}"
        inner = schema.get("properties", {}).get(field.encode_name)
        if inner is None:
            yield f"{here} is not in the CRD"
            continue
        yield from type_mismatches(field.type, inner, here)


def type_mismatches(kind: msgspec.inspect.Type, schema: dict[str, Any], path: str) -> Iterator[str]:
    if isinstance(kind, msgspec.inspect.UnionType):
        (kind,) = [part for part in kind.types if not isinstance(part, msgspec.inspect.NoneType)]
    match kind:
        case msgspec.inspect.StructType():
            if kind.cls is not LabelSelector:
                yield from mismatches(kind.cls, schema, path)
        case msgspec.inspect.VarTupleType():
            if schema.get("type") != "array":
                yield f"{path} is not a list in the CRD"
            else:
                yield from type_mismatches(kind.item_type, schema["items"], path + "[]")
        case msgspec.inspect.DictType():
            if schema.get("type") != "object":
                yield f"{path} is not an object in the CRD"
        case _:
            if SCALARS[type(kind)] != schema.get("type"):
                yield f"{path} is {schema.get('type')} in the CRD"


@pytest.mark.parametrize("kind", CRD_KINDS)
def test_every_field_that_is_read_is_in_the_crd(kind: Kind) -> None:
    schema = schemas()[KINDS[kind].group, kind.value][KINDS[kind].version]
    info = msgspec.inspect.type_info(KINDS[kind].type)
    assert isinstance(info, msgspec.inspect.StructType)
    found = []
    for field in info.fields:
        if field.encode_name == "spec":
            found += list(type_mismatches(field.type, schema["properties"]["spec"], "spec"))
    # Fields of the experimental channel: read so that they can be refused, not passed over.
    experimental = {
        "spec.rules[].retry is not in the CRD",
        "spec.rules[].sessionPersistence is not in the CRD",
    }
    assert set(found) - experimental == set()


@pytest.mark.parametrize("kind", CRD_KINDS)
def test_the_version_that_is_read_is_served(kind: Kind) -> None:
    assert KINDS[kind].version in schemas()[KINDS[kind].group, kind.value]


def test_defaulting_does_what_the_api_server_does() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "a": {"type": "object", "default": {}, "properties": {"b": {"type": "integer", "default": 3}}},
            "c": {"type": "array", "items": {"type": "object", "properties": {"d": {"default": "x"}}}},
            "e": {"type": "string", "nullable": True, "default": "y"},
            "f": {"type": "string", "default": "z"},
        },
    }
    assert with_defaults({"c": [{}], "e": None, "f": None}, schema) == {
        "a": {"b": 3},
        "c": [{"d": "x"}],
        "e": None,
        "f": "z",
    }
