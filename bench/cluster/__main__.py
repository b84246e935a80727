"""`make bench-cluster`: Fairlead and its peers on one real cluster, in one run; writes docs/cluster-figures.md.

`--only skew,lags,routes,memory,restart,outage` and `--peers Fairlead,Traefik` narrow it down; then nothing is
written and the tables are printed only. No scene begins after `--minutes`; the page says which did not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.cluster import memory, report, scenes, tools
from bench.cluster.peers import (
    Direct,
    FairleadPeer,
    FairleadRoundRobin,
    Nginx,
    NginxDefault,
    Peer,
    Traefik,
)
from tests.e2e.harness import manifests
from tests.e2e.harness.cluster import ROOT, Cluster, Namespace, NotRunError

ROUTES = 200

PEERS: dict[str, list[type[Peer]]] = {
    "skew": [Direct, NginxDefault, Nginx, Traefik, FairleadRoundRobin, FairleadPeer],
    "lags": [Traefik, FairleadPeer],
    "routes": [Traefik, FairleadPeer],
    "memory": [FairleadPeer, Traefik],
    "restart": [Direct, Nginx, Traefik, FairleadPeer],
    "outage": [Direct, Nginx, Traefik, FairleadPeer],
}


def routes(peer: Peer, namespace: Namespace) -> list[tuple[float, int]]:
    """See bench.cluster.routes."""
    scenes.deploy(namespace)
    target = peer.serve(namespace, "echo", scenes.HOST)
    words = [sys.executable, "-m", "bench.cluster.routes", str(peer.cluster.kubeconfig), namespace.name]
    words += [target.address, str(target.port), "echo", str(ROUTES)]
    done = subprocess.run(
        [*peer.cluster.network.prefix, *words], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return [(ms, others) for ms, others in json.loads(done.stdout)]


# The short ones first: if the time runs out, it is the last outages that are not measured.
SCENES: dict[str, Callable[[Peer, Namespace], Any]] = {
    "skew": scenes.skew,
    "lags": scenes.lags,
    "lags at real-time priority": lambda peer, namespace: scenes.lags(peer, namespace, real_time=True),
    "routes": routes,
    "memory": memory.measure,
    "restart": lambda peer, namespace: scenes.rolling_restart(peer, namespace, "2s"),
    "restart at once": lambda peer, namespace: scenes.rolling_restart(peer, namespace, "0s"),
    "outage, sandboxes lost": lambda peer, namespace: scenes.outage(peer, namespace, "sandboxes lost"),
    "outage, packets dropped": lambda peer, namespace: scenes.outage(peer, namespace, "packets dropped"),
}


@contextmanager
def running(kind: type[Peer], cluster: Cluster, folder: Path) -> Iterator[Peer]:
    peer = kind(cluster, folder)
    try:
        peer.start()
        yield peer
    finally:
        peer.stop()


def measure(cluster: Cluster, folder: Path, only: set[str], names: set[str], until: float) -> report.Figures:
    """Every scene with every peer; those that would begin after `until` (monotonic seconds) are left out."""
    chosen = [
        (scene, group, kind)
        for scene in SCENES
        for group in [next(group for group in PEERS if scene.startswith(group))]
        for kind in PEERS[group]
        if (not only or group in only) and (not names or kind.name in names)
    ]
    figures: report.Figures = {}
    for number, (scene, group, kind) in enumerate(chosen, 1):
        begun = time.monotonic()
        found: Any = report.NotMeasured("the time of the run was over")
        if begun < until:
            found = measure_one(cluster, folder / str(number), scene, kind)
            # Many routes would still be seen by the next peer; a few Pods on their way out do no harm.
            clean_up(
                cluster,
                number,
                wait=group in {"routes", "memory"} and number < len(chosen),
                outage=group == "outage",
            )
        figures.setdefault(scene, {})[kind.name] = found
        print(f"{scene}: {kind.name}: {report.short(found)} ({time.monotonic() - begun:.0f} s)", flush=True)
    return figures


def measure_one(cluster: Cluster, folder: Path, scene: str, kind: type[Peer]) -> Any:
    """One scene with a fresh process and a fresh namespace. What goes wrong is told and ends no other scene."""
    folder.mkdir()
    found: Any = None
    try:
        namespace = Namespace(cluster, _namespace(int(folder.name)))
        with running(kind, cluster, folder) as peer:
            found = SCENES[scene](peer, namespace)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other scenes are worth their time
        print(f"{scene}: {kind.name}: {error}", file=sys.stderr, flush=True)
        # A figure stands even if the peer did not end as it should.
        if found is None:
            found = report.NotMeasured(str(error).partition("\n")[0] or type(error).__name__)
    return found


def clean_up(cluster: Cluster, number: int, *, wait: bool, outage: bool) -> None:
    """Makes the cluster what it was before a scene."""
    try:
        if outage:
            cluster.recover()
        how = "--timeout=120s" if wait else "--wait=false"
        cluster.kubectl("delete", "namespace", _namespace(number), how, check=False)
    except Exception as error:  # noqa: BLE001 - the next scenes say whether they can do without
        print(f"the cluster has not recovered: {error}", file=sys.stderr, flush=True)


def _namespace(number: int) -> str:
    return f"bench-{number}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--peers", default="")
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args()
    only = {word for word in options.only.split(",") if word}
    names = {word for word in options.peers.split(",") if word}

    until = time.monotonic() + options.minutes * 60
    load_average = " ".join(f"{each:.2f}" for each in os.getloadavg())
    # So that the cluster ends as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))

    for program, name in ((tools.nginx(), "nginx"), (tools.traefik(), "Traefik")):
        if program is None:
            print(f"{name} cannot be had here: it is left out", file=sys.stderr)
            for kinds in PEERS.values():
                kinds[:] = [kind for kind in kinds if not kind.name.startswith(name)]
    try:
        cluster = Cluster.start(f"bench-{os.getpid()}")
    except NotRunError as lacking:
        print(f"not run: {lacking}", file=sys.stderr)
        return 77
    folder = Path(tempfile.mkdtemp(prefix="fairlead-bench-"))
    try:
        cluster.install(manifests.gateway_class(), all_kinds=True)
        figures = measure(cluster, folder, only, names, until)
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
    text = report.tables(figures, machine(), load_average)
    print(text)
    if not only and not names:
        report.write(text)
    return 0


def machine() -> str:
    """What the figures were measured on."""
    processor = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{os.cpu_count()} cores of {processor}, Linux {platform.release()}"


if __name__ == "__main__":
    sys.exit(main())
