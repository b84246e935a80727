"""`make bench-cluster`: Fairlead and its peers on one real cluster, in one run; writes docs/cluster-figures.md.

`--only skew,restart,outage,lags,routes,memory` and `--peers Fairlead,Traefik` narrow it down; then nothing is
written and the tables are printed only.
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
    "restart": [Direct, Nginx, Traefik, FairleadPeer],
    "outage": [Nginx, Traefik, FairleadPeer],
    "lags": [Traefik, FairleadPeer],
    "routes": [Traefik, FairleadPeer],
    "memory": [Traefik, FairleadPeer],
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


SCENES: dict[str, Callable[[Peer, Namespace], Any]] = {
    "skew": scenes.skew,
    "restart": lambda peer, namespace: scenes.rolling_restart(peer, namespace, "2s"),
    "restart at once": lambda peer, namespace: scenes.rolling_restart(peer, namespace, "0s"),
    "outage, sandboxes lost": lambda peer, namespace: scenes.outage(peer, namespace, "sandboxes lost"),
    "outage, packets dropped": lambda peer, namespace: scenes.outage(peer, namespace, "packets dropped"),
    "lags": scenes.lags,
    "routes": routes,
    "memory": memory.measure,
}


@contextmanager
def running(kind: type[Peer], cluster: Cluster, folder: Path) -> Iterator[Peer]:
    peer = kind(cluster, folder)
    peer.start()
    try:
        yield peer
    finally:
        peer.stop()


def measure(cluster: Cluster, folder: Path, only: set[str], names: set[str]) -> report.Figures:
    """Every scene with every peer, each with a fresh process and a fresh namespace."""
    figures: report.Figures = {}
    count = 0
    for scene, play in SCENES.items():
        group = next(group for group in PEERS if scene.startswith(group))
        if only and group not in only:
            continue
        for kind in PEERS[group]:
            if names and kind.name not in names:
                continue
            count += 1
            namespace = Namespace(cluster, f"bench-{count}")
            own = folder / str(count)
            own.mkdir()
            try:
                with running(kind, cluster, own) as peer:
                    figures.setdefault(scene, {})[kind.name] = play(peer, namespace)
                print(f"{scene}: {kind.name}: {report.short(figures[scene][kind.name])}", flush=True)
            except (AssertionError, RuntimeError, OSError, subprocess.SubprocessError) as error:
                print(f"{scene}: {kind.name}: not measured: {error}", file=sys.stderr, flush=True)
            finally:
                # Many routes would still be seen by the next peer; a few Pods on their way out do no harm.
                wait = "--timeout=120s" if group in {"routes", "memory"} else "--wait=false"
                namespace.kubectl("delete", "namespace", namespace.name, wait, check=False)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--peers", default="")
    options = parser.parse_args()
    only = {word for word in options.only.split(",") if word}
    names = {word for word in options.peers.split(",") if word}

    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)
    )  # so that the cluster ends as well

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
        figures = measure(cluster, folder, only, names)
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
    text = report.tables(figures, machine())
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
