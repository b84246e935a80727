"""The page of the cluster's figures is one run's alone, and says what that run lacks."""

from pathlib import Path

import pytest

from bench.cluster import report
from bench.cluster.pauses import Sleeper
from bench.cluster.report import NotMeasured
from bench.cluster.scenes import Failures, Lags

FIGURES: report.Figures = {
    "skew": {
        "nginx": {1: (10.0, 9), 4: (2.5, 6)},
        "Traefik": NotMeasured("it does not start"),
        "Fairlead": {1: (1.0, 0), 4: (1.04, 0)},
    },
    "restart": {"nginx": Failures(1, 300, 20.4), "Traefik": Failures(2, 300, 5_000.0)},
    "lags": {
        "Traefik": NotMeasured("the time of the run was over"),
        "Fairlead": Lags([-2.0, 4.0], [30.0], 1, 47.6),
    },
    "routes": {"Traefik": [(1_000.0, 0), (2_000.0, 3)], "Fairlead": [(10.0, 0), (20.0, 0)]},
    "memory": {"Fairlead": (50.2, 99.9)},
}


def cells(text: str, row: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {row}"))
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_every_figure_has_its_cell() -> None:
    text = report.tables(FIGURES, "2 cores", "0.1 0.2 0.3")
    assert cells(text, "Fairlead") == ["1.00 (0)", "1.04 (0)"]
    assert cells(text, "rolling restart, Pods drain") == [
        "1 of 300 (slowest 20 ms)",
        "2 of 300 (slowest 5000 ms)",
        "",
    ]
    assert cells(text, "ms, median") == ["", "not measured", "1 / 4; 30 / 30, 1 never used (48)"]
    assert cells(text, "200 new routes")[1:] == ["1500 / 2000, 3", "15 / 20, 0"]
    assert cells(text, "MiB") == ["", "", "50 / 100"]
    assert "0.1 0.2 0.3" in text


def test_what_a_run_lacks_is_told_with_its_reason() -> None:
    text = report.tables(FIGURES, "2 cores", "0")
    assert "* skew, Traefik: not measured: it does not start" in text
    assert "* lags, Traefik: not measured: the time of the run was over" in text


def test_a_run_replaces_all_that_was_written_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, readme = tmp_path / "page.md", tmp_path / "README.md"
    page.write_text("These figures come from several runs")
    readme.write_text(f"before\n{report.BEGIN}\nThese figures come from several runs\n{report.END}\nafter\n")
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "README", readme)
    report.write("the tables")
    for path in (page, readme):
        assert "the tables" in path.read_text()
        assert "several runs" not in path.read_text()
    assert readme.read_text().startswith("before\n")
    assert readme.read_text().endswith("\nafter\n")


def test_how_long_a_sleeper_was_kept_from_a_core_is_known_after_its_end() -> None:
    with Sleeper() as sleeper:
        assert sleeper.longest_ms == 0
    assert sleeper.longest_ms > 0
