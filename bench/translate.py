"""How long an endpoint change waits while every Route is translated anew.

Method: ROUTES HTTPRoutes, each with a Service of its own and ENDPOINTS / ROUTES ready Pods, are translated
once. Then a Listener is renamed, so that every Route changes, and the two lanes run as the
controller runs them: the endpoint lane first, then a slice of configuration work of at most SLICE_MS.
One endpoint changes at the start of every slice, which is the worst moment for it; its wait is the time
until its EndpointsDelta has been made. The garbage collector is frozen after the first translation, as in
the controller. At the end one Service with all ENDPOINTS has one Pod replaced again and again.

    python bench/translate.py [--routes 10000] [--endpoints 20000] [--slice-ms 2]
"""

import argparse
import gc
import resource
import statistics
import time
from collections.abc import Iterator

from fairlead import resources as k8s
from fairlead.resources import Kind, Object, kind_of
from fairlead.sources import Synced, Upserted
from fairlead.translate import CONTROLLER_NAME, AddressBook, TranslateSettings, Translator

PER_SLICE = 100


def meta(name: str, namespace: str = "bench", **labels: str) -> k8s.ObjectMeta:
    return k8s.ObjectMeta(
        name=name,
        namespace=namespace,
        uid=f"uid-{name}",
        generation=1,
        creation_timestamp="2026-01-01T00:00:00Z",
        labels={key.replace("_", "/"): value for key, value in labels.items()} or None,
    )


