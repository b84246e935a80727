"""Zone and node hints (reference: EndpointSlice rules 1.4; KEP-2433, KEP-3015), and what Services say beside them."""

import json

import msgspec
import pytest

from fairlead import resources as k8s
from fairlead.translate import TranslateSettings
from tests.translate.harness import NS, Lab, basics, endpoint, route, slice_


def used(*members: k8s.Endpoint, zone: str = "", node: str = "") -> list[str]:
    lab = Lab(*basics(), route(), settings=TranslateSettings(zone=zone, node=node))
    lab.put(slice_("web-1", *members))
    lab.assert_full_agrees()
    return [item.address for item in lab.endpoints()]


def member(
    number: int,
    *,
    zones: tuple[str, ...] | None = None,
    nodes: tuple[str, ...] | None = None,
    ready: bool | None = None,
    terminating: bool | None = None,
) -> k8s.Endpoint:
    return endpoint(
        f"10.0.0.{number}",
        pod=f"p{number}",
        for_zones=zones,
        for_nodes=nodes,
        ready=ready,
        serving=True,
        terminating=terminating,
    )


def test_zone_hints_keep_the_own_zone() -> None:
    members = [member(1, zones=("a",)), member(2, zones=("b",)), member(3, zones=("a", "b"))]
    assert used(*members, zone="a") == ["10.0.0.1", "10.0.0.3"]
    assert used(*members, zone="b") == ["10.0.0.2", "10.0.0.3"]


def test_all_of_an_endpoints_8_zone_hints_are_read() -> None:
    """Limits at reading (validateEndpoints): 8 are the most that there may be."""
    zones = tuple(f"z{n}" for n in range(8))
    members = [member(1, zones=zones), member(2, zones=("other",))]
    assert [used(*members, zone=zone) for zone in zones] == [["10.0.0.1"]] * 8


def test_zone_hints_fail_open_if_one_usable_endpoint_has_none() -> None:
    assert len(used(member(1, zones=("a",)), member(2, zones=("b",)), member(3), zone="a")) == 3


def test_zone_hints_fail_open_if_none_names_the_own_zone() -> None:
    assert len(used(member(1, zones=("a",)), member(2, zones=("b",)), zone="c")) == 2


def test_hints_are_passed_over_without_a_zone_of_our_own() -> None:
    assert len(used(member(1, zones=("a",)), member(2, zones=("b",)))) == 2


def test_an_unready_endpoint_without_hints_does_not_switch_them_off() -> None:
    members = [member(1, zones=("a",)), member(2, zones=("b",)), member(3, ready=False)]
    assert used(*members, zone="a") == ["10.0.0.1"]


def test_hints_fail_open_while_no_endpoint_of_the_zone_is_ready() -> None:
    members = [member(1, zones=("a",), ready=False, terminating=True), member(2, zones=("b",))]
    assert used(*members, zone="a") == ["10.0.0.1", "10.0.0.2"]


def test_hints_fail_open_while_no_endpoint_is_ready_at_all() -> None:
    members = [
        member(1, zones=("a",), ready=False, terminating=True),
        member(2, zones=("b",), ready=False, terminating=True),
    ]
    assert used(*members, zone="a") == ["10.0.0.1", "10.0.0.2"]


def test_node_hints_come_first() -> None:
    members = [
        member(1, zones=("a",), nodes=("n1",)),
        member(2, zones=("a",), nodes=("n2",)),
        member(3, zones=("b",), nodes=("n3",)),
    ]
    assert used(*members, zone="a", node="n1") == ["10.0.0.1"]


def test_node_hints_are_not_zone_hints() -> None:
    members = [member(1, nodes=("n1",)), member(2, nodes=("n2",))]
    assert used(*members, zone="n1") == ["10.0.0.1", "10.0.0.2"]


def test_without_a_match_on_the_node_the_zone_decides() -> None:
    members = [member(1, zones=("a",), nodes=("n1",)), member(2, zones=("b",), nodes=("n2",))]
    assert used(*members, zone="b", node="n9") == ["10.0.0.2"]


def test_node_hints_fail_open_if_one_endpoint_has_none() -> None:
    members = [member(1, nodes=("n1",)), member(2)]
    assert used(*members, node="n1") == ["10.0.0.1", "10.0.0.2"]


@pytest.mark.parametrize(
    "fields",
    [
        # The slices' hints say it already.
        {"trafficDistribution": "PreferClose"},
        {"trafficDistribution": "PreferSameZone"},
        {"trafficDistribution": "PreferSameNode"},
        # These are for those that come by the Service's own addresses, on its node.
        {"internalTrafficPolicy": "Local"},
        {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30000},
        # kube-proxy's; ours is BackendPolicy's ConsistentHash.
        {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10}}},
    ],
    ids=lambda fields: " ".join(map(str, fields.items())),
)
def test_what_a_service_says_of_traffic_and_affinity_changes_no_endpoint(fields: dict[str, object]) -> None:
    spec = {"ports": [{"name": "http", "port": 80}], **fields}
    manifest = {"metadata": {"namespace": NS, "name": "web"}, "spec": spec}
    service = msgspec.json.decode(json.dumps(manifest), type=k8s.Service)
    here, elsewhere = (
        endpoint("10.0.0.1", pod="p1", node="n1", zone="a"),
        endpoint("10.0.0.2", pod="p2", node="n2", zone="b"),
    )
    lab = Lab(*basics(), route(), settings=TranslateSettings(zone="a", node="n1"))
    lab.put(slice_("web-1", here, elsewhere))
    resources = dict(lab.proxy.resources)
    lab.put(service)
    assert [item.address for item in lab.endpoints()] == ["10.0.0.1", "10.0.0.2"]
    assert lab.proxy.resources == resources
    # Where nobody is on the own node: as ever.
    lab.put(slice_("web-1", elsewhere))
    assert [item.address for item in lab.endpoints()] == ["10.0.0.2"]
    lab.assert_full_agrees()


def test_hints_that_come_and_go_are_followed() -> None:
    lab = Lab(*basics(), route(), settings=TranslateSettings(zone="a"))
    lab.put(slice_("web-1", member(1, zones=("a",)), member(2, zones=("b",))))
    assert [item.address for item in lab.endpoints()] == ["10.0.0.1"]
    lab.put(slice_("web-1", member(1), member(2)))
    assert [item.address for item in lab.endpoints()] == ["10.0.0.1", "10.0.0.2"]
    lab.put(slice_("web-1", member(2)))
    assert [item.address for item in lab.endpoints()] == ["10.0.0.2"]
    lab.assert_full_agrees()


def test_endpoints_left_out_by_hints_come_back_when_the_hints_go() -> None:
    lab = Lab(*basics(), route(), settings=TranslateSettings(zone="a"))
    lab.put(slice_("web-1", member(1, zones=("a",))), slice_("web-2", member(2, ready=False)))
    assert [item.address for item in lab.endpoints()] == ["10.0.0.1"]
    lab.put(slice_("web-1", member(1)))
    assert [item.address for item in lab.endpoints()] == ["10.0.0.1", "10.0.0.2"]
