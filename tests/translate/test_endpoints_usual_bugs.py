"""The usual bugs of gateways that follow EndpointSlices, as far as translation can have them.

Each test is named after what went wrong elsewhere (reference: endpoints, section 2). Those that a data plane can have
(workers that lag, health that keeps what is removed, retries that hide it) are tested in
`crates/proxy/tests/data_path/usual_bugs.rs`.
"""

import pytest

from fairlead import resources as k8s
from fairlead import snapshot
from fairlead.resources import Kind
from fairlead.sources import Removed, Synced, Unavailable, Upserted
from fairlead.translate import AddressBook, ConditionType, TranslateSettings, Translator
from tests.translate.harness import (
    NS,
    Lab,
    backend_ref,
    basics,
    endpoint,
    gateway,
    listener,
    namespace,
    route,
    rule,
    service,
    slice_,
)

WEB = f"Service/{NS}/web/80"


def test_endpoint_updates_are_not_lost_behind_configuration_work() -> None:
    """Envoy Gateway 4685, 5326: traffic to Pods that were long gone."""
    lab = Lab(*basics(), *(route(f"r{n}") for n in range(50)))
    lab.apply(Upserted(Kind.GATEWAY, gateway("gw", listener("renamed")), 1.0))
    lab.apply(Upserted(Kind.ENDPOINT_SLICE, slice_("web-1", endpoint("10.0.0.9", pod="p9")), 2.0))
    assert lab.translator.configuration_lane(lambda: False) is None, "held until all Routes are done"
    delta = lab.translator.endpoints_lane()
    assert delta is not None
    assert [item.address for item in delta.endpoints[0].upserts] == ["10.0.0.9"]
    assert not lab.translator.idle


def test_one_backend_without_endpoints_blocks_no_other() -> None:
    """kgateway 14184: the whole snapshot waited for one cluster."""
    lab = Lab(*basics(), route(), service("empty"), route("second", rule(backend_ref("empty"))))
    lab.put(slice_("web-1", endpoint("10.0.0.2")))
    assert lab.addresses() == ["10.0.0.2:8080"]
    assert lab.endpoints(f"Service/{NS}/empty/80") == ()


def test_a_configuration_error_does_not_stop_endpoint_updates() -> None:
    """Gloo 781, 657."""
    lab = Lab(*basics(), route(), route("bad", rule(backend_ref("nowhere"))))
    lab.put(gateway("gw", listener(), listener("broken", protocol="SCTP"), generation=2))
    lab.put(slice_("web-1", endpoint("10.0.0.2")))
    assert lab.addresses() == ["10.0.0.2:8080"]


def test_a_resync_that_changes_nothing_sends_nothing() -> None:
    """Gloo 2356, Istio 48016: endpoints dropped for a moment on every resync."""
    lab = Lab(*basics(), route())
    lab.put(*basics(), route())
    assert not lab.deltas


def test_a_rewritten_route_keeps_its_backends_endpoints_in_place() -> None:
    """Contour 2151: clusters were warmed again by route changes."""
    lab = Lab(*basics(), route())
    lab.put(route("route", rule(backend_ref(weight=5)), generation=2))
    assert lab.touched == {f"route/HTTPRoute/{NS}/route"}


def test_a_backend_that_moves_from_route_to_route_is_never_removed() -> None:
    """Gloo 4151: rewriting clusters dropped their endpoints."""
    lab = Lab(*basics(), route("one"))
    lab.apply(Removed(Kind.HTTP_ROUTE, route("one"), 0.0), Upserted(Kind.HTTP_ROUTE, route("two"), 0.0))
    lab.settle()
    assert not any(name.startswith(("backend/", "endpoints/")) for name in lab.touched)


def test_a_delete_event_without_labels_deletes_the_slice() -> None:
    """NGINX Gateway Fabric 5734, Istio 27612."""
    lab = Lab(*basics(), route())
    bare = k8s.EndpointSlice(metadata=k8s.ObjectMeta(name="web-1", namespace=NS))
    lab.remove(bare)
    assert lab.endpoints() == ()


def test_scaling_to_zero_empties_the_backend() -> None:
    """Contour 602: an empty subset was ignored."""
    lab = Lab(*basics(), route())
    lab.put(slice_("web-1"))
    assert lab.endpoints() == ()
    lab.put(slice_("web-1", endpoint()))
    lab.remove(slice_("web-1"))
    assert lab.endpoints() == ()


def test_duplicates_are_removed_by_more_than_the_address() -> None:
    """Istio 27603, Kubernetes 101935: deduplication by IP alone."""
    lab = Lab(*basics(), route())
    lab.put(
        slice_("web-1", endpoint("10.0.0.1", pod="p1"), port=8080),
        slice_("web-2", endpoint("10.0.0.1", pod="p1"), port=8081),
        slice_("web-3", endpoint("10.0.0.1", pod="p1"), port=8080),
    )
    assert sorted(lab.addresses()) == ["10.0.0.1:8080", "10.0.0.1:8081"]


