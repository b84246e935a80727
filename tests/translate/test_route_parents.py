"""HTTPRoutes and their parents: which Listeners they attach to, and what is said where they do not."""

import pytest

from fairlead import resources as k8s
from fairlead.resources import Kind, Ref
from fairlead.translate import ConditionType
from tests.translate.harness import (
    NS,
    Lab,
    basics,
    condition,
    gateway,
    listener,
    namespace,
    parent,
    route,
    service,
)

ACCEPTED = ConditionType.ACCEPTED


def with_listeners(*listeners: k8s.Listener) -> Lab:
    return Lab(*basics(), gateway("gw", *listeners))


def attachments(lab: Lab, name: str = "route", ns: str = NS) -> dict[str, tuple[str, ...]]:
    """Listener names with the hostnames effective there."""
    made = lab.route(name, ns)
    return {} if made is None else {item.listener: item.hostnames for item in made.attachments}


def test_without_section_a_route_attaches_to_every_listener_that_takes_it() -> None:
    lab = with_listeners(listener("a", 80), listener("b", 81), listener("c", 82, namespaces="None")).put(
        route()
    )
    assert set(attachments(lab)) == {f"{NS}/gw/a", f"{NS}/gw/b"}
    assert lab.attached() == {"a": 1, "b": 1, "c": 0}


def test_a_section_selects_one_listener() -> None:
    lab = with_listeners(listener("a", 80), listener("b", 81)).put(route(parents=[parent(section="b")]))
    assert set(attachments(lab)) == {f"{NS}/gw/b"}


def test_a_port_selects_listeners() -> None:
    lab = with_listeners(listener("a", 80), listener("b", 81)).put(route(parents=[parent(port=81)]))
    assert set(attachments(lab)) == {f"{NS}/gw/b"}


@pytest.mark.parametrize("ref", [parent(section="nowhere"), parent(port=9), parent(section="http", port=9)])
def test_a_section_or_port_that_no_listener_has_is_no_matching_parent(ref: k8s.ParentReference) -> None:
    lab = Lab(*basics(), route(parents=[ref]))
    assert lab.route_condition(ACCEPTED) == ("False", "NoMatchingParent")
    assert lab.route() is None
    assert lab.attached() == {"http": 0}


def test_each_parent_ref_has_a_status_of_its_own() -> None:
    good, bad = parent(section="http"), parent(section="nowhere")
    lab = Lab(*basics(), route(parents=[good, bad]))
    entries = {item.parent_ref: condition(item.conditions, ACCEPTED) for item in lab.route_status().parents}
    assert entries == {good: ("True", "Accepted"), bad: ("False", "NoMatchingParent")}


def test_parents_that_are_not_ours_get_no_status() -> None:
    refs = [
        parent("nobody"),
        k8s.ParentReference(name="web", kind="Service", group=""),
        k8s.ParentReference(name="gw", group="example.com"),
    ]
    lab = Lab(*basics(), route(parents=refs))
    assert lab.route_status().parents == ()
    assert lab.route() is None


def test_a_route_waits_for_a_gateway_that_does_not_exist_yet() -> None:
    lab = Lab(*basics(), route(parents=[parent("later")]))
    assert lab.route() is None
    lab.put(gateway("later"))
    assert set(attachments(lab)) == {f"{NS}/later/http"}
    assert lab.attached("later") == {"http": 1}


def test_several_gateways_serve_one_route() -> None:
    lab = Lab(*basics(), gateway("second"), route(parents=[parent(), parent("second")]))
    assert set(attachments(lab)) == {f"{NS}/gw/http", f"{NS}/second/http"}
    lab.remove(gateway("second"))
    assert set(attachments(lab)) == {f"{NS}/gw/http"}
    assert len(lab.route_status().parents) == 1


def test_listeners_take_routes_of_their_own_namespace_by_default() -> None:
    lab = Lab(*basics(), service(ns="guest"), route(ns="guest", parents=[parent(ns=NS)]))
    assert lab.route_condition(ACCEPTED, ns="guest") == ("False", "NotAllowedByListeners")
    assert lab.attached() == {"http": 0}


def test_listeners_may_take_routes_of_all_namespaces() -> None:
    lab = with_listeners(listener(namespaces="All")).put(
        service(ns="guest"), route(ns="guest", parents=[parent(ns=NS)])
    )
    assert lab.route_condition(ACCEPTED, ns="guest") == ("True", "Accepted")
    assert attachments(lab, ns="guest") == {f"{NS}/gw/http": ()}


def test_listeners_may_take_no_routes_at_all() -> None:
    lab = with_listeners(listener(namespaces="None")).put(route())
    assert lab.route_condition(ACCEPTED) == ("False", "NotAllowedByListeners")


def test_a_selector_follows_the_labels_of_namespaces() -> None:
    lab = with_listeners(listener(namespaces="Selector", selector={"team": "red"}))
    lab.put(namespace("guest", team="blue"), service(ns="guest"), route(ns="guest", parents=[parent(ns=NS)]))
    assert lab.route_condition(ACCEPTED, ns="guest") == ("False", "NotAllowedByListeners")
    lab.put(namespace("guest", team="red"))
    assert lab.route_condition(ACCEPTED, ns="guest") == ("True", "Accepted")
    lab.put(namespace("guest", team="blue"))
    assert lab.route(ns="guest") is None
    assert lab.attached() == {"http": 0}
    lab.assert_full_agrees()


