"""What it costs to take in a list of 20,000 endpoints: `python -m bench.decode`.

The list has the shape of a real one: 200 EndpointSlices of 100 endpoints, with managedFields, owner references
and target references. Printed are figures, nothing is asserted: time to split it and decode it, and to take it in
through reflector and store; the longest time for which the event loop was held meanwhile; memory that stays.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import msgspec

from bench.control import TakenIn, Times
from fairlead.kube import Follower, Reflector, ServerHealth, Store, service_of_slice
from fairlead.kube._decode import ItemDecoder, split_list
from fairlead.resources import EndpointSlice

SERVICES, SLICES_EACH, ENDPOINTS_EACH = 50, 4, 100


def endpoint(slice_: int, index: int) -> dict[str, Any]:
    number = slice_ * ENDPOINTS_EACH + index
    pod = f"web-{slice_ // SLICES_EACH}-7d9c5b8f6d-{number:05x}"
    return {
        "addresses": [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "nodeName": f"node-{number % 300}",
        "targetRef": {
            "kind": "Pod",
            "name": pod,
            "namespace": f"team-{slice_ % 7}",
            "uid": f"00000000-0000-4000-8000-{number:012x}",
        },
        "zone": f"zone-{number % 3}",
    }


def endpoint_slice(number: int) -> dict[str, Any]:
    service = f"web-{number // SLICES_EACH}"
    fields: dict[str, Any] = {
        "f:addressType": {},
        "f:endpoints": {},
        "f:metadata": {"f:labels": {".": {}, "f:kubernetes.io/service-name": {}}, "f:generateName": {}},
        "f:ports": {},
    }
    return {
        "metadata": {
            "name": f"{service}-{number:05x}",
            "generateName": f"{service}-",
            "namespace": f"team-{number % 7}",
            "uid": f"10000000-0000-4000-8000-{number:012x}",
            "resourceVersion": str(1_000_000 + number),
            "generation": 7,
            "creationTimestamp": "2026-11-01T00:00:00Z",
            "labels": {
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                "kubernetes.io/service-name": service,
            },
            "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "2026-11-01T00:00:00Z"},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Service", "name": service, "uid": "2", "controller": True}
            ],
            "managedFields": [
                {
                    "manager": "kube-controller-manager",
                    "operation": "Update",
                    "apiVersion": "discovery.k8s.io/v1",
                    "time": "2026-11-01T00:00:00Z",
                    "fieldsType": "FieldsV1",
                    "fieldsV1": fields,
                }
            ],
        },
        "addressType": "IPv4",
        "endpoints": [endpoint(number, index) for index in range(ENDPOINTS_EACH)],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }


def milliseconds(work: Callable[[], object], runs: int) -> Times:
    """Best and median."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1000)
    return spread(times)


def spread(times: list[float]) -> Times:
    return Times(best=min(times), median=statistics.median(times))


class Server:
    """Answers one list from memory; its watch stays open and silent."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def list_(self, path: str, *, version: str = "", limit: int = 0, continue_token: str = "") -> bytes:
        del path, version, limit, continue_token
        return self._body

    @asynccontextmanager
    async def watch(
        self, path: str, *, version: str, seconds: int
    ) -> AsyncIterator[AsyncIterator[list[bytes]]]:
        del path, version

        async def lines() -> AsyncIterator[list[bytes]]:
            await asyncio.sleep(seconds)
            yield []

        yield lines()


async def take_in(body: bytes) -> tuple[float, float, Store[EndpointSlice]]:
    """Milliseconds to take the list in, the longest hold of the loop, and the store."""
    store: Store[EndpointSlice] = Store(service_of_slice)
    watching = asyncio.Event()

    async def ready() -> bool:
        return True

    def emit(changes: object) -> None:
        if len(store) == SERVICES * SLICES_EACH:
            watching.set()
        del changes

    follower = Follower(
        Reflector(store, random=Random(1)),
        api=Server(body),
        path="/",
        type_=EndpointSlice,
        health=ServerHealth(ready, random=Random(1)),
        emit=emit,
    )
    longest = 0.0

    async def measure() -> None:
        nonlocal longest
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now

    start = time.perf_counter()
    meter, follow = asyncio.create_task(measure()), asyncio.create_task(follower.run())
    await watching.wait()
    took = time.perf_counter() - start
    for task in (meter, follow):
        task.cancel()
    await asyncio.wait([meter, follow])
    return took * 1000, longest * 1000, store


def measure(runs: int) -> TakenIn:
    """All of it."""
    slices = [endpoint_slice(number) for number in range(SERVICES * SLICES_EACH)]
    body = msgspec.json.encode({"metadata": {"resourceVersion": "2000000"}, "items": slices})
    del slices
    decoder = ItemDecoder(EndpointSlice)
    decoded = milliseconds(lambda: [decoder.decode(raw) for raw in split_list(body).items], runs)
    taken = [asyncio.run(take_in(body)) for _ in range(runs)]
    stored, held = spread([took for took, _, _ in taken]), spread([hold for _, hold, _ in taken])
    del taken
    gc.collect()
    tracemalloc.start()
    store = asyncio.run(take_in(body))[2]
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0]
    del store
    return TakenIn(
        endpoints=SERVICES * SLICES_EACH * ENDPOINTS_EACH,
        json_mb=len(body) / 1e6,
        decode_ms=decoded,
        store_ms=stored,
        hold_ms=held,
        kept_mb=kept / 1e6,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args()
    found = measure(options.runs)
    if options.json:
        print(msgspec.json.encode(found).decode())
        return
    print(f"{found.endpoints:,} endpoints, {found.json_mb:.2f} MB of JSON, {options.runs} runs")
    for name, times in (
        ("split and decode", found.decode_ms),
        ("through reflector and store, in slices", found.store_ms),
        ("  longest hold of the event loop", found.hold_ms),
    ):
        print(f"{name:<44} best {times.best:8.2f} ms   median {times.median:8.2f} ms")
    print(f"{'memory that stays in the store':<44} {found.kept_mb:13.2f} MB")


if __name__ == "__main__":
    main()
