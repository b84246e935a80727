"""Runs the checks in order and adds up what they say.

    python tests/run.py lint | check | test

The last line counts passed, failed and not-run tests. With FAIRLEAD_REQUIRE=cluster a test that was not run
is a failure.
"""

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


@dataclass
class Outcome:
    """Counts of one step."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Step:
    """A command, and whether its output is read for counts."""

    name: str
    command: list[str]
    reads: str = ""
    env: dict[str, str] = field(default_factory=dict)


def tool(name: str, *arguments: str) -> list[str]:
    return [str(BIN / name), *arguments]


LINT = [
    Step("ruff format", tool("ruff", "format", "--check", "--quiet", ".")),
    Step("ruff check", tool("ruff", "check", "--quiet", ".")),
    Step("mypy", tool("mypy", "--no-error-summary")),
    Step("import-linter", tool("lint-imports", "--no-cache")),
    Step("rustfmt", ["cargo", "fmt", "--all", "--check"]),
    Step(
        "clippy",
        ["cargo", "clippy", "--locked", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"],
    ),
    Step(
        # A workspace of its own. Nothing is linked, so the fuzzer itself, in C++, need not be built.
        "clippy on the fuzz targets",
        [
            "cargo",
            "clippy",
            "--locked",
            "--quiet",
            "--manifest-path",
            "fuzz/Cargo.toml",
            "--",
            "-D",
            "warnings",
        ],
        env={"CUSTOM_LIBFUZZER_PATH": "/libFuzzer.a"},
    ),
]
UNIT = [
    Step(
        # The binding links an interpreter and is tested from Python.
        "cargo test",
        ["cargo", "test", "--locked", "--quiet", "--workspace", "--exclude", "fairlead-python"],
        reads="cargo",
    ),
    Step(
        "pytest",
        tool("pytest", "-q", "-m", "not cluster and not process"),
        reads="pytest",
    ),
]
PROCESS = [
    Step(
        "cargo test of memory",
        [
            "cargo",
            "test",
            "--locked",
            "--quiet",
            "--package",
            "fairlead-proxy",
            "--test",
            "held",
            "--test",
            "lean",
        ],
        reads="cargo",
    ),
    Step("pytest on real processes", tool("pytest", "-q", "-m", "process and not cluster"), reads="pytest"),
]
CLUSTER = [Step("pytest on the cluster", tool("pytest", "-v", "-m", "cluster"), reads="pytest")]
PLANS = {"lint": LINT, "check": [*LINT, *UNIT], "test": [*LINT, *UNIT, *PROCESS, *CLUSTER]}


def run(step: Step) -> Outcome:
    started = time.monotonic()
    print(f"== {step.name}", flush=True)
    outcome = Outcome()
    with subprocess.Popen(
        step.command,
        cwd=ROOT,
        env=os.environ | step.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            count(step.reads, line, outcome)
    code = process.returncode
    if code != 0 and outcome.failed == 0:
        outcome.failed = 1
    print(
        f"== {step.name}: {'ok' if code == 0 else 'FAILED'}, {time.monotonic() - started:.1f} s", flush=True
    )
    return outcome


def count(reads: str, line: str, outcome: Outcome) -> None:
    """Adds up what a line of output says; what a runner was told to pass over was not run."""
    if reads == "cargo" and (
        found := re.match(r"test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", line)
    ):
        outcome.passed += int(found[1])
        outcome.failed += int(found[2])
        outcome.skipped += int(found[3])
    elif reads == "pytest" and re.search(r"\d+ (passed|failed|skipped|error).* in [\d.]+s", line):
        for number, word in re.findall(r"(\d+) (passed|failed|skipped|errors?)", line):
            name = {"passed": "passed", "skipped": "skipped"}.get(word, "failed")
            setattr(outcome, name, getattr(outcome, name) + int(number))


def main() -> int:
    plan = PLANS.get(sys.argv[1] if len(sys.argv) == 2 else "")
    if plan is None:
        print(__doc__)
        return 2
    total = Outcome()
    for step in plan:
        outcome = run(step)
        total.passed += outcome.passed
        total.failed += outcome.failed
        total.skipped += outcome.skipped
    if os.environ.get("FAIRLEAD_REQUIRE") == "cluster" and total.skipped:
        print(f"{total.skipped} tests were not run, and FAIRLEAD_REQUIRE=cluster asks for all of them")
        total.failed += total.skipped
        total.skipped = 0
    print(f"{total.passed} passed, {total.failed} failed, {total.skipped} skipped")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
