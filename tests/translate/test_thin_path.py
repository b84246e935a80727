"""From a Gateway, a Route, a Service and its slices to a Snapshot."""

from fairlead import snapshot
from fairlead.translate import ConditionType
from tests.translate.harness import NS, Lab, basics, endpoint, route, slice_


def test_a_route_to_a_service_becomes_a_snapshot() -> None:
    lab = Lab(*basics(), route())
    address = lab.gateway_status().addresses[0].value
    assert lab.proxy.of(snapshot.Bind) == {f"{address}:8080": snapshot.Bind(address=address, port=8080)}
    assert list(lab.proxy.of(snapshot.Listener)) == [f"{NS}/gw/http"]
    made = lab.route()
    assert made is not None
    assert [item.listener for item in made.attachments] == [f"{NS}/gw/http"]
    assert [target.backend for target in made.rules[0].targets] == [f"Service/{NS}/web/80"]
    assert lab.addresses() == ["10.0.0.1:8080"]
    assert lab.attached() == {"http": 1}
    assert lab.route_condition(ConditionType.ACCEPTED) == ("True", "Accepted")
    assert lab.route_condition(ConditionType.RESOLVED_REFS) == ("True", "ResolvedRefs")
    lab.assert_full_agrees()


def test_an_endpoint_event_touches_its_backend_only() -> None:
    lab = Lab(*basics(), route())
    lab.put(slice_("web-1", endpoint(), endpoint("10.0.0.2", pod="pod-2")), at=7.5)
    assert lab.touched == {f"endpoints/Service/{NS}/web/80"}
    assert not lab.said
    (delta,) = lab.deltas
    assert delta.event_at == 7.5
    (change,) = delta.endpoints
    assert [item.address for item in change.upserts] == ["10.0.0.2"]
    assert change.removals == ()


def test_a_route_event_touches_that_route_only() -> None:
    lab = Lab(*basics(), route("one"), route("two"))
    lab.put(route("two", hostnames=["two.example.com"], generation=2))
    assert lab.touched == {f"route/HTTPRoute/{NS}/two"}
    assert lab.said == {f"HTTPRoute {NS}/two"}


def test_removing_everything_leaves_nothing() -> None:
    objects = [*basics(), route()]
    lab = Lab(*objects)
    lab.remove(*objects)
    assert lab.proxy.resources == {}
    assert lab.proxy.statuses == {}
    lab.assert_full_agrees()
