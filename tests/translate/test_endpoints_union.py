"""Which endpoints exist (reference: EndpointSlice rules 1.1)."""

import pytest

from fairlead import resources as k8s
from fairlead import snapshot
from fairlead.resources import KINDS
from fairlead.translate import ConditionType
from tests.translate.harness import NS, Lab, backend_ref, basics, endpoint, route, rule, service, slice_


def lab(*slices: k8s.EndpointSlice, svc: k8s.Service | None = None) -> Lab:
    """A working Route to Service `web` with these slices only."""
    objects = [item for item in basics() if not isinstance(item, k8s.EndpointSlice | k8s.Service)]
    return Lab(*objects, svc or service(), route(), *slices)


def test_the_endpoints_are_the_union_of_all_slices() -> None:
    made = lab(slice_("a", endpoint("10.0.0.1", pod="p1")), slice_("b", endpoint("10.0.0.2", pod="p2")))
    assert made.addresses() == ["10.0.0.1:8080", "10.0.0.2:8080"]


def test_a_deleted_slice_takes_only_its_own_endpoints() -> None:
    gone = slice_("a", endpoint("10.0.0.1", pod="p1"))
    made = lab(gone, slice_("b", endpoint("10.0.0.2", pod="p2"))).remove(gone)
    assert made.addresses() == ["10.0.0.2:8080"]


def test_slices_of_other_services_and_namespaces_are_not_mixed_in() -> None:
    made = lab(
        slice_("a", endpoint("10.0.0.1")),
        slice_("b", endpoint("10.0.0.2"), of="other"),
        slice_("c", endpoint("10.0.0.3"), ns="elsewhere"),
        slice_("d", endpoint("10.0.0.4"), of=""),
    )
    assert made.addresses() == ["10.0.0.1:8080"]


def test_who_manages_a_slice_does_not_matter() -> None:
    own = slice_("a", endpoint("10.0.0.1", pod="p1"))
    labels = {**(own.metadata.labels or {}), "endpointslice.kubernetes.io/managed-by": "somebody"}
    foreign = k8s.EndpointSlice(
        metadata=k8s.ObjectMeta(name="b", namespace=NS, labels=labels),
        endpoints=(endpoint("10.0.0.2", pod="p2"),),
        ports=own.ports,
    )
    assert lab(own, foreign).addresses() == ["10.0.0.1:8080", "10.0.0.2:8080"]


def test_v1_endpoints_are_never_read() -> None:
    """KEP-752, KEP-4974: custom Endpoints are mirrored into slices; who read both would have them twice."""
    followed = {(info.group, info.plural) for info in KINDS.values()}
    assert ("discovery.k8s.io", "endpointslices") in followed
    assert not {plural for _, plural in followed} & {"endpoints"}


def test_a_slice_that_moves_to_another_service_leaves_the_first() -> None:
    made = lab(slice_("a", endpoint("10.0.0.1")), slice_("b", endpoint("10.0.0.2", pod="p2")))
    made.put(slice_("b", endpoint("10.0.0.2", pod="p2"), of="other"))
    assert made.addresses() == ["10.0.0.1:8080"]