def test_the_terminating_twin_of_a_running_pod_is_not_the_one_kept() -> None:
    """Kubernetes 135266."""
    lab = Lab(*basics(), route())
    lab.put(
        slice_("web-1", endpoint(pod="a-new", ready=True, serving=True)),
        slice_("web-2", endpoint(pod="z-old", ready=False, serving=False, terminating=True)),
    )
    assert [item.pod for item in lab.endpoints()] == [f"{NS}/a-new"]


def test_serving_pods_stay_known_while_all_of_them_terminate() -> None:
    """Traefik 12417, Envoy Gateway 6277: 503 although Pods still served."""
    lab = Lab(*basics(), route())
    lab.put(slice_("web-1", endpoint(ready=False, serving=True, terminating=True)))
    assert [(item.ready, item.serving, item.terminating) for item in lab.endpoints()] == [(False, True, True)]


def test_terminating_pods_are_told_as_such_so_that_they_are_drained() -> None:
    """Traefik 12417, second half: terminating Pods were never drained."""
    lab = Lab(*basics(), route())
    lab.put(slice_("web-1", endpoint(pod="stays"), endpoint("10.0.0.2", pod="leaves")))
    leaving = endpoint("10.0.0.2", pod="leaves", ready=False, serving=True, terminating=True)
    lab.put(slice_("web-1", endpoint(pod="stays"), leaving))
    told = {item.pod: (item.ready, item.serving, item.terminating) for item in lab.endpoints()}
    assert told == {f"{NS}/stays": (True, True, False), f"{NS}/leaves": (False, True, True)}
    assert lab.touched == {f"endpoints/{WEB}"}
    lab.put(slice_("web-1", endpoint(pod="stays")))
    assert [item.pod for item in lab.endpoints()] == [f"{NS}/stays"]


@pytest.mark.parametrize("conditions", [None, k8s.EndpointConditions()])
def test_nil_conditions_are_neither_a_panic_nor_not_ready(conditions: k8s.EndpointConditions | None) -> None:
    """ingress-nginx 9550, CoreDNS 4632."""
    lab = Lab(*basics(), route())
    lab.put(slice_("web-1", k8s.Endpoint(addresses=("10.0.0.1",), conditions=conditions)))
    assert [item.ready for item in lab.endpoints()] == [True]


def test_hints_never_fail_closed() -> None:
    """ingress-nginx 11342: 503 because no endpoint was in the zone."""
    lab = Lab(*basics(), route(), settings=TranslateSettings(zone="mine", node="mine"))
    lab.put(slice_("web-1", endpoint(for_zones=["other"], for_nodes=["other"])))
    assert len(lab.endpoints()) == 1


def test_prefer_same_node_is_not_read_as_same_zone() -> None:
    """Envoy Gateway 9537."""
    lab = Lab(*basics(), route(), settings=TranslateSettings(zone="z", node="n1"))
    near = endpoint("10.0.0.1", pod="p1", for_zones=["z"], for_nodes=["n1"])
    far = endpoint("10.0.0.2", pod="p2", for_zones=["z"], for_nodes=["n2"])
    lab.put(slice_("web-1", near, far))
    assert lab.addresses() == ["10.0.0.1:8080"]


def test_nothing_is_given_before_every_required_kind_was_listed() -> None:
    """kgateway 10319, 14363; Traefik: ready before the configuration was complete."""
    translator = Translator(TranslateSettings(), AddressBook())
    objects = [*basics(), route()]
    translator.apply([Upserted(Kind(type(item).__name__), item, 0.0) for item in objects])
    translator.apply([Synced(kind) for kind in Kind if kind is not Kind.ENDPOINT_SLICE])
    assert not translator.ready
    assert translator.configuration_lane(lambda: True) is None
    assert translator.endpoints_lane() is None
    translator.apply([Synced(Kind.ENDPOINT_SLICE)])
    assert translator.ready
    assert translator.configuration_lane(lambda: True) is not None


def test_a_kind_that_can_no_longer_be_listed_removes_nothing() -> None:
    lab = Lab(*basics(), route())
    for kind in Kind:
        lab.apply(Unavailable(kind, "Forbidden", "no"))
    lab.settle()
    assert not lab.deltas
    assert lab.translator.ready


def test_the_status_says_what_the_data_plane_does() -> None:
    """NGINX Gateway Fabric 5869: ResolvedRefs=True while requests failed."""
    lab = Lab(*basics(), route())
    lab.remove(service())
    made = lab.route()
    assert made is not None
    assert made.rules[0].targets == (snapshot.Target(weight=1, error=snapshot.TargetError.BACKEND_NOT_FOUND),)
    assert lab.route_condition(ConditionType.RESOLVED_REFS) == ("False", "BackendNotFound")
    assert not lab.proxy.of(snapshot.Endpoints)


def test_objects_may_come_in_any_order() -> None:
    lab = Lab()
    for item in reversed([*basics(), namespace("other"), route()]):
        lab.put(item)
    assert lab.addresses() == ["10.0.0.1:8080"]
    assert lab.attached() == {"http": 1}
