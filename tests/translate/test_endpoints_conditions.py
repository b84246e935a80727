"""Ready, serving, terminating (reference: EndpointSlice rules 1.2; KEP-1669, KEP-1672)."""

import pytest

from fairlead import resources as k8s
from fairlead.translate import ConditionType
from tests.translate.harness import Lab, basics, endpoint, route, slice_

Flags = tuple[bool, bool, bool]


def flags(member: k8s.Endpoint) -> Flags:
    lab = Lab(*basics(), route()).put(slice_("web-1", member))
    (made,) = lab.endpoints()
    return made.ready, made.serving, made.terminating


def test_unknown_conditions_mean_ready_and_serving() -> None:
    assert flags(endpoint()) == (True, True, False)


def test_missing_conditions_mean_ready_and_serving() -> None:
    assert flags(k8s.Endpoint(addresses=("10.0.0.1",))) == (True, True, False)


def test_unknown_serving_means_true_whatever_ready_is() -> None:
    # The newer API text; the older one defers to `ready`. It matters only while the endpoint terminates.
    assert flags(endpoint(ready=False)) == (False, True, False)


@pytest.mark.parametrize(
    "given",
    [(True, True, False), (False, False, False), (False, True, True), (False, False, True)],
)
def test_known_conditions_are_kept(given: Flags) -> None:
    ready, serving, terminating = given
    assert flags(endpoint(ready=ready, serving=serving, terminating=terminating)) == given


def test_a_serving_and_terminating_endpoint_stays_as_fallback() -> None:
    assert flags(endpoint(ready=False, serving=True, terminating=True)) == (False, True, True)


def test_publish_not_ready_addresses_is_routed_ready_with_serving_false() -> None:
    assert flags(endpoint(ready=True, serving=False)) == (True, False, False)


def test_publish_not_ready_addresses_is_routed_while_terminating() -> None:
    assert flags(endpoint(ready=True, serving=True, terminating=True)) == (True, True, True)


def test_a_service_without_endpoints_is_known_and_empty_not_an_invalid_reference() -> None:
    lab = Lab(*basics(), route()).put(slice_("web-1"))
    assert lab.endpoints() == ()
    assert lab.route_condition(ConditionType.RESOLVED_REFS) == ("True", "ResolvedRefs")
    assert lab.route() is not None


def test_a_condition_that_changes_is_one_upsert() -> None:
    lab = Lab(*basics(), route())
    lab.put(slice_("web-1", endpoint(ready=False, serving=True, terminating=True)))
    (delta,) = lab.deltas
    (change,) = delta.endpoints
    assert [item.terminating for item in change.upserts] == [True]
    assert change.removals == ()
