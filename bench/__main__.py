"""`make bench`: the data plane against nginx and HAProxy on this machine, and what the controller is held to.

It writes docs/bench and the README's table.

Needs root for a network namespace of its own, and two cores. `--peers envoy` takes Envoy too. `--prepare` only builds
and gets what is needed, so that a run afterwards only measures. `--quick` takes few rounds, and `--only` some of the
cases; both print and write nothing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from bench import build
from bench.namespace import NoNamespaceError, namespace
from bench.report import fill_in, markdown, write
from bench.run import PEERS, Plan, Programs, run

_INSIDE = "FAIRLEAD_BENCH_PROGRAMS"
EXIT_NOT_RUN = 77
ALWAYS = ("nginx", "haproxy")
QUICK = Plan(rounds=3, seconds=60, sets=1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, nothing is written")
    parser.add_argument("--prepare", action="store_true", help="build and get everything, measure nothing")
    parser.add_argument(
        "--rounds", type=int, default=20, help="of each case, at most; at least one in each of five sets"
    )
    parser.add_argument(
        "--minutes", type=float, default=9.0, help="for all rounds together; the rest takes about three"
    )
    parser.add_argument("--only", default="", help="cases whose name contains this; nothing is written")
    parser.add_argument("--peers", default="", help="beside nginx and HAProxy: envoy")
    parser.add_argument("--python", type=Path, help="an interpreter with Fairlead, instead of building one")
    parser.add_argument("--out", type=Path, help="write there, and leave docs/bench and the README alone")
    options = parser.parse_args()
    peers = list(dict.fromkeys([*ALWAYS, *filter(None, options.peers.lower().split(","))]))
    if unknown := [name for name in peers if name not in PEERS]:
        parser.error(f"no such peer: {', '.join(unknown)}")
    if _INSIDE not in os.environ:
        return outside(options.python, peers, prepare=options.prepare)
    programs = msgspec.json.decode(os.environ[_INSIDE], type=Programs)
    plan = QUICK if options.quick else Plan(rounds=options.rounds, seconds=options.minutes * 60)
    plan = msgspec.structs.replace(plan, only=options.only)
    with tempfile.TemporaryDirectory(prefix="fairlead-bench-") as folder:
        results = run(programs, Path(folder), plan)
    print(markdown(results))
    if not options.quick and not options.only:
        write(results, options.out or build.ROOT / "docs" / "bench")
        if options.out is None:
            fill_in(results, build.ROOT / "README.md")
    return 0


def outside(python: Path | None, peers: list[str], *, prepare: bool) -> int:
    """Builds what is needed and runs this program again, inside of a namespace."""
    if (os.cpu_count() or 1) < 2:
        print("not run: the proxy and the load need a core each", file=sys.stderr)
        return EXIT_NOT_RUN
    programs = Programs(
        load=str(build.load_generator()),
        pick_cost=str(build.pick_cost()),
        fairlead=str(python or build.fairlead()),
        peers={name: _text(build.peer(name)) for name in peers},
    )
    for program in ("strace", "valgrind"):
        if build.debian(program, program) is None:
            print(f"{program} cannot be had here: what it counts is left out", file=sys.stderr)
    if prepare:
        return 0
    inside = os.environ | {_INSIDE: msgspec.json.encode(programs).decode()}
    try:
        with namespace(f"fairlead-bench-{os.getpid()}") as prefix:
            process = subprocess.Popen([*prefix, sys.executable, "-m", "bench", *sys.argv[1:]], env=inside)
            try:
                return process.wait()
            finally:
                process.terminate()
                process.wait()
    except NoNamespaceError as error:
        print(f"not run: {error}", file=sys.stderr)
        return EXIT_NOT_RUN


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


if __name__ == "__main__":
    sys.exit(main())
