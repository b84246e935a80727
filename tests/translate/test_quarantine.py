"""One bad object harms itself only."""

from typing import Any

import msgspec
import pytest

from fairlead import resources as k8s
from fairlead import snapshot
from fairlead.translate import ConditionType
from tests.translate.harness import (
    NS,
    Lab,
    backend_ref,
    basics,
    condition,
    endpoint,
    gateway,
    listener,
    meta,
    policy,
    route,
    rule,
    service,
    slice_,
)

BROKEN: Any = 5
"""Where an object should be: what no decoder lets through, and a bug might."""


def broken_route(name: str = "bad", generation: int = 1) -> k8s.HTTPRoute:
    spec = k8s.HTTPRouteSpec(parent_refs=(k8s.ParentReference(name="gw"),), rules=(BROKEN,))
    return k8s.HTTPRoute(metadata=meta(name, generation=generation), spec=spec)


def refuse_routes(key: snapshot.Key, _: bytes) -> snapshot.Rejection | None:
    if key.kind is not snapshot.Kind.ROUTE:
        return None
    return snapshot.Rejection(kind=key.kind, name=key.name, reason="Odd", message="too odd")


def codes(lab: Lab) -> set[tuple[str, str]]:
    return set(lab.proxy.findings)


def test_a_route_that_raises_is_reported_and_others_go_on() -> None:
    lab = Lab(*basics(), broken_route(), route())
    assert codes(lab) == {("Internal", f"HTTPRoute {NS}/bad")}
    assert lab.route_condition(ConditionType.ACCEPTED, "bad") == ("False", "Internal")
    assert lab.route_condition(ConditionType.ACCEPTED) == ("True", "Accepted")
    assert lab.attached() == {"http": 1}


def test_a_route_that_begins_to_raise_keeps_its_last_good_form() -> None:
    lab = Lab(*basics(), route())
    before = lab.route()
    lab.put(broken_route("route", generation=2))
    assert lab.route() == before
    assert not lab.touched
    assert lab.route_condition(ConditionType.ACCEPTED) == ("False", "Internal")


def test_a_mended_route_leaves_quarantine() -> None:
    lab = Lab(*basics(), broken_route("route"))
    lab.put(route(generation=2))
    assert not lab.proxy.findings
    assert lab.route_condition(ConditionType.ACCEPTED) == ("True", "Accepted")
    assert lab.attached() == {"http": 1}


def test_a_quarantined_route_is_not_tried_again_by_itself() -> None:
    lab = Lab(*basics(), broken_route())
    assert lab.translator.idle
    lab.put(slice_("web-1", endpoint("10.0.0.2")))
    assert not lab.deltas


def test_a_broken_route_that_is_deleted_leaves_nothing() -> None:
    lab = Lab(*basics(), broken_route()).remove(broken_route())
    assert not lab.proxy.findings
    lab.assert_full_agrees()


def test_a_gateway_that_raises_keeps_its_listeners_and_routes() -> None:
    lab = Lab(*basics(), route())
    before = dict(lab.proxy.resources)
    spec = k8s.GatewaySpec(gateway_class_name="fairlead", listeners=(BROKEN,))
    lab.put(k8s.Gateway(metadata=meta("gw", generation=2), spec=spec))
    assert lab.proxy.resources == before
    assert codes(lab) == {("Internal", f"Gateway {NS}/gw")}
    assert condition(lab.gateway_status().conditions, ConditionType.ACCEPTED) == ("False", "Internal")
    lab.put(gateway("gw", listener("new"), generation=3))
    assert not lab.proxy.findings
    assert condition(lab.gateway_status().conditions, ConditionType.ACCEPTED) == ("True", "Accepted")


def test_a_slice_that_raises_keeps_what_it_said_and_others_go_on() -> None:
    lab = Lab(*basics(), route())
    bad = msgspec.structs.replace(slice_("web-1"), endpoints=(BROKEN,))
    lab.put(bad, slice_("web-2", endpoint("10.0.0.2", pod="p2")))
    assert sorted(lab.addresses()) == ["10.0.0.1:8080", "10.0.0.2:8080"]
    assert codes(lab) == {("Internal", f"EndpointSlice {NS}/web-1")}
    lab.put(slice_("web-3", endpoint("10.0.0.3", pod="p3")))
    assert codes(lab) == {("Internal", f"EndpointSlice {NS}/web-1")}, "still told while it stands"
    lab.put(slice_("web-1"))
    assert not lab.proxy.findings


def test_a_policy_that_raises_harms_no_backend() -> None:
    bad = msgspec.structs.replace(policy(), spec=BROKEN)
    lab = Lab(*basics(), route(), bad)
    assert lab.addresses() == ["10.0.0.1:8080"]
    assert [code for code, _ in lab.proxy.findings] == ["Internal"]
    lab.put(policy())
    assert not lab.proxy.findings
    assert lab.policy_status().ancestors


@pytest.mark.parametrize(
    "broken",
    [
        k8s.Service(metadata=meta("web"), spec=BROKEN),
        k8s.Namespace(metadata=k8s.ObjectMeta(name=NS, labels=BROKEN)),
    ],
)
def test_an_object_without_its_parts_harms_only_who_names_it(broken: k8s.Object) -> None:
    objects = [item for item in basics() if type(item) is not type(broken)]
    lab = Lab(*objects, broken, route())
    assert lab.translator.idle
    assert condition(lab.gateway_status().conditions, ConditionType.PROGRAMMED) == ("True", "Programmed")


def test_a_route_that_the_proxies_would_refuse_keeps_its_backends() -> None:
    def validate(key: snapshot.Key, body: bytes) -> snapshot.Rejection | None:
        return refuse_routes(key, body) if b"odd" in body else None

    lab = Lab(*basics(), route(), validate=validate)
    before = lab.route()
    lab.put(
        service("api"), route("route", rule(backend_ref("api")), hostnames=["odd.example.com"], generation=2)
    )
    assert lab.route() == before, "its last good version serves"
    assert lab.addresses() == ["10.0.0.1:8080"]
    assert lab.route_condition(ConditionType.ACCEPTED) == ("False", "UnsupportedValue")
    assert lab.route_condition(ConditionType.RESOLVED_REFS) == ("True", "ResolvedRefs")
    assert lab.attached() == {"http": 0}
    lab.put(route(generation=3))
    assert lab.route_condition(ConditionType.ACCEPTED) == ("True", "Accepted")
    assert lab.attached() == {"http": 1}


def test_a_refused_new_route_leaves_no_backends_behind() -> None:
    lab = Lab(*basics(), route(), validate=refuse_routes)
    assert lab.route() is None
    assert not lab.proxy.of(snapshot.Backend)
    assert not lab.proxy.of(snapshot.Endpoints)


def test_a_service_in_use_that_breaks_keeps_its_endpoints_and_others_go_on() -> None:
    lab = Lab(*basics(), route(), service("api"), route("second", rule(backend_ref("api"))))
    lab.put(k8s.Service(metadata=meta("web"), spec=BROKEN), slice_("api-1", endpoint("10.0.0.5"), of="api"))
    assert lab.addresses() == ["10.0.0.1:8080"]
    assert lab.addresses(f"Service/{NS}/api/80") == ["10.0.0.5:8080"]
    assert ("Internal", f"Service {NS}/web") in codes(lab)
    assert lab.translator.idle
    lab.put(service())
    assert not lab.proxy.findings
