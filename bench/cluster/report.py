"""Turns the figures into Markdown: docs/cluster-figures.md, and the short table in the README."""

from __future__ import annotations

import datetime as dt
import statistics
from dataclasses import dataclass
from typing import Any

from bench.cluster.scenes import Failures, Lags, median_and_worst
from tests.e2e.harness.cluster import ROOT


@dataclass(frozen=True)
class NotMeasured:
    """In a figure's place, where there is none."""

    why: str


Figures = dict[str, dict[str, Any]]
"""Scene to peer to what the scene returned, or NotMeasured."""

PAGE = ROOT / "docs" / "cluster-figures.md"
README = ROOT / "README.md"
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"

METHOD = """
All of it runs in one go on the one-node Kubernetes of `cluster/` (kube-proxy in iptables mode), each peer with a
fresh process, a fresh namespace and fresh Pods, everything on the same cores: counts are sound, times are upper
bounds. The client never repeats a request. Peers run with their defaults: nginx points at the Service IP with
`keepalive 64`, once with its default `keepalive_requests` and once with the limit raised; Traefik and Fairlead
watch the Gateway API.

* **Skew**: 20,000 GETs in closed loop over 10 Pods; hottest Pod over mean, and Pods without any request.
* **Failures**: 300 GET/s, Poisson, on 16 kept-alive connections (more are opened while all are busy, so
  that nothing waits for a place), timeout 5 s; everything but a 200 has failed.
  Rolling restart of 10 Pods, one at a time; the Pods serve on for 2 s after SIGTERM, or exit at once. Outage: the
  API server is killed for 20 s, and 3 s into it 2 of 10 Pods lose their sandbox, or their packets are dropped.
* **Lag**: 1,500 GET/s on 16 connections (more while all are busy) during a rolling restart; from the EndpointSlice event, as a watch of the
  benchmark's own received it, to the last request that a terminating Pod answered and the first that a new one did,
  both by the time of sending.
  Negative: the peer knew before the benchmark did. Each Pod gets a request every 7 ms, which bounds the resolution.
  Starting and ending Pods take all of a small machine: in brackets stands the longest that a process which only
  sleeps, for 1 ms at a time, was kept from a core in the same seconds. Every thread on the way of an event waits as
  long in the worst case. The second line is measured with all threads of the peer at real-time priority, which get a
  core when they want one: the rest is the peer's own time.
* **New routes**: 200 HTTPRoutes, one per 50 ms; each host is asked every 5 ms from the moment at which the API
  server accepted the route; milliseconds to the first 200.
* **Memory**: proportional set size (PSS: a shared page counts once) of all of a peer's processes, before and with
  1,000 HTTPRoutes, each with its own Service of 10 endpoints; figures of peers from elsewhere may be resident set
  size, which is more. The 1,000 Services carry the label that keeps kube-proxy away from them: its rules are not
  what is measured.
"""


def short(value: Any) -> str:
    """One cell."""
    match value:
        case NotMeasured():
            return "not measured"
        case Failures():
            return f"{value.failed} of {value.total} (slowest {value.slowest_ms:.0f} ms)"
        case Lags():
            unused = f", {value.never_used} never used" if value.never_used else ""
            return (
                f"{median_and_worst(value.last_to_terminating)}; "
                f"{median_and_worst(value.first_to_ready)}{unused} ({value.kept_from_core_ms:.0f})"
            )
        case dict():
            return ", ".join(f"{key}: {hot:.2f} ({idle})" for key, (hot, idle) in value.items())
        case [(_, _), (_, _)] | [(_, _), (_, _), *_]:
            waits = [ms for ms, _ in value]
            others = sum(count for _, count in value)
            return f"{statistics.mean(waits):.0f} / {max(waits):.0f}, {others}"
        case (before, after):
            return f"{before:.0f} / {after:.0f}"
    return str(value)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


ROWS = {
    "restart": "rolling restart, Pods drain 2 s: failed",
    "restart at once": "rolling restart, Pods exit at once: failed",
    "outage, sandboxes lost": "API server away 20 s, 2 Pods lose their sandbox: failed",
    "outage, packets dropped": "API server away 20 s, packets of 2 Pods dropped: failed",
    "lags": "ms, median / worst: last request to a terminating Pod; first request to a new Pod (a sleeper's longest wait for a core)",
    "lags at real-time priority": "the same with the peer at real-time priority",
    "routes": "200 new routes, ms until 200: mean / worst, answers other than 404 before",
    "memory": "MiB of all processes: before / with 1,000 routes and Services of 10 endpoints",
}


def tables(figures: Figures, machine: str, load_average: str) -> str:
    """The figures as Markdown, scene by scene."""
    date = f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}"
    parts = [f"{machine}, {date}; one run, load average before it {load_average}."]
    skew = {peer: found for peer, found in figures.get("skew", {}).items() if not _lacks(found)}
    if skew:
        connections = list(next(iter(skew.values())))
        parts.append("Hottest Pod / mean (idle Pods of 10), 20,000 requests by number of client connections:")
        parts.append(
            table(
                ["", *(f"{count} connection{'s' * (count > 1)}" for count in connections)],
                [
                    [peer, *(f"{hot:.2f} ({idle})" for hot, idle in found.values())]
                    for peer, found in skew.items()
                ],
            )
        )
    peers = list(dict.fromkeys(peer for scene in ROWS for peer in figures.get(scene, {})))
    if peers:
        rows = [
            [title, *(short(figures[scene][peer]) if peer in figures[scene] else "" for peer in peers)]
            for scene, title in ROWS.items()
            if scene in figures
        ]
        parts.append(table(["", *peers], rows))
        parts.append("Cells are empty where a scene is about peers that follow the Gateway API.")
    lacking = [
        f"* {scene}, {peer}: not measured: {found.why}"
        for scene, by_peer in figures.items()
        for peer, found in by_peer.items()
        if _lacks(found)
    ]
    if lacking:
        parts.append("\n".join(lacking))
    return "\n\n".join(parts)


def _lacks(found: Any) -> bool:
    return isinstance(found, NotMeasured)


def write(text: str) -> None:
    """Replaces the page, and what stands between the README's marks."""
    PAGE.write_text(
        f"# Figures on a real cluster\n\n`make bench-cluster` writes this page.\n\n{text}\n\n## Method\n{METHOD}"
    )
    readme = README.read_text()
    if BEGIN in readme and END in readme:
        before, _, rest = readme.partition(BEGIN)
        after = rest.partition(END)[2]
        note = "Method and meaning: [docs/cluster-figures.md](docs/cluster-figures.md); `make bench-cluster` measures them."
        README.write_text(f"{before}{BEGIN}\n{text}\n\n{note}\n{END}{after}")
