"""The measurements. Each takes a started peer and a fresh namespace and returns numbers; none asserts any."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from bench.cluster.pauses import Sleeper
from bench.cluster.peers import Peer
from tests.e2e.harness import manifests
from tests.e2e.harness.api import Event
from tests.e2e.harness.client import Plan
from tests.e2e.harness.cluster import Namespace
from tests.e2e.harness.load import Result

HOST = "bench.example"
PODS = 10
SKEW_REQUESTS = 20_000
SKEW_CONNECTIONS = (1, 4, 10)
EXTRA = 4000
"""Further connections that the client may open while all are busy, so that a stalled request holds up no other."""
AFTERWARDS_S = 4.0
OUTAGE_S = 20.0


@dataclass(frozen=True)
class Failures:
    """How many requests of how many were not answered by a 200, and the slowest of all."""

    failed: int
    total: int
    slowest_ms: float

    @classmethod
    def of(cls, result: Result) -> Failures:
        return cls(len(result.failed), len(result.records), result.slowest() * 1000)


@dataclass(frozen=True)
class Lags:
    """Milliseconds between an event of an EndpointSlice and what requests show of it; one per Pod."""

    last_to_terminating: list[float]
    first_to_ready: list[float]
    never_used: int
    kept_from_core_ms: float
    """The longest that a process which only sleeps had to wait for a core meanwhile."""


def deploy(namespace: Namespace, drain: str = "2s") -> None:
    """Ten echo Pods behind a Service."""
    namespace.apply(manifests.deployment("echo", PODS, drain=drain), manifests.service("echo"))
    namespace.wait_for_pods("echo", PODS)


def steady(target_address: str, target_port: int) -> Plan:
    """The open load of the failure scenes: 300 GET/s, Poisson, on 16 kept-alive connections; more while all hang."""
    return Plan(
        address=target_address,
        port=target_port,
        hosts=[HOST],
        connections=16,
        extra=EXTRA,
        rate=300,
        poisson=True,
    )


def skew(peer: Peer, namespace: Namespace) -> dict[int, tuple[float, int]]:
    """(hottest/mean, idle Pods) by the number of client connections."""
    deploy(namespace)
    target = peer.serve(namespace, "echo", HOST)
    pods = [pod.name for pod in namespace.pods("echo")]
    found = {}
    for connections in SKEW_CONNECTIONS:
        plan = Plan(
            address=target.address,
            port=target.port,
            hosts=[HOST],
            connections=connections,
            total=SKEW_REQUESTS,
        )
        with peer.cluster.load(plan) as load:
            found[connections] = load.wait().skew(pods)
    return found


def rolling_restart(peer: Peer, namespace: Namespace, drain: str) -> Failures:
    """Failures of a rolling restart under load."""
    deploy(namespace, drain)
    target = peer.serve(namespace, "echo", HOST)
    with peer.cluster.load(steady(target.address, target.port)) as load:
        time.sleep(1)
        namespace.rolling_restart("echo")
        time.sleep(AFTERWARDS_S)
        return Failures.of(load.stop())


def outage(peer: Peer, namespace: Namespace, fault: str) -> Failures:
    """Failures while the API server is stopped for 20 s; 3 s into it 2 of 10 Pods die by `fault`.

    The cluster has to recover afterwards.
    """
    cluster = peer.cluster
    deploy(namespace)
    target = peer.serve(namespace, "echo", HOST)
    pods = namespace.pods("echo")[:2]
    try:
        with cluster.load(steady(target.address, target.port)) as load:
            time.sleep(2)
            with cluster.without_api_server():
                stopped_at = time.monotonic()
                time.sleep(3)
                for pod in pods:
                    (cluster.kill_sandbox if fault == "sandboxes lost" else cluster.drop_packets)(pod)
                time.sleep(max(0.0, stopped_at + OUTAGE_S - time.monotonic()))
            return Failures.of(load.stop())
    finally:
        cluster.pass_packets()


def lags(peer: Peer, namespace: Namespace, *, real_time: bool = False) -> Lags:
    """How fast a rolling restart is followed, at 1,500 requests/s on 16 connections.

    With `real_time` all threads of the peer get a core as soon as they want one: what is left is the peer's own.
    """
    deploy(namespace)
    target = peer.serve(namespace, "echo", HOST)
    if real_time:
        _prefer(peer)
    plan = Plan(
        address=target.address, port=target.port, hosts=[HOST], connections=16, extra=EXTRA, rate=1500
    )
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace.name}/endpointslices"
    with peer.cluster.api.watch(path) as watch, peer.cluster.load(plan) as load:
        time.sleep(1)
        with Sleeper() as sleeper:
            namespace.rolling_restart("echo")
            time.sleep(15)
        result = load.stop()
        terminating, ready = _transitions(watch.events)
    sent: dict[str, list[float]] = {}
    for record in result.records:
        if record.ok:
            sent.setdefault(record.pod, []).append(record.sent)
    return Lags(
        last_to_terminating=[(max(sent[pod]) - at) * 1000 for pod, at in terminating.items() if pod in sent],
        first_to_ready=[(min(sent[pod]) - at) * 1000 for pod, at in ready.items() if pod in sent],
        never_used=sum(pod not in sent for pod in ready),
        kept_from_core_ms=sleeper.longest_ms,
    )


def _prefer(peer: Peer) -> None:
    """Real-time priority for every thread of a peer; threads that they start inherit it."""
    for pid in peer.processes():
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setscheduler(int(thread.name), os.SCHED_RR, os.sched_param(1))


def _transitions(events: list[Event]) -> tuple[dict[str, float], dict[str, float]]:
    """When each Pod was first said to be terminating, and ready after not having been."""
    terminating: dict[str, float] = {}
    ready: dict[str, float] = {}
    known: set[str] = set()
    for event in events:
        for endpoint in event.object.get("endpoints") or ():
            pod = endpoint.get("targetRef", {}).get("name", "")
            conditions = endpoint["conditions"]
            if conditions.get("terminating"):
                terminating.setdefault(pod, event.at)
            elif not conditions.get("ready"):
                known.add(pod)
            elif pod in known:
                ready.setdefault(pod, event.at)
    return terminating, ready


def median_and_worst(values: list[float]) -> str:
    """For a table's cell."""
    return f"{statistics.median(values):.0f} / {max(values):.0f}" if values else "-"