def test_an_endpoint_in_two_slices_is_one_endpoint() -> None:
    made = lab(slice_("a", endpoint(ready=True)), slice_("b", endpoint(ready=True)))
    assert made.addresses() == ["10.0.0.1:8080"]


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_an_endpoint_in_two_slices_is_ready_if_either_says_so(names: tuple[str, str]) -> None:
    made = lab(slice_(names[0], endpoint(ready=False)), slice_(names[1], endpoint(ready=True)))
    assert [item.ready for item in made.endpoints()] == [True]


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_an_endpoint_that_one_of_two_slices_calls_terminating_terminates(names: tuple[str, str]) -> None:
    # A Pod never stops to terminate, so the slice that says so is the newer one.
    made = lab(
        slice_(names[0], endpoint(ready=True, serving=True)),
        slice_(names[1], endpoint(ready=False, serving=True, terminating=True)),
    )
    assert [(item.ready, item.terminating) for item in made.endpoints()] == [(False, True)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_pods_with_one_address_the_serving_one_that_stays_wins(order: tuple[int, int]) -> None:
    old = endpoint(pod="old", ready=False, serving=True, terminating=True)
    new = endpoint(pod="new", ready=True, serving=True)
    members = [(old, new)[index] for index in order]
    made = lab(slice_("a", *members))
    assert [item.pod for item in made.endpoints()] == [f"{NS}/new"]
    split = lab(slice_("a", members[0]), slice_("b", members[1]))
    assert [item.pod for item in split.endpoints()] == [f"{NS}/new"]


def test_pods_on_the_host_network_share_an_address_and_differ_by_port() -> None:
    made = lab(
        slice_("a", endpoint("10.0.0.1", pod="p1"), port=8080),
        slice_("b", endpoint("10.0.0.1", pod="p2"), port=8081),
    )
    assert sorted(made.addresses()) == ["10.0.0.1:8080", "10.0.0.1:8081"]


def test_a_new_pod_on_an_old_address_is_another_endpoint() -> None:
    made = lab(slice_("a", endpoint(pod="old")))
    (before,) = made.endpoints()
    made.put(slice_("a", endpoint(pod="new")))
    (after,) = made.endpoints()
    assert before.address == after.address
    assert before.id != after.id
    (delta,) = made.deltas
    assert delta.endpoints[0].removals == (before.id,)


def test_of_several_addresses_of_an_endpoint_the_first_is_used() -> None:
    several = k8s.Endpoint(addresses=("10.0.0.7", "10.0.0.8"))
    assert lab(slice_("a", several)).addresses() == ["10.0.0.7:8080"]


def test_an_endpoint_without_addresses_is_passed_over() -> None:
    made = lab(slice_("a", k8s.Endpoint(addresses=()), endpoint("10.0.0.2")))
    assert made.addresses() == ["10.0.0.2:8080"]


def test_slices_of_type_fqdn_are_ignored() -> None:
    made = lab(slice_("a", endpoint("pod.example.com"), family="FQDN"), slice_("b", endpoint()))
    assert made.addresses() == ["10.0.0.1:8080"]
    assert not made.proxy.findings


def test_dual_stack_uses_one_family_and_so_no_doubled_weight() -> None:
    both = [slice_("a", endpoint("10.0.0.1")), slice_("b", endpoint("fd00::1"), family="IPv6")]
    assert lab(*both).addresses() == ["10.0.0.1:8080"]
    assert lab(*both, svc=service(families=["IPv6", "IPv4"])).addresses() == ["fd00::1:8080"]


def test_dual_stack_takes_the_other_family_where_the_first_has_no_endpoints() -> None:
    made = lab(
        slice_("a", family="IPv4"),
        slice_("b", endpoint("fd00::1"), family="IPv6"),
        svc=service(families=["IPv4", "IPv6"]),
    )
    assert made.addresses() == ["fd00::1:8080"]
    made.put(slice_("a", endpoint("10.0.0.1"), family="IPv4"))
    assert made.addresses() == ["10.0.0.1:8080"]
    made.assert_full_agrees()


def test_a_headless_service_works_like_any_other() -> None:
    headless = k8s.Service(
        metadata=service().metadata,
        spec=k8s.ServiceSpec(cluster_ip="None", ports=(k8s.ServicePort(port=80, name="http"),)),
    )
    assert lab(slice_("a", endpoint()), svc=headless).addresses() == ["10.0.0.1:8080"]


def test_a_headless_service_without_ports_cannot_be_a_backend() -> None:
    headless = k8s.Service(metadata=service().metadata, spec=k8s.ServiceSpec(cluster_ip="None", ports=None))
    made = lab(slice_("a", endpoint(), ports=()), svc=headless)
    assert made.route_condition(ConditionType.RESOLVED_REFS) == ("False", "BackendNotFound")


def test_hand_made_slices_of_a_selectorless_service_are_used_with_the_services_identity() -> None:
    made = lab(slice_("a", endpoint("10.0.0.9", pod=None)), svc=service(uid="uid-of-the-service"))
    assert [item.id for item in made.endpoints()] == ["uid-of-the-service|10.0.0.9|8080|TCP"]
    assert made.endpoints()[0].pod is None


def test_a_target_without_uid_has_the_services_identity() -> None:
    hand_made = k8s.Endpoint(
        addresses=("10.0.0.9",), target_ref=k8s.ObjectReference(kind="Pod", name="p", namespace=NS)
    )
    made = lab(slice_("a", hand_made), svc=service(uid="uid-of-the-service"))
    assert [item.id for item in made.endpoints()] == ["uid-of-the-service|10.0.0.9|8080|TCP"]
    assert made.endpoints()[0].pod == f"{NS}/p"


def test_a_recreated_service_gives_its_pod_less_endpoints_a_new_identity() -> None:
    made = lab(slice_("a", endpoint(pod=None)), svc=service(uid="first"))
    made.put(service(uid="second"))
    assert [item.id for item in made.endpoints()] == ["second|10.0.0.1|8080|TCP"]


def test_an_external_name_is_never_followed() -> None:
    made = lab(slice_("a", endpoint()), svc=service(kind="ExternalName"))
    assert not made.proxy.of(snapshot.Endpoints)
    assert made.route_condition(ConditionType.RESOLVED_REFS) == ("False", "InvalidKind")


def test_a_service_that_becomes_an_external_name_is_left_at_once() -> None:
    made = lab(slice_("a", endpoint()))
    made.put(service(kind="ExternalName"))
    assert not made.proxy.of(snapshot.Backend)
    made.assert_full_agrees()


def test_endpoints_of_services_that_no_route_uses_are_not_sent() -> None:
    made = lab(slice_("a", endpoint()))
    made.put(service("unused"), slice_("u", endpoint("10.0.0.5"), of="unused"))
    assert not made.touched
    made.put(route("second", rule(backend_ref("unused"))))
    assert made.addresses(f"Service/{NS}/unused/80") == ["10.0.0.5:8080"]


def test_endpoints_carry_what_the_proxy_and_people_need() -> None:
    made = lab(slice_("a", endpoint(zone="z1", node="n1")))
    assert made.endpoints() == (
        snapshot.Endpoint(
            id="uid-pod-1|10.0.0.1|8080|TCP",
            address="10.0.0.1",
            port=8080,
            pod=f"{NS}/pod-1",
            node="n1",
            zone="z1",
        ),
    )


def test_endpoints_are_sorted_by_identity() -> None:
    made = lab(slice_("a", *(endpoint(f"10.0.0.{n}", pod=f"p{n}") for n in (3, 1, 2))))
    made.put(slice_("b", endpoint("10.0.0.4", pod="p0")))
    ids = [item.id for item in made.endpoints()]
    assert ids == sorted(ids)
    assert len(ids) == 4
