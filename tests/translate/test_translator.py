"""The two lanes, and what is consistent about every Delta."""

from collections.abc import Callable
from itertools import count

import pytest

from fairlead import snapshot
from fairlead.resources import Kind, Ref
from fairlead.snapshot import Key
from fairlead.sources import Finding, Removed, Upserted
from fairlead.translate import Origin
from tests.translate.harness import (
    NS,
    Lab,
    backend_ref,
    basics,
    endpoint,
    gateway,
    grant,
    listener,
    route,
    rule,
    service,
    slice_,
)


def units(limit: int) -> Callable[[], bool]:
    counter = count(1)
    return lambda: next(counter) < limit


def routes(number: int) -> list[Upserted]:
    return [Upserted(Kind.HTTP_ROUTE, route(f"r{index:03d}"), 0.0) for index in range(number)]


def test_a_slice_ends_when_its_time_is_over_and_gives_what_is_done() -> None:
    lab = Lab(*basics())
    lab.apply(*routes(10))
    delta = lab.translator.configuration_lane(units(4))
    assert delta is not None
    assert sum(item.key.kind is snapshot.Kind.ROUTE for item in delta.upserts) == 4
    assert not lab.translator.idle


def test_a_slice_without_time_still_makes_progress() -> None:
    lab = Lab(*basics())
    lab.apply(*routes(3))
    for _ in range(3):
        assert not lab.translator.idle
        lab.translator.configuration_lane(lambda: False)
    assert lab.translator.idle


def test_an_idle_translator_gives_nothing() -> None:
    lab = Lab(*basics(), route())
    assert lab.translator.configuration_lane(lambda: True) is None
    assert lab.translator.endpoints_lane() is None


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_a_route_never_goes_out_before_its_backend_and_endpoints(limit: int) -> None:
    lab = Lab(*basics())
    lab.apply(
        *(
            Upserted(Kind.HTTP_ROUTE, route(f"r{index}", rule(backend_ref(f"s{index}"))), 0.0)
            for index in range(9)
        ),
        *(Upserted(Kind.SERVICE, service(f"s{index}"), 0.0) for index in range(9)),
    )
    # ProxyModel.check looks after every Delta.
    lab.settle(units(limit))
    assert len(lab.proxy.of(snapshot.Route)) == 9


def test_upserts_come_in_the_order_of_use_and_removals_in_reverse() -> None:
    lab = Lab(*basics(), route())
    order = {kind: position for position, kind in enumerate(snapshot.Kind)}
    first = Lab()
    first.put(*basics(), route())
    sent = [order[item.key.kind] for delta in first.deltas for item in delta.upserts]
    assert sent == sorted(sent)
    lab.remove(gateway())
    gone = [order[key.kind] for delta in lab.deltas for key in delta.removals]
    assert gone == sorted(gone, reverse=True)
    assert len(gone) == 5


def test_while_listeners_change_only_backends_and_endpoints_go_early() -> None:
    lab = Lab(*basics(), *(route(f"r{index}") for index in range(5)))
    lab.apply(
        Upserted(Kind.GATEWAY, gateway("gw", listener("renamed")), 0.0),
        Upserted(Kind.SERVICE, service("api"), 0.0),
        Upserted(Kind.HTTP_ROUTE, route("new", rule(backend_ref("api"))), 0.0),
    )
    early: set[snapshot.Kind] = set()
    while (delta := lab.translator.configuration_lane(lambda: False)) is None or not delta.removals:
        if delta is not None:
            early |= {item.key.kind for item in delta.upserts}
            assert not delta.statuses
            lab.proxy.apply(delta)
    assert early == {snapshot.Kind.ENDPOINTS, snapshot.Kind.BACKEND}
    lab.proxy.apply(delta)
    lab.settle()
    lab.assert_full_agrees()


def test_endpoints_change_while_their_backend_waits_to_be_removed() -> None:
    lab = Lab(*basics(), route("one"), route("two"))
    lab.apply(
        Upserted(Kind.GATEWAY, gateway("gw", listener("renamed")), 0.0),
        Removed(Kind.HTTP_ROUTE, route("one"), 0.0),
        Removed(Kind.HTTP_ROUTE, route("two"), 0.0),
    )
    for _ in range(2):
        assert lab.translator.configuration_lane(lambda: False) is None
    lab.apply(Upserted(Kind.ENDPOINT_SLICE, slice_("web-1", endpoint("10.0.0.7", pod="p7")), 0.0))
    delta = lab.translator.endpoints_lane()
    assert delta is not None
    lab.proxy.apply(delta)
    assert lab.addresses() == ["10.0.0.7:8080"]
    lab.settle()
    assert not lab.proxy.of(snapshot.Endpoints)
    lab.assert_full_agrees()


def test_the_endpoint_lane_tells_the_oldest_event() -> None:
    lab = Lab(*basics(), route(), service("api"), route("second", rule(backend_ref("api"))))
    lab.apply(
        Upserted(Kind.ENDPOINT_SLICE, slice_("api-1", endpoint("10.0.0.5"), of="api"), 9.0),
        Upserted(Kind.ENDPOINT_SLICE, slice_("web-1", endpoint("10.0.0.6")), 5.0),
        Upserted(Kind.ENDPOINT_SLICE, slice_("web-1", endpoint("10.0.0.7")), 7.0),
    )
    delta = lab.translator.endpoints_lane()
    assert delta is not None
    assert delta.event_at == 5.0
    assert {item.name for item in delta.endpoints} == {f"Service/{NS}/web/80", f"Service/{NS}/api/80"}


def test_endpoints_that_change_back_before_they_go_out_are_no_change() -> None:
    lab = Lab(*basics(), route())
    lab.apply(
        Upserted(Kind.ENDPOINT_SLICE, slice_("web-1", endpoint("10.0.0.9")), 1.0),
        Upserted(Kind.ENDPOINT_SLICE, slice_("web-1", endpoint()), 2.0),
    )
    assert lab.translator.endpoints_lane() is None
    assert lab.translator.idle


def test_origins_of_resources() -> None:
    lab = Lab(*basics(), route())
    origins = {key.kind: lab.translator.origin_of(key) for key in lab.proxy.resources}
    assert origins == {
        snapshot.Kind.BIND: Origin(Kind.GATEWAY, Ref(NS, "gw")),
        snapshot.Kind.LISTENER: Origin(Kind.GATEWAY, Ref(NS, "gw"), "http"),
        snapshot.Kind.ROUTE: Origin(Kind.HTTP_ROUTE, Ref(NS, "route")),
        snapshot.Kind.BACKEND: Origin(Kind.SERVICE, Ref(NS, "web"), "80"),
        snapshot.Kind.ENDPOINTS: Origin(Kind.SERVICE, Ref(NS, "web"), "80"),
    }
    assert lab.translator.origin_of(Key(snapshot.Kind.BIND, "[::1]:80")) is None
    assert lab.translator.origin_of(Key(snapshot.Kind.ROUTE, "strange")) is None


def test_findings_of_sources_pass_by() -> None:
    lab = Lab(*basics())
    lab.apply(Finding("BrokenDocument", "no", "a.yaml:3"))
    assert lab.translator.idle


def test_a_removal_of_something_unknown_is_no_work() -> None:
    lab = Lab(*basics())
    lab.remove(route("never"), grant("g", NS, NS), slice_("s"), service("nobody"))
    assert not lab.deltas
