"""Rules of HTTPRoutes: matches, targets, timeouts, and what is refused."""

import pytest

from fairlead import resources as k8s
from fairlead import snapshot
from fairlead.translate import ConditionType
from fairlead.translate._durations import parse_duration_ms
from tests.translate.harness import NS, Lab, backend_ref, basics, match, parent, route, rule, service

ACCEPTED, RESOLVED, PARTIAL = (
    ConditionType.ACCEPTED,
    ConditionType.RESOLVED_REFS,
    ConditionType.PARTIALLY_INVALID,
)
WEB = f"Service/{NS}/web/80"
ANSWERS_500 = (snapshot.Target(weight=1, error=snapshot.TargetError.UNSUPPORTED_VALUE),)


def lab(*rules: k8s.HTTPRouteRule) -> Lab:
    return Lab(*basics(), route("route", *rules))


def made(*rules: k8s.HTTPRouteRule) -> tuple[snapshot.Rule, ...]:
    found = lab(*rules).route()
    assert found is not None
    return found.rules


def matches(*given: k8s.HTTPRouteMatch) -> tuple[snapshot.RouteMatch, ...]:
    (found,) = made(rule(backend_ref(), matches=given))
    return found.matches


def prefix(value: str) -> snapshot.PathMatch:
    return snapshot.PathMatch(type=snapshot.PathMatchType.PREFIX, value=value)


def test_without_matches_a_rule_takes_every_request() -> None:
    assert matches() == (snapshot.RouteMatch(path=prefix("/")),)
    assert matches(match()) == (snapshot.RouteMatch(path=prefix("/")),)


def test_without_rules_the_default_rule_answers_500() -> None:
    empty = k8s.HTTPRoute(metadata=route().metadata, spec=k8s.HTTPRouteSpec(parent_refs=(parent(),)))
    found = Lab(*basics(), empty).route()
    assert found is not None
    assert found.rules == (snapshot.Rule(matches=(snapshot.RouteMatch(),), targets=()),)


def test_paths_exact_and_prefix() -> None:
    exact, wide = matches(match("/a/", "Exact"), match("/a"))
    assert exact.path == snapshot.PathMatch(type=snapshot.PathMatchType.EXACT, value="/a/")
    assert wide.path == prefix("/a")


def test_a_trailing_slash_of_a_prefix_is_ignored() -> None:
    assert [item.path for item in matches(match("/a/"), match("/"))] == [prefix("/a"), prefix("/")]


def test_headers_queries_and_methods_are_kept() -> None:
    (found,) = matches(
        match(
            "/a",
            method="POST",
            headers=(k8s.HeaderMatch(name="X-Color", value="Red"),),
            query_params=(k8s.QueryParamMatch(name="Animal", value="whale"),),
        )
    )
    assert found == snapshot.RouteMatch(
        path=prefix("/a"),
        method="POST",
        headers=(snapshot.FieldMatch(name="x-color", value="Red"),),
        query=(snapshot.FieldMatch(name="Animal", value="whale"),),
    )


def test_of_equivalent_header_names_the_first_counts() -> None:
    headers = (k8s.HeaderMatch(name="Version", value="1"), k8s.HeaderMatch(name="version", value="2"))
    (found,) = matches(match(headers=headers))
    assert [item.value for item in found.headers] == ["1"]


def test_of_equal_query_names_the_first_counts_and_case_tells_names_apart() -> None:
    params = (
        k8s.QueryParamMatch(name="a", value="1"),
        k8s.QueryParamMatch(name="a", value="2"),
        k8s.QueryParamMatch(name="A", value="3"),
    )
    (found,) = matches(match(query_params=params))
    assert [(item.name, item.value) for item in found.query] == [("a", "1"), ("A", "3")]


