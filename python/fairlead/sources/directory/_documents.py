"""Text to documents: YAML as Kubernetes reads it, each document by itself.

Laws:
1. A line that starts with `---` ends a document whatever stands before it (YAML 1.2, section 9.1.2), so a
   syntax error spoils one document, not the file.
2. Values are those of Kubernetes' own decoder: timestamps and `12:30` are strings, a key must not occur twice.
3. Aliases may not blow a document up beyond `MAX_NODES`.
4. However deep a document is nested, the process lives. So libyaml, where there is one, finds the events (several
   times as fast), but nodes are made of them in Python, where a limit holds: libyaml's binding overruns the stack.
"""

import re
from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

MAX_NODES = 1_000_000

_SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)


class Document(msgspec.Struct, frozen=True):
    """One document of a file: a mapping, or the reason why it could not be read."""

    line: int
    """Where it starts, counted from 1."""
    value: dict[str, Any] | None = None
    error: str | None = None


if TYPE_CHECKING or not yaml.__with_libyaml__:
    _SafeLoader = yaml.SafeLoader
else:
    from yaml.composer import Composer
    from yaml.constructor import SafeConstructor
    from yaml.cyaml import CParser
    from yaml.resolver import Resolver

    class _SafeLoader(Composer, CParser, SafeConstructor, Resolver):
        """yaml.CSafeLoader, but with the Composer in front of libyaml's (law 4)."""

        def __init__(self, stream: str) -> None:
            CParser.__init__(self, stream)
            Composer.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)


class _Loader(_SafeLoader):
    """SafeLoader without YAML 1.1's timestamps and sexagesimal numbers, and strict about keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f'the key "{key.value}" occurs twice', key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


_INT = re.compile(r"^(?:[-+]?0b[01_]+|[-+]?0o?[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+)$")
_FLOAT = re.compile(
    r"^(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_DROPPED = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _DROPPED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def documents(text: str) -> Iterator[Document]:
    """The documents of a file; empty ones are left out, the items of a `kind: List` stand alone."""
    start, line = 0, 1
    for match in [*_SEPARATOR.finditer(text), None]:
        end = match.start() if match else len(text)
        part = text[start:end]
        yield from _document(part, line)
        line += part.count("\n")
        if match:
            start = match.end()


def _document(text: str, line: int) -> Iterator[Document]:
    # Where the first content stands is where a user looks for the document.
    lead = len(text) - len(text.lstrip("\n\r \t"))
    first_line = line + text[:lead].count("\n")
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # What is never closed is found to be missing at the document's end: its last line with anything in it.
        at = line + min(mark.line, text.rstrip().count("\n")) if mark else first_line
        yield Document(at, error=error.problem or "cannot be read as YAML")
        return
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        yield Document(first_line, error=str(error).splitlines()[0] or "cannot be read as YAML")
        return
    if value is None:
        return
    if not isinstance(value, dict):
        yield Document(first_line, error="is not a mapping")
        return
    if _too_large(value):
        yield Document(first_line, error=f"has more than {MAX_NODES} values once its aliases are expanded")
        return
    if value.get("kind") == "List" and isinstance(value.get("items"), list):
        for item in value["items"]:
            if isinstance(item, dict):
                yield Document(first_line, value=item)
            else:
                yield Document(first_line, error="has a list item that is not a mapping")
        return
    yield Document(first_line, value=value)


def _too_large(value: object) -> bool:
    left = MAX_NODES
    stack = [value]
    while stack:
        left -= 1
        if left < 0:
            return True
        node = stack.pop()
        if isinstance(node, dict):
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
    return False
