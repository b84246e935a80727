"""GatewayClasses, Gateways and their Listeners."""

import pytest

from fairlead import resources as k8s
from fairlead import snapshot
from fairlead.resources import Kind, Ref
from fairlead.translate import (
    FEATURES,
    ConditionType,
    GatewayAPI,
    GatewayClassStatus,
    ListenerStatus,
    TranslateSettings,
)
from tests.translate.harness import (
    NS,
    Lab,
    basics,
    condition,
    gateway,
    gateway_class,
    listener,
    meta,
    namespace,
    route,
)


def status(lab: Lab, name: str = "http", gw: str = "gw") -> ListenerStatus:
    (found,) = (item for item in lab.gateway_status(gw).listeners if item.name == name)
    return found


def of(lab: Lab, kind: ConditionType, name: str = "http") -> tuple[str, str]:
    return condition(status(lab, name).conditions, kind)


def gw(lab: Lab, kind: ConditionType) -> tuple[str, str]:
    return condition(lab.gateway_status().conditions, kind)


def with_listeners(*listeners: k8s.Listener) -> Lab:
    return Lab(*basics()[:2], gateway("gw", *listeners))


def test_a_class_of_ours_is_accepted_with_its_generation() -> None:
    lab = Lab(gateway_class())
    made = lab.proxy.statuses[Kind.GATEWAY_CLASS, Ref("", "fairlead")]
    assert isinstance(made, GatewayClassStatus)
    assert condition(made.conditions, ConditionType.ACCEPTED) == ("True", "Accepted")
    assert made.conditions[0].observed_generation == 1


def version(lab: Lab) -> tuple[str, str]:
    made = lab.proxy.statuses[Kind.GATEWAY_CLASS, Ref("", "fairlead")]
    assert isinstance(made, GatewayClassStatus)
    return condition(made.conditions, ConditionType.SUPPORTED_VERSION)


@pytest.mark.parametrize(
    ("bundles", "expected"),
    [
        ({"gateways": "v1.6.3", "httproutes": "v1.0.0"}, ("True", "SupportedVersion")),
        ({"gateways": "v1.6.3", "httproutes": "v1.7.0"}, ("False", "UnsupportedVersion")),
        ({"gateways": "v2.0.0"}, ("False", "UnsupportedVersion")),
        ({"gateways": "v0.8.1"}, ("False", "UnsupportedVersion")),
        ({"gateways": "v1.6.0-rc.1"}, ("False", "UnsupportedVersion")),
        ({"gateways": ""}, ("False", "UnsupportedVersion")),
        ({}, ("Unknown", "Pending")),
    ],
)
def test_a_class_says_whether_the_versions_of_the_crds_are_known(
    bundles: dict[str, str], expected: tuple[str, str]
) -> None:
    lab = Lab(*basics(), route())
    assert version(lab) == ("Unknown", "Pending")
    lab.translator.know(GatewayAPI(bundles=bundles))
    lab.settle()
    assert version(lab) == expected
    assert gw(lab, ConditionType.ACCEPTED) == ("True", "Accepted"), "served as well as may be"
    lab.assert_full_agrees()


def test_a_class_names_the_features_that_are_supported_in_order() -> None:
    lab = Lab(gateway_class())
    made = lab.proxy.statuses[Kind.GATEWAY_CLASS, Ref("", "fairlead")]
    assert isinstance(made, GatewayClassStatus)
    assert made.features == FEATURES == tuple(sorted(set(FEATURES)))
    assert "HTTPRouteMethodMatching" in made.features
    assert "HTTPRouteRequestMirror" not in made.features


def test_a_class_of_another_controller_is_left_alone() -> None:
    lab = Lab(*basics(), gateway_class("other", "example.com/x"), gateway("foreign", class_name="other"))
    assert (Kind.GATEWAY_CLASS, Ref("", "other")) not in lab.proxy.statuses
    assert (Kind.GATEWAY, Ref(NS, "foreign")) not in lab.proxy.statuses


