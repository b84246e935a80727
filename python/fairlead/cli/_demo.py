"""`fairlead demo`: the main job to watch, without a cluster."""

import re
from typing import Annotated

from cyclopts import Parameter

from fairlead.cli._errors import UsageError
from fairlead.lab import Scene, play

SECONDS_PER_SCENE = 12.0
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "ms": 0.001}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|)")


def demo(
    *,
    scene: Scene | None = None,
    for_: Annotated[str | None, Parameter(name="--for")] = None,
) -> int:
    """Starts sample Pods as local processes, a gateway in front, and a client that counts what is lost.

    On a terminal it shows a live table; elsewhere it prints a summary. Exits with 1 if a request was lost.

    Parameters
    ----------
    scene
        Only this scene; else all of them, one after the other.
    for_
        How long each scene lasts, such as 15s or 1m.
    """
    seconds = SECONDS_PER_SCENE if for_ is None else _seconds(for_)
    return play([scene] if scene else list(Scene), seconds)


def _seconds(text: str) -> float:
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise UsageError(f'"{text}" is not a duration', hint="write it like 15s or 1m")
    seconds = float(found[1]) * _UNITS[found[2]]
    if not 1 <= seconds <= 3600:
        raise UsageError("a scene lasts from 1s to 60m")
    return seconds