@pytest.mark.parametrize(
    "bad",
    [
        match("/a", "RegularExpression"),
        match("/a", "Glob"),
        match("relative"),
        match("/a//b"),
        match("/a/./b"),
        match("/a/.."),
        match("/a%2fb"),
        match("/a#b"),
        match("/a b"),
        match("/a%zz"),
        match(method="BREW"),
        match(headers=(k8s.HeaderMatch(name="a", value="b", type="RegularExpression"),)),
        match(headers=(k8s.HeaderMatch(name="a b", value="b"),)),
        match(headers=(k8s.HeaderMatch(name="a", value=""),)),
        match(query_params=(k8s.QueryParamMatch(name="a", value="b", type="RegularExpression"),)),
    ],
)
def test_a_match_that_cannot_be_evaluated_refuses_the_route(bad: k8s.HTTPRouteMatch) -> None:
    found = lab(rule(backend_ref(), matches=[bad]))
    assert found.route_condition(ACCEPTED) == ("False", "UnsupportedValue")
    assert found.route_condition(PARTIAL) == ("", "")
    assert found.route() is None
    assert found.attached() == {"http": 0}


def test_a_bad_match_makes_the_other_matches_of_its_rule_answer_500() -> None:
    bad = rule(backend_ref(), matches=[match("/r", "RegularExpression"), match("/a")])
    found = lab(bad, rule(backend_ref()))
    made_route = found.route()
    assert made_route is not None
    assert [(item.matches[0].path.value, item.targets) for item in made_route.rules] == [
        ("/a", ANSWERS_500),
        ("/", (snapshot.Target(weight=1, backend=WEB),)),
    ]
    assert found.route_condition(ACCEPTED) == ("True", "Accepted")
    assert found.route_condition(PARTIAL) == ("True", "UnsupportedValue")


@pytest.mark.parametrize(
    "odd",
    [
        {"filters": (k8s.HTTPRouteFilter(type="URLRewrite"),)},
        {"retry": {"attempts": 1}},
        {"session_persistence": {"type": "Cookie"}},
        {"timeouts": k8s.HTTPRouteTimeouts(request="soon")},
        {"timeouts": k8s.HTTPRouteTimeouts(request="1s", backend_request="2s")},
    ],
)
def test_what_is_not_supported_makes_its_rule_answer_500_and_is_said(odd: dict[str, object]) -> None:
    bad = rule(backend_ref(), matches=[match("/odd")], **odd)
    alone = lab(bad)
    assert alone.route_condition(ACCEPTED) == ("False", "UnsupportedValue")
    assert alone.route() is None
    beside = lab(bad, rule(backend_ref(), matches=[match("/good")]))
    assert beside.route_condition(ACCEPTED) == ("True", "Accepted")
    assert beside.route_condition(PARTIAL) == ("True", "UnsupportedValue")
    made_route = beside.route()
    assert made_route is not None
    assert made_route.rules[0].targets == ANSWERS_500
    assert made_route.rules[1].targets == (snapshot.Target(weight=1, backend=WEB),)
    (entry,) = beside.route_status().parents
    (partial,) = (item for item in entry.conditions if item.type is PARTIAL)
    assert partial.message.startswith("Dropped Rule")


def test_a_filter_of_a_backend_ref_makes_its_rule_answer_500() -> None:
    filtered = k8s.BackendRef(
        name="web", port=80, filters=(k8s.HTTPRouteFilter(type="RequestHeaderModifier"),)
    )
    assert lab(rule(filtered)).route_condition(ACCEPTED) == ("False", "UnsupportedValue")


def test_a_weight_out_of_range_is_refused() -> None:
    assert lab(rule(backend_ref(weight=-1))).route_condition(ACCEPTED) == ("False", "UnsupportedValue")
    assert lab(rule(backend_ref(weight=1_000_001))).route_condition(ACCEPTED) == ("False", "UnsupportedValue")


def test_weights_are_kept_and_one_by_default() -> None:
    (found,) = made(rule(backend_ref(weight=9), backend_ref(weight=0), backend_ref()))
    assert [item.weight for item in found.targets] == [9, 0, 1]


