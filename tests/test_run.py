"""The runner of all checks counts what it reads, and what was not run is never silent."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import run

ROOT = Path(__file__).resolve().parents[1]


def counted(reads: str, *lines: str) -> run.Outcome:
    outcome = run.Outcome()
    for line in lines:
        run.count(reads, line, outcome)
    return outcome


def test_results_of_cargo_add_up_and_what_it_ignores_was_not_run() -> None:
    lines = (
        "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s",
        "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
    )
    assert counted("cargo", "running 12 tests", *lines) == run.Outcome(passed=14, failed=1, skipped=1)


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ("===== 7 passed in 1.02s =====", run.Outcome(passed=7)),
        (
            "1 failed, 7 passed, 2 skipped, 9 deselected in 61.5s (0:01:01)",
            run.Outcome(passed=7, failed=1, skipped=2),
        ),
        ("3 passed, 2 errors in 0.50s", run.Outcome(passed=3, failed=2)),
        ("SKIPPED [1] tests/bench/test_lean.py:54: strace is missing", run.Outcome()),
    ],
)
def test_the_summary_of_pytest_is_counted(line: str, outcome: run.Outcome) -> None:
    assert counted("pytest", line) == outcome


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(sys, "argv", ["run.py", "test"])
    return monkeypatch


def steps(*said: tuple[str, int]) -> list[run.Step]:
    """Steps that print this and exit so."""
    program = "import sys; print(sys.argv[1]); sys.exit(int(sys.argv[2]))"
    return [
        run.Step("a step", [sys.executable, "-c", program, text, str(code)], "pytest") for text, code in said
    ]


@pytest.mark.parametrize(
    ("required", "code", "last"),
    [("", 0, "3 passed, 0 failed, 2 skipped"), ("cluster", 1, "3 passed, 2 failed, 0 skipped")],
)
def test_what_was_not_run_is_counted_and_where_all_is_asked_for_a_failure(
    required: str, code: int, last: str, says: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    says.setenv("FAIRLEAD_REQUIRE", required)
    says.setitem(run.PLANS, "test", steps(("1 passed in 0.1s", 0), ("2 passed, 2 skipped in 0.1s", 0)))
    assert run.main() == code
    assert capsys.readouterr().out.splitlines()[-1] == last


def test_a_step_that_fails_without_a_count_is_a_failure(
    says: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    says.setitem(run.PLANS, "test", steps(("no summary", 3)))
    assert run.main() == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 1 failed, 0 skipped"


@pytest.mark.parametrize(("built", "made"), [(0, 0), (77, 0), (1, 2)])
def test_a_machine_without_a_cluster_is_no_failure_but_a_failed_build_is(
    built: int, made: int, tmp_path: Path
) -> None:
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "cluster").mkdir()
    script = tmp_path / "cluster" / "build"
    script.write_text(f"#!/bin/sh\nexit {built}\n")
    script.chmod(0o755)
    # As if everything before it were up to date.
    make = ["make", "--silent", "--assume-old=.make/deps", "cluster"]
    done = subprocess.run(make, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == made, done.stderr
    assert ("not run" in done.stdout) is (built == 77)