def test_parameters_of_a_class_are_refused_and_its_gateways_wait() -> None:
    lab = Lab(*basics(), route())
    spec = k8s.GatewayClassSpec(
        controller_name=gateway_class().spec.controller_name, parameters_ref={"kind": "X"}
    )
    lab.put(k8s.GatewayClass(metadata=meta("fairlead", "", generation=2), spec=spec))
    made = lab.proxy.statuses[Kind.GATEWAY_CLASS, Ref("", "fairlead")]
    assert isinstance(made, GatewayClassStatus)
    assert condition(made.conditions, ConditionType.ACCEPTED) == ("False", "InvalidParameters")
    assert gw(lab, ConditionType.ACCEPTED) == ("Unknown", "Pending")
    assert not lab.proxy.of(snapshot.Listener)
    lab.assert_full_agrees()


def test_a_gateway_comes_alive_with_its_class_and_goes_with_it() -> None:
    lab = Lab(*basics()[1:], route())
    assert not lab.proxy.resources
    lab.put(gateway_class())
    assert lab.route() is not None
    lab.remove(gateway_class())
    assert not lab.proxy.resources
    assert (Kind.GATEWAY, Ref(NS, "gw")) not in lab.proxy.statuses
    assert lab.route_status().parents == ()
    lab.assert_full_agrees()


def test_a_class_may_be_ours_without_an_object() -> None:
    lab = Lab(*basics()[1:], settings=TranslateSettings(gateway_class="fairlead"))
    assert gw(lab, ConditionType.PROGRAMMED) == ("True", "Programmed")


def test_a_gateway_that_changes_to_a_foreign_class_gives_everything_back() -> None:
    lab = Lab(*basics(), route())
    lab.put(gateway(class_name="other", generation=2))
    assert not lab.proxy.resources
    assert lab.book.assignments() == {}
    assert lab.route_status().parents == ()


def test_a_gateway_with_an_http_listener_is_accepted_and_programmed() -> None:
    lab = Lab(*basics())
    assert gw(lab, ConditionType.ACCEPTED) == ("True", "Accepted")
    assert gw(lab, ConditionType.PROGRAMMED) == ("True", "Programmed")
    assert of(lab, ConditionType.ACCEPTED) == ("True", "Accepted")
    assert of(lab, ConditionType.PROGRAMMED) == ("True", "Programmed")
    assert of(lab, ConditionType.RESOLVED_REFS) == ("True", "ResolvedRefs")
    assert of(lab, ConditionType.CONFLICTED) == ("False", "NoConflicts")
    assert [item.kind for item in status(lab).supported_kinds] == ["HTTPRoute"]
    assert {key.kind for key in status(lab).keys} == {snapshot.Kind.LISTENER, snapshot.Kind.BIND}


def test_conditions_carry_the_generation_that_they_observed() -> None:
    lab = Lab(*basics())
    lab.put(gateway(generation=7))
    seen = {item.observed_generation for item in lab.gateway_status().conditions}
    seen |= {item.observed_generation for item in status(lab).conditions}
    assert seen == {7}


def test_several_listeners_share_a_port_and_its_bind() -> None:
    lab = with_listeners(listener("a", hostname="a.example.com"), listener("b", hostname="*.example.com"))
    assert len(lab.proxy.of(snapshot.Bind)) == 1
    assert {item.hostname for item in lab.proxy.of(snapshot.Listener).values()} == {
        "a.example.com",
        "*.example.com",
    }


def test_listeners_on_several_ports_have_a_bind_each() -> None:
    lab = with_listeners(listener("a", 8080), listener("b", 8081))
    assert sorted(item.port for item in lab.proxy.of(snapshot.Bind).values()) == [8080, 8081]


@pytest.mark.parametrize("protocol", ["HTTPS", "TLS", "TCP", "UDP", "example.com/x"])
def test_other_protocols_are_not_accepted(protocol: str) -> None:
    lab = with_listeners(listener(), listener("odd", 8081, protocol=protocol))
    assert of(lab, ConditionType.ACCEPTED, "odd") == ("False", "UnsupportedProtocol")
    assert of(lab, ConditionType.PROGRAMMED, "odd") == ("False", "Invalid")
    assert of(lab, ConditionType.PROGRAMMED) == ("True", "Programmed")
    assert gw(lab, ConditionType.ACCEPTED) == ("True", "ListenersNotValid")
    assert gw(lab, ConditionType.PROGRAMMED) == ("True", "Programmed")


