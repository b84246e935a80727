"""What is measured, and what Fairlead is held to."""

from __future__ import annotations

import msgspec


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of load."""

    name: str
    connections: int = 64
    path: str = "/"
    rate: int = 0
    """Arrivals per second; 0 is a closed loop, in which the proxy is saturated."""
    endpoints: int = 4
    warm_up_s: float = 0.15
    """Load before the measurement, enough that every endpoint has its connections: also where few are in use at once."""
    target: float
    """The most CPU per request that Fairlead may take, as a ratio to the better peer."""
    p99_target: float | None = None
    """The same for the 99th percentile of latency, where it is held to one."""


MANY_ENDPOINTS = 4_000

CASES = (
    Case(name="100 B, 64 connections, saturated", target=0.78),
    Case(name="100 B, 512 connections, saturated", connections=512, target=0.62),
    Case(name="16 KiB, 64 connections, saturated", path="/16k", target=0.75),
    Case(name="100 B, open loop, 5,000/s", rate=5_000, warm_up_s=0.5, target=0.95),
    Case(name="100 B, open loop, 20,000/s", rate=20_000, warm_up_s=0.5, target=0.90, p99_target=1.0),
    Case(name="100 B, 64 connections, 4,000 endpoints", endpoints=MANY_ENDPOINTS, warm_up_s=1.5, target=0.80),
)

PORTS = (9001, 9002, 9003, 9004)
"""Of the backend; every address of the loopback network answers there."""

SYSTEM_CALLS_MAX = 4.2
INSTRUCTIONS_MAX = 9_500
ALLOCATIONS_MAX = 0.0
IDLE_BYTES_MAX = 300
CHANGE_CPU_US_MAX = 100
PICK_NS_MAX = 30
WEIGHTED_PICK_NS_MAX = 100
PREFIX_ERROR_MAX = 2.5
WORKER_RATIO_MAX = 2.0
"""Connections of the fullest worker over those of the emptiest."""
DECODE_MS_MAX = 50
KEPT_MB_MAX = 15
"""Of a list of 20,000 endpoints."""
WAIT_MS_MAX = 10
"""Of an endpoint change while all of 10,000 Routes change."""


def servers(count: int) -> list[tuple[str, int]]:
    """So many different addresses and ports of the one backend."""
    found = []
    for index in range(count):
        host, port = divmod(index, len(PORTS))
        found.append((f"127.1.{host // 250}.{host % 250 + 1}", PORTS[port]))
    return found
