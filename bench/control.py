"""What the controller is held to: taking in a long list, and endpoint changes that do not wait for configuration work.

Both are programs of their own (`bench.decode`, `bench.lanes`): what they measure is a whole process.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import msgspec

from bench.build import ROOT

ROUTES = 10_000
ENDPOINTS = 20_000
_PATIENCE_S = 180.0


class Times(msgspec.Struct, frozen=True):
    """Of several runs, in milliseconds."""

    best: float
    median: float


class TakenIn(msgspec.Struct, frozen=True):
    """A list of EndpointSlices, from bytes to the store."""

    endpoints: int
    json_mb: float
    decode_ms: Times
    """Splitting the list and decoding its items."""
    store_ms: Times
    """Through reflector and store, in slices."""
    hold_ms: Times
    """The longest hold of the event loop meanwhile."""
    kept_mb: float
    """What stays in memory."""


class Waits(msgspec.Struct, frozen=True):
    """What waiting cost, in milliseconds; computing leaves out what other processes took."""

    p50: float
    p99: float
    longest: float


class Scene(msgspec.Struct, frozen=True):
    """Endpoint changes while all Routes change."""

    name: str
    seconds: float
    computed_s: float
    changes: int
    wall_ms: Waits
    computing_ms: Waits
    holds_ms: dict[str, tuple[float, float]]
    """The longest of each kind, most first: wall, computing."""


class Lanes(msgspec.Struct, frozen=True):
    """A whole controller, scene by scene."""

    routes: int
    endpoints: int
    scenes: list[Scene]


class Control(msgspec.Struct, frozen=True):
    """Both."""

    taken_in: TakenIn
    lanes: Lanes


def measure(
    prefix: Sequence[str] = (), *, routes: int = ROUTES, endpoints: int = ENDPOINTS, runs: int = 15
) -> Control:
    """Runs both programs, behind these words, on this interpreter's Fairlead."""
    decode = _told(prefix, "bench.decode", "--runs", str(runs))
    lanes = _told(prefix, "bench.lanes", "--routes", str(routes), "--endpoints", str(endpoints))
    return Control(
        taken_in=msgspec.json.decode(decode, type=TakenIn), lanes=msgspec.json.decode(lanes, type=Lanes)
    )


def _told(prefix: Sequence[str], module: str, *words: str) -> bytes:
    command = [*prefix, sys.executable, "-m", module, "--json", *words]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=_PATIENCE_S).stdout