def test_a_gateway_without_a_listener_that_can_be_served_is_not_accepted() -> None:
    lab = with_listeners(listener("odd", 1111, protocol="INVALID"))
    assert gw(lab, ConditionType.ACCEPTED) == ("False", "ListenersNotValid")
    assert gw(lab, ConditionType.PROGRAMMED) == ("False", "Invalid")
    assert status(lab, "odd").supported_kinds == ()


def test_listeners_with_one_port_and_hostname_are_all_conflicted() -> None:
    lab = with_listeners(
        listener("a", hostname="x.example.com"),
        listener("b", hostname="X.EXAMPLE.com"),
        listener("c", hostname="y.example.com"),
    )
    for name in ("a", "b"):
        assert of(lab, ConditionType.CONFLICTED, name) == ("True", "HostnameConflict")
        assert of(lab, ConditionType.ACCEPTED, name) == ("False", "HostnameConflict")
        assert of(lab, ConditionType.PROGRAMMED, name) == ("False", "HostnameConflict")
    assert of(lab, ConditionType.PROGRAMMED, "c") == ("True", "Programmed")
    assert list(lab.proxy.of(snapshot.Listener)) == [f"{NS}/gw/c"]


def test_two_listeners_without_hostname_on_one_port_conflict() -> None:
    lab = with_listeners(listener("a"), listener("b"))
    assert of(lab, ConditionType.CONFLICTED, "a") == ("True", "HostnameConflict")
    assert gw(lab, ConditionType.ACCEPTED) == ("False", "ListenersNotValid")


def test_protocols_that_cannot_share_a_port_conflict() -> None:
    lab = with_listeners(
        listener("a", 443), listener("b", 443, protocol="HTTPS"), listener("c", 443, protocol="UDP")
    )
    assert of(lab, ConditionType.CONFLICTED, "a") == ("True", "ProtocolConflict")
    assert of(lab, ConditionType.CONFLICTED, "b") == ("True", "ProtocolConflict")
    assert of(lab, ConditionType.CONFLICTED, "c") == ("False", "NoConflicts")


def test_a_tcp_listener_that_is_not_supported_conflicts_with_nobody() -> None:
    lab = with_listeners(listener("a", 80), listener("b", 80, protocol="TCP"))
    assert of(lab, ConditionType.PROGRAMMED, "a") == ("True", "Programmed")
    assert of(lab, ConditionType.ACCEPTED, "b") == ("False", "UnsupportedProtocol")


def test_a_resolved_conflict_is_served_again() -> None:
    lab = with_listeners(listener("a"), listener("b"))
    lab.put(gateway("gw", listener("a"), generation=2))
    assert of(lab, ConditionType.PROGRAMMED, "a") == ("True", "Programmed")
    lab.assert_full_agrees()


def test_a_name_given_twice_is_refused() -> None:
    lab = with_listeners(listener("a", 80), listener("a", 81), listener("b", 82))
    assert of(lab, ConditionType.ACCEPTED, "a") == ("False", "UnsupportedValue")
    assert [item.name for item in lab.gateway_status().listeners] == ["a", "b"]


@pytest.mark.parametrize("hostname", ["10.0.0.1", "*", "*.*.example.com", "a b", "-x.example.com", "x."])
def test_a_hostname_that_is_none_is_refused(hostname: str) -> None:
    lab = with_listeners(listener("a", hostname=hostname))
    assert of(lab, ConditionType.ACCEPTED, "a") == ("False", "UnsupportedValue")


def test_only_invalid_route_kinds_leave_nothing_to_serve() -> None:
    lab = with_listeners(listener("a", kinds=["TCPRoute"]), listener("b", 81))
    assert of(lab, ConditionType.RESOLVED_REFS, "a") == ("False", "InvalidRouteKinds")
    assert of(lab, ConditionType.PROGRAMMED, "a") == ("False", "Invalid")
    assert status(lab, "a").supported_kinds == ()