def test_a_selector_matches_no_namespace_that_is_not_known() -> None:
    lab = with_listeners(listener(namespaces="Selector", selector={}))
    lab.put(route(ns="guest", parents=[parent(ns=NS)]))
    assert lab.route_condition(ACCEPTED, ns="guest") == ("False", "NotAllowedByListeners")


def test_expressions_of_a_selector_are_followed() -> None:
    requirement = k8s.LabelSelectorRequirement(key="team", operator="In", values=("red", "green"))
    allowed = k8s.AllowedRoutes(
        namespaces=k8s.RouteNamespaces(
            from_="Selector", selector=k8s.LabelSelector(match_expressions=(requirement,))
        )
    )
    lab = with_listeners(k8s.Listener(name="http", port=80, protocol="HTTP", allowed_routes=allowed))
    lab.put(namespace("guest", team="green"), service(ns="guest"), route(ns="guest", parents=[parent(ns=NS)]))
    assert lab.route_condition(ACCEPTED, ns="guest") == ("True", "Accepted")


def test_a_listener_for_other_kinds_does_not_allow_http_routes() -> None:
    lab = with_listeners(listener(kinds=["TLSRoute"])).put(route())
    assert lab.route_condition(ACCEPTED) == ("False", "NotAllowedByListeners")


@pytest.mark.parametrize(
    ("listening", "asked", "effective"),
    [
        (None, None, ()),
        (None, ["b.test", "a.test"], ("a.test", "b.test")),
        ("a.test", None, ("a.test",)),
        ("very.specific.com", ["non.matching.com", "very.specific.com"], ("very.specific.com",)),
        (
            "*.wildcard.io",
            ["foo.wildcard.io", "bar.wildcard.io", "wildcard.io"],
            ("bar.wildcard.io", "foo.wildcard.io"),
        ),
        ("*.anotherwildcard.io", ["*.anotherwildcard.io"], ("*.anotherwildcard.io",)),
        ("very.specific.com", ["*.specific.com"], ("very.specific.com",)),
        ("*.specific.com", ["*.very.specific.com"], ("*.very.specific.com",)),
        ("*.very.specific.com", ["*.specific.com"], ("*.very.specific.com",)),
        ("*.example.com", ["a.b.example.com"], ("a.b.example.com",)),
        ("a.test", ["A.Test"], ("a.test",)),
    ],
)
def test_hostnames_intersect(
    listening: str | None, asked: list[str] | None, effective: tuple[str, ...]
) -> None:
    lab = with_listeners(listener(hostname=listening)).put(route(hostnames=asked))
    assert attachments(lab) == {f"{NS}/gw/http": effective}


@pytest.mark.parametrize(
    ("listening", "asked"),
    [
        ("a.test", ["b.test"]),
        ("*.example.com", ["example.com"]),
        ("*.example.com", ["badexample.com"]),
        ("example.com", ["*.example.com"]),
        ("a.test", ["*.a.test"]),
    ],
)
def test_hostnames_without_intersection_refuse_the_route(listening: str, asked: list[str]) -> None:
    lab = with_listeners(listener(hostname=listening)).put(route(hostnames=asked))
    assert lab.route_condition(ACCEPTED) == ("False", "NoMatchingListenerHostname")
    assert lab.attached() == {"http": 0}


def test_a_route_attaches_where_its_hostnames_fit_only() -> None:
    lab = with_listeners(listener("a", hostname="a.test"), listener("b", hostname="b.test"))
    lab.put(route(hostnames=["b.test"]))
    assert attachments(lab) == {f"{NS}/gw/b": ("b.test",)}
    assert lab.attached() == {"a": 0, "b": 1}


def test_a_hostname_that_is_none_refuses_the_route() -> None:
    lab = Lab(*basics(), route(hostnames=["10.0.0.1"]))
    assert lab.route_condition(ACCEPTED) == ("False", "UnsupportedValue")


def test_a_route_of_a_conflicted_listener_comes_alive_when_the_conflict_ends() -> None:
    lab = with_listeners(listener("a"), listener("b")).put(route(parents=[parent(section="a")]))
    assert lab.route() is None
    lab.put(gateway("gw", listener("a"), generation=2))
    assert set(attachments(lab)) == {f"{NS}/gw/a"}


def test_a_deleted_gateway_takes_its_entry_from_the_routes_status() -> None:
    lab = Lab(*basics(), route())
    lab.remove(gateway())
    assert lab.route_status().parents == ()
    assert not lab.proxy.resources


def test_a_deleted_route_is_forgotten() -> None:
    lab = Lab(*basics(), route()).remove(route())
    assert (Kind.HTTP_ROUTE, Ref(NS, "route")) not in lab.proxy.statuses
    assert lab.route() is None
    assert not lab.proxy.of(type(lab.route()))


def test_conditions_carry_the_routes_generation() -> None:
    lab = Lab(*basics(), route(generation=4))
    (entry,) = lab.route_status().parents
    assert {item.observed_generation for item in entry.conditions} == {4}


def test_the_age_of_a_route_goes_along_for_ties() -> None:
    made = Lab(*basics(), route(created=30)).route()
    assert made is not None
    assert made.created_s == 1_767_225_630
