"""What a pick costs at 10,000 Endpoints, and how even weighted turns are."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec


class PickCost(msgspec.Struct, frozen=True):
    """One way to balance."""

    name: str
    weighted: bool
    pick_ns: float
    update_us: float
    """One Endpoint more or less."""
    prefix_error: float | None
    """The greatest distance of an Endpoint's count from its share, over all prefixes of the picks; of turns only."""


def measure(program: Path, core: int) -> list[PickCost]:
    """Runs the balancers' own program on this core."""
    command = ["taskset", "--cpu-list", str(core), str(program), "--json"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=300)
    return msgspec.json.decode(done.stdout, type=list[PickCost])