def test_a_rule_without_backends_has_no_targets() -> None:
    (found,) = made(rule())
    assert found.targets == ()
    assert lab(rule()).route_condition(RESOLVED) == ("True", "ResolvedRefs")


def test_rule_names_are_kept() -> None:
    (found,) = made(rule(backend_ref(), name="checkout"))
    assert found.name == "checkout"


@pytest.mark.parametrize(
    ("timeouts", "expected"),
    [
        (None, None),
        (k8s.HTTPRouteTimeouts(), None),
        (k8s.HTTPRouteTimeouts(request="10s"), snapshot.Timeouts(request_ms=10_000)),
        (
            k8s.HTTPRouteTimeouts(request="1m30s", backend_request="250ms"),
            snapshot.Timeouts(request_ms=90_000, backend_request_ms=250),
        ),
        (k8s.HTTPRouteTimeouts(request="0s"), snapshot.Timeouts(request_ms=0)),
        (
            k8s.HTTPRouteTimeouts(request="0s", backend_request="5s"),
            snapshot.Timeouts(request_ms=0, backend_request_ms=5000),
        ),
    ],
)
def test_timeouts(timeouts: k8s.HTTPRouteTimeouts | None, expected: snapshot.Timeouts | None) -> None:
    (found,) = made(rule(backend_ref(), timeouts=timeouts))
    assert found.timeouts == expected


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("1h", 3_600_000), ("1h1m1s1ms", 3_661_001), ("99999h", 359_996_400_000), ("0s", 0), ("5m", 300_000)],
)
def test_durations_of_gep_2257(text: str, milliseconds: int) -> None:
    assert parse_duration_ms(text) == milliseconds


@pytest.mark.parametrize("text", ["", "1", "-1s", "1.5s", "1d", "100000s", "1s ", "1h1m1s1ms1s", "ms"])
def test_other_durations_are_none(text: str) -> None:
    assert parse_duration_ms(text) is None


def test_an_invalid_reference_keeps_its_share_and_answers_500() -> None:
    found = lab(rule(backend_ref(weight=3), backend_ref("missing", weight=1)))
    made_route = found.route()
    assert made_route is not None
    assert made_route.rules[0].targets == (
        snapshot.Target(weight=3, backend=WEB),
        snapshot.Target(weight=1, error=snapshot.TargetError.BACKEND_NOT_FOUND),
    )
    assert found.route_condition(ACCEPTED) == ("True", "Accepted")
    assert found.route_condition(RESOLVED) == ("False", "BackendNotFound")


@pytest.mark.parametrize("ref", [backend_ref(port=81), backend_ref(port=None), backend_ref("missing")])
def test_a_service_or_port_that_does_not_exist_is_not_found(ref: k8s.BackendRef) -> None:
    assert lab(rule(ref)).route_condition(RESOLVED) == ("False", "BackendNotFound")


@pytest.mark.parametrize(
    "ref",
    [k8s.BackendRef(name="web", port=80, kind="Bucket"), k8s.BackendRef(name="web", port=80, group="x.io")],
)
def test_an_unknown_kind_is_invalid(ref: k8s.BackendRef) -> None:
    found = lab(rule(ref))
    assert found.route_condition(RESOLVED) == ("False", "InvalidKind")
    assert found.route_condition(ACCEPTED) == ("True", "Accepted")


def test_a_service_that_comes_later_is_found() -> None:
    found = lab(rule(backend_ref("later")))
    found.put(service("later"))
    assert found.route_condition(RESOLVED) == ("True", "ResolvedRefs")
    assert found.touched == {
        f"route/HTTPRoute/{NS}/route",
        f"backend/Service/{NS}/later/80",
        f"endpoints/Service/{NS}/later/80",
    }


def test_a_service_event_touches_only_the_routes_that_name_it() -> None:
    found = Lab(*basics(), service("other"), route("one"), route("two", rule(backend_ref("other"))))
    found.remove(service("other"))
    assert f"route/HTTPRoute/{NS}/one" not in found.touched
    assert found.said == {f"HTTPRoute {NS}/two"}