def test_valid_route_kinds_beside_invalid_ones_are_kept() -> None:
    lab = with_listeners(listener("a", kinds=["HTTPRoute", "InvalidRoute"]))
    assert of(lab, ConditionType.RESOLVED_REFS, "a") == ("False", "InvalidRouteKinds")
    assert of(lab, ConditionType.PROGRAMMED, "a") == ("True", "Programmed")
    assert [item.kind for item in status(lab, "a").supported_kinds] == ["HTTPRoute"]


def test_a_route_kind_of_another_group_is_invalid() -> None:
    odd = k8s.Listener(
        name="a",
        port=80,
        protocol="HTTP",
        allowed_routes=k8s.AllowedRoutes(kinds=(k8s.RouteGroupKind(group="example.com", kind="HTTPRoute"),)),
    )
    assert of(with_listeners(odd), ConditionType.RESOLVED_REFS, "a") == ("False", "InvalidRouteKinds")


def test_infrastructure_parameters_are_refused() -> None:
    made = gateway()
    spec = k8s.GatewaySpec(
        gateway_class_name="fairlead",
        listeners=made.spec.listeners,
        infrastructure=k8s.GatewayInfrastructure(parameters_ref={"kind": "ConfigMap"}),
    )
    lab = Lab(*basics()[:2], k8s.Gateway(metadata=made.metadata, spec=spec))
    assert gw(lab, ConditionType.ACCEPTED) == ("False", "InvalidParameters")
    assert not lab.proxy.resources


def test_a_status_that_somebody_writes_makes_no_work() -> None:
    lab = Lab(*basics(), route())
    (address,) = (item.value for item in lab.gateway_status().addresses)
    lab.put(gateway(recorded=address))
    assert not lab.deltas


def test_a_renamed_listener_goes_out_together_with_its_routes() -> None:
    lab = Lab(*basics(), *(route(f"r{n}") for n in range(30)))
    before = set(lab.proxy.of(snapshot.Listener))
    lab.put(gateway("gw", listener("renamed"), generation=2))
    (delta,) = [item for item in lab.deltas if item.removals]
    kinds = {item.key.kind for item in delta.upserts}
    assert kinds == {snapshot.Kind.LISTENER, snapshot.Kind.ROUTE}
    assert {key.name for key in delta.removals} == before
    assert len(delta.upserts) == 31


def test_attached_routes_is_a_counter_that_touches_no_route() -> None:
    lab = Lab(*basics())
    for number in range(3):
        lab.put(route(f"r{number}"))
        assert lab.attached() == {"http": number + 1}
        assert lab.touched <= {
            f"route/HTTPRoute/{NS}/r{number}",
            f"backend/Service/{NS}/web/80",
            f"endpoints/Service/{NS}/web/80",
        }
        assert lab.said == {f"HTTPRoute {NS}/r{number}", f"Gateway {NS}/gw"}
    lab.remove(route("r1"))
    assert lab.attached() == {"http": 2}


def test_attached_routes_counts_accepted_routes_of_listeners_that_are_not_served() -> None:
    """The conformance suite counts a Route on an HTTPS Listener whose certificate is missing."""
    lab = Lab(*basics(), gateway("gw", listener("tls", 443, protocol="HTTPS")), route())
    assert lab.attached() == {"tls": 1}
    assert not lab.proxy.resources


def test_attached_routes_leaves_out_routes_that_are_not_accepted() -> None:
    lab = Lab(*basics()[:2], gateway("gw", listener(hostname="foo.example.com")))
    lab.put(route("good"), route("bad", hostnames=["bar.example.com"]))
    assert lab.attached() == {"http": 1}


def test_a_route_that_selects_a_listener_twice_counts_once() -> None:
    parents = [k8s.ParentReference(name="gw"), k8s.ParentReference(name="gw", section_name="http")]
    assert Lab(*basics(), route(parents=parents)).attached() == {"http": 1}


def test_a_gateway_of_a_namespace_without_object_still_works() -> None:
    lab = Lab(gateway_class(), gateway(), route())
    assert lab.attached() == {"http": 1}
    lab.put(namespace(NS))
    assert lab.attached() == {"http": 1}
