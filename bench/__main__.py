"""`make bench`: the data plane against nginx and HAProxy on this machine; writes docs/bench.

Needs root for a network namespace of its own, and two cores. `--quick` takes few rounds and prints the report only.
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
from bench.report import markdown, write
from bench.run import ROUNDS, Programs, run

_INSIDE = "FAIRLEAD_BENCH_PROGRAMS"
EXIT_NOT_RUN = 77


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, nothing is written")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--python", type=Path, help="an interpreter with Fairlead, instead of building one")
    parser.add_argument("--out", type=Path, default=build.ROOT / "docs" / "bench")
    options = parser.parse_args()
    if _INSIDE not in os.environ:
        return outside(options.python)
    programs = msgspec.json.decode(os.environ[_INSIDE], type=Programs)
    with tempfile.TemporaryDirectory(prefix="fairlead-bench-") as folder:
        results = run(programs, Path(folder), 3 if options.quick else options.rounds, options.only)
    print(markdown(results))
    if not options.quick and not options.only:
        write(results, options.out)
    return 0


def outside(python: Path | None) -> int:
    """Builds what is needed and runs this program again, inside of a namespace."""
    if (os.cpu_count() or 1) < 2:
        print("not run: the proxy and the load need a core each", file=sys.stderr)
        return EXIT_NOT_RUN
    programs = Programs(
        load=str(build.load_generator()),
        fairlead=str(python or build.fairlead()),
        nginx=_text(build.peer("nginx", "nginx-light")),
        haproxy=_text(build.peer("haproxy", "haproxy")),
    )
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
