"""Ports and application protocols (reference: EndpointSlice rules 1.3; KEP-752, KEP-3726)."""

import pytest

from fairlead import resources as k8s
from fairlead import snapshot
from fairlead.translate import ConditionType
from tests.translate.harness import NS, Lab, backend_ref, basics, endpoint, route, rule, service, slice_


def lab(svc: k8s.Service, *slices: k8s.EndpointSlice, port: int = 80) -> Lab:
    made = Lab(*basics(), route("route", rule(backend_ref(port=port))))
    return made.remove(slice_("web-1")).put(svc, *slices)


def port(number: int, name: str = "", *, protocol: str = "TCP", app: str | None = None) -> k8s.ServicePort:
    return k8s.ServicePort(port=number, name=name, protocol=protocol, app_protocol=app)


def test_the_service_port_is_found_by_name_and_the_slice_gives_the_number() -> None:
    svc = service("web", port(80, "http"), port(9090, "metrics"))
    ports = [k8s.EndpointPort(name="metrics", port=9999), k8s.EndpointPort(name="http", port=8080)]
    assert lab(svc, slice_("a", endpoint(), ports=ports)).addresses() == ["10.0.0.1:8080"]


def test_numbers_of_a_named_port_may_differ_from_slice_to_slice() -> None:
    made = lab(
        service(),
        slice_("a", endpoint("10.0.0.1", pod="p1"), port=8080),
        slice_("b", endpoint("10.0.0.2", pod="p2"), port=9090),
    )
    assert made.addresses() == ["10.0.0.1:8080", "10.0.0.2:9090"]


def test_up_to_20000_ports_per_slice_are_legal() -> None:
    """Limits at reading (validateEndpoints)."""
    ports = [k8s.EndpointPort(name=f"p{n}", port=1 + n, protocol="TCP") for n in range(20_000)]
    svc = service("web", port(80, "p19999"))
    assert lab(svc, slice_("a", endpoint(), ports=ports)).addresses() == ["10.0.0.1:20000"]


def test_the_service_port_number_is_not_the_pods() -> None:
    svc = service("web", port(8443, "http"))
    made = lab(svc, slice_("a", endpoint(), port=3000), port=8443)
    assert made.addresses(f"Service/{NS}/web/8443") == ["10.0.0.1:3000"]


@pytest.mark.parametrize("unnamed", ["", None])
def test_an_unnamed_port_is_matched_by_its_empty_name(unnamed: str | None) -> None:
    svc = service("web", port(80))
    assert lab(svc, slice_("a", endpoint(), port_name=unnamed)).addresses() == ["10.0.0.1:8080"]


def test_the_protocol_must_match_too() -> None:
    ports = [
        k8s.EndpointPort(name="http", port=53, protocol="UDP"),
        k8s.EndpointPort(name="http", port=8080, protocol="TCP"),
    ]
    assert lab(service(), slice_("a", endpoint(), ports=ports)).addresses() == ["10.0.0.1:8080"]


def test_an_absent_protocol_is_tcp() -> None:
    ports = [k8s.EndpointPort(name="http", port=8080)]
    assert lab(service(), slice_("a", endpoint(), ports=ports)).addresses() == ["10.0.0.1:8080"]


@pytest.mark.parametrize("ports", [(), (k8s.EndpointPort(name="other", port=1),)])
def test_a_slice_that_lacks_the_port_is_skipped(ports: tuple[k8s.EndpointPort, ...]) -> None:
    made = lab(
        service(),
        slice_("a", endpoint("10.0.0.1", pod="p1"), ports=ports),
        slice_("b", endpoint("10.0.0.2", pod="p2")),
    )
    assert made.addresses() == ["10.0.0.2:8080"]


def test_a_slice_with_null_ports_is_skipped() -> None:
    empty = k8s.EndpointSlice(metadata=slice_("a").metadata, endpoints=(endpoint(),), ports=None)
    assert lab(service(), empty).addresses() == []


@pytest.mark.parametrize("number", [None, 0, 65536])
def test_a_port_without_a_usable_number_is_skipped_never_dialled(number: int | None) -> None:
    assert lab(service(), slice_("a", endpoint(), port=number)).addresses() == []


def test_a_renamed_port_is_followed() -> None:
    made = lab(service(), slice_("a", endpoint()))
    made.put(service("web", port(80, "web")))
    assert made.addresses() == []
    made.put(slice_("a", endpoint(), port_name="web"))
    assert made.addresses() == ["10.0.0.1:8080"]
    made.assert_full_agrees()


def test_two_ports_of_a_service_are_two_backends() -> None:
    svc = service("web", port(80, "http"), port(81, "admin"))
    ports = [k8s.EndpointPort(name="http", port=8080), k8s.EndpointPort(name="admin", port=8081)]
    made = lab(svc, slice_("a", endpoint(), ports=ports))
    made.put(route("admin", rule(backend_ref(port=81))))
    assert made.addresses(f"Service/{NS}/web/80") == ["10.0.0.1:8080"]
    assert made.addresses(f"Service/{NS}/web/81") == ["10.0.0.1:8081"]


def test_a_tcp_and_a_udp_port_of_one_number_are_told_apart() -> None:
    svc = service("web", port(80, "quic", protocol="UDP"), port(80, "http"))
    assert lab(svc, slice_("a", endpoint())).addresses() == ["10.0.0.1:8080"]


@pytest.mark.parametrize("app", [None, "", "http", "HTTP", "ws", "kubernetes.io/ws"])
def test_protocols_that_speak_plain_http_are_used(app: str | None) -> None:
    made = lab(service("web", port(80, "http", app=app)), slice_("a", endpoint()))
    assert made.route_condition(ConditionType.RESOLVED_REFS) == ("True", "ResolvedRefs")
    assert made.addresses() == ["10.0.0.1:8080"]


@pytest.mark.parametrize("app", ["kubernetes.io/h2c", "kubernetes.io/wss", "https", "grpc", "mysql"])
def test_other_protocols_are_refused_at_the_reference(app: str) -> None:
    made = lab(service("web", port(80, "http", app=app)), slice_("a", endpoint()))
    assert made.route_condition(ConditionType.RESOLVED_REFS) == ("False", "UnsupportedProtocol")
    assert made.route_condition(ConditionType.ACCEPTED) == ("True", "Accepted")
    made_route = made.route()
    assert made_route is not None
    assert [item.error for item in made_route.rules[0].targets] == [snapshot.TargetError.UNSUPPORTED_PROTOCOL]


def test_a_udp_port_is_refused_at_the_reference() -> None:
    made = lab(service("web", port(80, "dns", protocol="UDP")))
    assert made.route_condition(ConditionType.RESOLVED_REFS) == ("False", "UnsupportedProtocol")
