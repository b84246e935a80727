"""What was in force of a directory, in a file of the instance: so that a restart loses nothing.

While a file of the directory is broken, objects that it held stay; the controller that starts meanwhile cannot know
them from the directory. JSON lines: a head that names the directory, then an object per line.

Law: a record that cannot be used is no record; of one in use, a line that cannot be is left out.
"""

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from fairlead.base import UNDECODABLE, get_logger, replace_record

FORMAT = 1


class Recorded(msgspec.Struct, frozen=True):
    """An object that was in force."""

    path: str
    """The file that said it, relative to the directory."""
    content: dict[str, Any]
    """With defaults, as the file's document would be written in full."""


class _Head(msgspec.Struct, frozen=True):
    format: int
    directory: str


def load(record: Path, directory: Path) -> list[Recorded]:
    """What was recorded of `directory`; nothing where there is no usable record of it."""
    try:
        head, *lines = record.read_bytes().splitlines() or [b""]
        if msgspec.json.decode(head, type=_Head) != _head(directory):
            return []
    except FileNotFoundError:
        return []
    except (OSError, *UNDECODABLE) as error:
        get_logger("directory").warning("record not used", path=str(record), error=str(error))
        return []
    return list(_decoded(lines))


def save(record: Path, directory: Path, objects: Iterable[Recorded]) -> None:
    """Replaces the record. Raises OSError."""
    # Piece by piece: other threads may go on in between.
    replace_record(record, chain([msgspec.json.encode(_head(directory))], _encoded(objects)))


def _head(directory: Path) -> _Head:
    return _Head(FORMAT, os.fsencode(directory.absolute()).decode(errors="backslashreplace"))


def _encoded(objects: Iterable[Recorded]) -> Iterator[bytes]:
    for item in objects:
        try:
            yield b"\n" + msgspec.json.encode(item)
        except (TypeError, ValueError):
            continue  # YAML can say what JSON cannot: a key that is a list, a file's name that is no text


def _decoded(lines: Iterable[bytes]) -> Iterator[Recorded]:
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=Recorded)
        except UNDECODABLE:
            continue
