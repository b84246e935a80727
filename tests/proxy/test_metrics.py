"""`/metrics` as a scraper reads it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.process

_SAMPLE = re.compile(
    r"^([a-z_:][a-z0-9_:]*)(?:\{((?:[a-z_]+=\"(?:[^\"\\\n]|\\.)*\",?)*)\})? (-?[0-9.e+-]+|\+Inf|NaN)$"
)
_SUFFIXES = ("_bucket", "_sum", "_count")


_DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


def documented() -> set[str]:
    rows = (line.split("|")[1] for line in _DOCS.read_text().splitlines() if line.startswith("| `"))
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def _family(name: str, families: dict[str, str]) -> str:
    for suffix in _SUFFIXES:
        base = name.removesuffix(suffix)
        if base != name and families.get(base) == "histogram":
            return base
    return name


def test_the_page_is_well_formed_and_has_the_names_of_the_conventions(
    world: Any,
    wait: Callable[[str, Callable[[], bool]], float],
    fetch: Callable[..., tuple[int, str]],
) -> None:
    world.configure()
    assert fetch(world.bind_port)[0] == 200
    assert fetch(world.bind_port, "/%2e%2e/%00")[0] == 400
    wait("the request is counted", lambda: "fairlead_http_requests_total{" in world.health("/metrics")[1])
    status, page = world.health("/metrics")
    assert status == 200
    families: dict[str, str] = {}
    samples: dict[str, float] = {}
    current = ""
    for line in page.splitlines():
        if line.startswith("# HELP "):
            continue
        if line.startswith("# TYPE "):
            _, _, current, kind = line.split(" ")
            assert current not in families, f"{current} comes twice"
            assert kind != "counter" or current.endswith("_total")
            families[current] = kind
            continue
        match = _SAMPLE.match(line)
        assert match, line
        assert _family(match[1], families) == current, f"{line} is not of family {current}"
        series = line.rpartition(" ")[0]
        assert series not in samples, f"{series} comes twice"
        samples[series] = float(match[3])
    assert {
        "fairlead_build_info",
        "fairlead_http_requests_total",
        "fairlead_http_request_duration_seconds",
        "fairlead_http_requests_refused_total",
        "fairlead_upstream_request_duration_seconds",
        "fairlead_upstream_requests_in_flight",
        "fairlead_upstream_endpoints",
        "fairlead_upstream_retries_total",
        "fairlead_upstream_ejections_total",
        "fairlead_config_generation",
        "fairlead_config_apply_duration_seconds",
        "fairlead_config_last_success_timestamp_seconds",
        "fairlead_config_rejected_total",
        "fairlead_endpoint_propagation_seconds",
        "fairlead_kube_reflector_relists_total",
        "fairlead_kube_reflector_watch_events_total",
        "fairlead_kube_reflector_last_sync_age_seconds",
        "fairlead_kube_reflector_errors_total",
        "fairlead_last_good_age_seconds",
        "fairlead_access_log_dropped_total",
    } <= set(families)
    assert set(families) == documented()
    for series, count in samples.items():
        if series.partition("{")[0].endswith("_bucket") and 'le="+Inf"' in series:
            total = (
                series.replace("_bucket", "_count")
                .replace('le="+Inf"', "")
                .replace(",}", "}")
                .replace("{}", "")
            )
            assert samples[total] == count
    assert sum(value for series, value in samples.items() if "in_flight" in series) == 0


def test_above_its_limit_there_are_no_series_per_endpoint_and_a_metric_says_so(
    world: Any, wait: Callable[[str, Callable[[], bool]], float]
) -> None:
    process = world.configure()
    wait("the last good file", (world.folder / "last-good").exists)
    process.kill()
    process.wait()
    world.start(endpoint_metrics_max=0)
    wait("readiness", lambda: world.health("/readyz")[0] == 200)
    page = world.health("/metrics")[1]
    assert "fairlead_upstream_endpoint_metrics_enabled 0" in page
    assert "fairlead_upstream_connections{" not in page
    assert 'state="ready"} 1' in page, "the number of endpoints is still told"
