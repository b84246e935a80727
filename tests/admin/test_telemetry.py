"""How proxies' counters become shares and rates."""

import pytest

from fairlead.admin import TelemetryBook
from fairlead.snapshot import EndpointStats, Telemetry
from tests.admin.rig import BACKEND, endpoint, stats


def book(*samples: tuple[str, float, list[EndpointStats]]) -> TelemetryBook:
    made = TelemetryBook()
    for proxy, at, counters in samples:
        made.measured(proxy, Telemetry(at_ms=0, endpoints=tuple(counters)), at)
    return made


def shares(made: TelemetryBook) -> dict[str, float | None]:
    return {key.split("|")[2]: measure.share for key, measure in made.endpoints(BACKEND).items()}


def test_the_first_sample_counts_since_the_start() -> None:
    made = book(("p", 0.0, [stats(1, 30), stats(2, 10, failures=5)]))
    assert shares(made) == {"1": 0.75, "2": 0.25}
    second = made.endpoints(BACKEND)[endpoint(2).id]
    assert second.traffic.success_rate == 0.5
    assert second.traffic.window_s == 0
    assert second.traffic.requests_per_second is None


def test_later_samples_count_over_the_window() -> None:
    made = book(
        ("p", 0.0, [stats(1, 1000), stats(2, 1000, failures=1000)]),
        ("p", 2.0, [stats(1, 1010), stats(2, 1030, failures=1000)]),
    )
    assert shares(made) == {"1": 0.25, "2": 0.75}
    second = made.endpoints(BACKEND)[endpoint(2).id]
    assert second.traffic.success_rate == 1.0
    assert second.traffic.window_s == 2.0
    assert second.traffic.requests_per_second == 15.0
    assert second.traffic.requests == 1030


def test_a_window_without_requests_shows_what_was_before() -> None:
    made = book(("p", 0.0, [stats(1, 30), stats(2, 10)]), ("p", 5.0, [stats(1, 30), stats(2, 10)]))
    assert shares(made) == {"1": 0.75, "2": 0.25}


def test_samples_older_than_the_window_do_not_count() -> None:
    made = book(
        ("p", 0.0, [stats(1, 0), stats(2, 0)]),
        ("p", 11.0, [stats(1, 900), stats(2, 0)]),
        ("p", 12.0, [stats(1, 900), stats(2, 100)]),
    )
    assert shares(made) == {"1": 0.0, "2": 1.0}


def test_an_endpoint_that_came_within_the_window_counts_from_nothing() -> None:
    made = book(("p", 0.0, [stats(1, 100)]), ("p", 1.0, [stats(1, 110), stats(2, 10)]))
    assert shares(made) == {"1": 0.5, "2": 0.5}


def test_proxies_add_up_and_a_gone_one_counts_no_more() -> None:
    made = book(("p", 0.0, [stats(1, 10), stats(2, 10)]), ("q", 0.0, [stats(1, 60), stats(2, 0)]))
    assert shares(made) == {"1": 0.875, "2": 0.125}
    assert made.endpoints(BACKEND)[endpoint(1).id].traffic.in_flight == 2
    made.gone("q")
    assert shares(made) == {"1": 0.5, "2": 0.5}


def test_one_proxy_that_finds_an_endpoint_suspect_is_enough_to_say_so() -> None:
    made = book(("p", 0.0, [stats(1, 10)]), ("q", 0.0, [stats(1, 10, state="suspect")]))
    assert made.endpoints(BACKEND)[endpoint(1).id].state == "suspect"


def test_a_backend_is_the_sum_of_its_endpoints() -> None:
    made = book(
        ("p", 0.0, [stats(1, 10), stats(2, 10)]), ("p", 1.0, [stats(1, 20), stats(2, 40, failures=10)])
    )
    traffic = made.backend(BACKEND)
    assert traffic is not None
    assert traffic.requests_per_second == 40.0
    assert traffic.success_rate == pytest.approx(0.75)
    assert traffic.connections == 4


def test_nothing_is_known_of_a_backend_that_no_proxy_has_told_of() -> None:
    assert book(("p", 0.0, [stats(1, 10)])).backend("Service/default/other/80") is None
    assert book().endpoints(BACKEND) == {}


def test_without_requests_there_is_no_share_and_no_success() -> None:
    measure = book(("p", 0.0, [stats(1, 0)])).endpoints(BACKEND)[endpoint(1).id]
    assert measure.share is None
    assert measure.traffic.success_rate is None