def endpoint(number: int, generation: int = 0) -> k8s.Endpoint:
    return k8s.Endpoint(
        addresses=(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",),
        conditions=k8s.EndpointConditions(ready=True, serving=True, terminating=False),
        target_ref=k8s.ObjectReference(
            kind="Pod", name=f"pod-{number}-{generation}", uid=f"uid-{number}-{generation}"
        ),
        node_name=f"node-{number % 50}",
        zone=f"zone-{number % 3}",
    )


def slice_(service: str, number: int, endpoints: list[k8s.Endpoint]) -> k8s.EndpointSlice:
    labels = {"kubernetes.io/service-name": service}
    return k8s.EndpointSlice(
        metadata=k8s.ObjectMeta(name=f"{service}-{number}", namespace="bench", labels=labels),
        endpoints=tuple(endpoints),
        ports=(k8s.EndpointPort(name="http", port=8080, protocol="TCP"),),
    )


def service(name: str) -> k8s.Service:
    return k8s.Service(
        metadata=meta(name), spec=k8s.ServiceSpec(ports=(k8s.ServicePort(port=80, name="http"),))
    )


def route(name: str, target: str) -> k8s.HTTPRoute:
    return k8s.HTTPRoute(
        metadata=meta(name),
        spec=k8s.HTTPRouteSpec(
            parent_refs=(k8s.ParentReference(name="gw"),),
            hostnames=(f"{name}.example.com",),
            rules=(
                k8s.HTTPRouteRule(
                    matches=(k8s.HTTPRouteMatch(path=k8s.HTTPPathMatch(type="PathPrefix", value="/api")),),
                    backend_refs=(k8s.BackendRef(name=target, port=80),),
                ),
            ),
        ),
    )


def gateway(listener: str) -> k8s.Gateway:
    return k8s.Gateway(
        metadata=meta("gw"),
        spec=k8s.GatewaySpec(
            gateway_class_name="fairlead",
            listeners=(k8s.Listener(name=listener, port=8080, protocol="HTTP"),),
        ),
    )


def universe(routes: int, endpoints: int) -> Iterator[Object]:
    yield k8s.GatewayClass(
        metadata=meta("fairlead", ""), spec=k8s.GatewayClassSpec(controller_name=CONTROLLER_NAME)
    )
    yield k8s.Namespace(metadata=meta("bench", ""))
    yield gateway("before")
    each = endpoints // routes
    for number in range(routes):
        yield service(f"s{number}")
        yield slice_(f"s{number}", 0, [endpoint(number * each + index) for index in range(each)])
        yield route(f"r{number}", f"s{number}")


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


class Clock:
    """Reads the wall, and what this thread computed: they differ by what other processes took."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def start(self) -> None:
        self._begun = time.perf_counter(), time.thread_time()

    def stop(self) -> None:
        self.wall.append(time.perf_counter() - self._begun[0])
        self.cpu.append(time.thread_time() - self._begun[1])

    def describe(self, name: str) -> None:
        print(f"{name}, {len(self.wall)} times")
        for kind, values in (("wall", self.wall), ("computing", self.cpu)):
            print(
                f"    {kind:9} mean {milliseconds(statistics.fmean(values))}, "
                f"p99 {milliseconds(percentile(values, 0.99))}, max {milliseconds(max(values))}"
            )


def drain(translator: Translator) -> float:
    start = time.perf_counter()
    while not translator.idle:
        translator.endpoints_lane()
        translator.configuration_lane(lambda: True)
    return time.perf_counter() - start


def retranslate(translator: Translator, routes: int, endpoints: int, budget: float) -> None:
    each = endpoints // routes
    waits, slices = Clock(), Clock()
    sent = 0
    start = time.perf_counter()
    translator.apply([Upserted(Kind.GATEWAY, gateway("after"), start)])
    number = 0
    while not translator.idle:
        number += 1
        target = number * 7919 % routes
        born = time.perf_counter()
        waits.start()
        slices.start()
        deadline = born + budget
        delta = translator.configuration_lane(lambda end=deadline: time.perf_counter() < end)  # type: ignore[misc]
        slices.stop()
        sent += 0 if delta is None else len(delta.upserts)
        changed = slice_(f"s{target}", 0, [endpoint(target * each + index, number) for index in range(each)])
        translator.apply([Upserted(Kind.ENDPOINT_SLICE, changed, born)])
        lane = translator.endpoints_lane()
        assert lane is not None
        assert lane.endpoints
        waits.stop()
    total = time.perf_counter() - start
    assert sent >= routes, sent
    print(
        f"retranslation of {routes} routes: {total:.2f} s in {len(slices.wall)} slices, {sent} resources sent"
    )
    slices.describe("  slice of configuration work")
    waits.describe("  endpoint change: wait until its delta is made")


def large_service(endpoints: int) -> None:
    translator = Translator(TranslateSettings(), AddressBook())
    chunks = [
        [endpoint(number) for number in range(first, min(first + PER_SLICE, endpoints))]
        for first in range(0, endpoints, PER_SLICE)
    ]
    objects: list[Object] = [
        k8s.GatewayClass(
            metadata=meta("fairlead", ""), spec=k8s.GatewayClassSpec(controller_name=CONTROLLER_NAME)
        ),
        k8s.Namespace(metadata=meta("bench", "")),
        gateway("before"),
        service("big"),
        route("big", "big"),
        *(slice_("big", number, chunk) for number, chunk in enumerate(chunks)),
    ]
    translator.apply([Upserted(kind_of(item), item, 0.0) for item in objects])
    translator.apply([Synced(kind) for kind in Kind])
    first = drain(translator)
    gc.collect()
    gc.freeze()
    times = Clock()
    for turn in range(1, 51):
        at = turn * 37 % len(chunks)
        chunks[at] = [endpoint(at * PER_SLICE, turn), *chunks[at][1:]]
        changed = slice_("big", at, chunks[at])
        times.start()
        translator.apply([Upserted(Kind.ENDPOINT_SLICE, changed, 0.0)])
        delta = translator.endpoints_lane()
        times.stop()
        assert delta is not None
    print(f"one service with {endpoints} endpoints in {len(chunks)} slices: first time {milliseconds(first)}")
    times.describe("  one Pod replaced: event to delta")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--routes", type=int, default=10_000)
    parser.add_argument("--endpoints", type=int, default=20_000)
    parser.add_argument("--slice-ms", type=float, default=2.0)
    args = parser.parse_args()
    objects = list(universe(args.routes, args.endpoints))
    translator = Translator(TranslateSettings(), AddressBook())
    begin = time.perf_counter()
    translator.apply([Upserted(kind_of(item), item, 0.0) for item in objects])
    translator.apply([Synced(kind) for kind in Kind])
    print(f"apply of {len(objects)} objects: {milliseconds(time.perf_counter() - begin)}")
    print(f"first translation: {drain(translator):.2f} s")
    gc.collect()
    gc.freeze()
    retranslate(translator, args.routes, args.endpoints, args.slice_ms / 1000)
    large_service(args.endpoints)
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
