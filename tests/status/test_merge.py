"""Own entries into atomic lists: what is foreign stays to the byte."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.api import GatewayClassStatus, GatewayStatus, ListenerEntry, ParentEntry, SupportedFeature
from fairlead.resources import Condition, GatewayStatusAddress, ParentReference
from fairlead.status import (
    merge_ancestors,
    merge_class,
    merge_conditions,
    merge_gateway,
    merge_parents,
)

OURS = "fairlead.dev/gateway-controller"
FOREIGN = b'{ "controllerName":"other.example/c" ,"parentRef":{"name":"web"},"extra":[1, 2],"conditions":[]}'


def condition(status: str = "True", at: str = "2026-01-01T00:00:00Z", **changes: object) -> Condition:
    return msgspec.structs.replace(
        Condition(type="Accepted", status=status, reason="Accepted", last_transition_time=at), **changes
    )


def entry(name: str, *conditions: Condition) -> ParentEntry:
    return ParentEntry(
        parent_ref=ParentReference(name=name), controller_name=OURS, conditions=conditions or (condition(),)
    )


def raw(value: ParentEntry | bytes) -> msgspec.Raw:
    return msgspec.Raw(value if isinstance(value, bytes) else msgspec.json.encode(value))


def decoded(merged: tuple[msgspec.Raw, ...] | None) -> list[ParentEntry]:
    assert merged is not None
    return [msgspec.json.decode(one, type=ParentEntry) for one in merged]


def test_an_entry_is_added_behind_the_foreign_ones() -> None:
    merged = merge_parents([raw(FOREIGN)], [entry("web")], OURS)
    assert merged is not None
    assert bytes(merged[0]) == FOREIGN
    assert decoded(merged)[1] == entry("web")


def test_an_entry_whose_parent_is_gone_goes_and_foreign_ones_stay() -> None:
    merged = merge_parents([raw(entry("old")), raw(FOREIGN)], [], OURS)
    assert merged is not None
    assert [bytes(one) for one in merged] == [FOREIGN]


def test_nothing_is_written_where_nothing_changed() -> None:
    live = [raw(FOREIGN), raw(entry("web"))]
    later = entry("web", condition(at="2026-02-02T00:00:00Z"))
    assert merge_parents(live, [later], OURS) is None
    assert merge_parents([raw(FOREIGN)], [], OURS) is None
    assert merge_ancestors([], [], OURS) is None


def test_the_transition_time_stays_while_the_status_stays() -> None:
    own = entry("web", condition(reason="Other", at="2026-02-02T00:00:00Z"))
    (merged,) = decoded(merge_parents([raw(entry("web"))], [own], OURS))
    assert merged.conditions[0].reason == "Other"
    assert merged.conditions[0].last_transition_time == "2026-01-01T00:00:00Z"


def test_the_transition_time_moves_with_the_status() -> None:
    (merged,) = merge_conditions([condition()], [condition("False", "2026-02-02T00:00:00Z")])
    assert merged.last_transition_time == "2026-02-02T00:00:00Z"


def test_a_new_observed_generation_is_a_change() -> None:
    merged = merge_parents([raw(entry("web"))], [entry("web", condition(observed_generation=2))], OURS)
    assert decoded(merged)[0].conditions[0].observed_generation == 2


def test_our_own_double_entry_is_cleaned_up() -> None:
    assert len(decoded(merge_parents([raw(entry("web")), raw(entry("web"))], [entry("web")], OURS))) == 1


def test_the_list_does_not_outgrow_the_schema() -> None:
    own = [entry(f"g{n}") for n in range(40)]
    merged = merge_parents([raw(FOREIGN)], own, OURS)
    assert merged is not None
    assert len(merged) == 32
    assert bytes(merged[0]) == FOREIGN


@given(
    foreign=st.lists(st.integers(0, 5), max_size=4),
    live=st.lists(st.sampled_from("abc"), unique=True),
    own=st.lists(st.sampled_from("abc"), unique=True),
    order=st.randoms(use_true_random=False),
)
def test_merging_is_idempotent_and_keeps_what_is_foreign(
    foreign: list[int], live: list[str], own: list[str], order: object
) -> None:
    strangers = [FOREIGN.replace(b"web", f"web{n}".encode()) for n in foreign]
    held = [raw(one) for one in strangers] + [raw(entry(name)) for name in live]
    order.shuffle(held)  # type: ignore[attr-defined]
    wanted = [entry(name) for name in own]
    merged = merge_parents(held, wanted, OURS)
    result = list(merged) if merged is not None else held
    assert sorted(bytes(one) for one in result if b"other.example" in bytes(one)) == sorted(strangers)
    assert {one.parent_ref.name for one in decoded(tuple(result)) if one.controller_name == OURS} == set(own)
    assert merge_parents(result, wanted, OURS) is None


GATEWAY = GatewayStatus(
    addresses=(GatewayStatusAddress(type="IPAddress", value="127.1.1.1"),),
    conditions=(condition(),),
    listeners=(ListenerEntry(name="http", attached_routes=1, conditions=(condition(),)),),
)


@pytest.mark.parametrize(
    ("change", "written"),
    [
        pytest.param({}, False, id="nothing"),
        pytest.param({"addresses": ()}, True, id="an address"),
        pytest.param({"conditions": (condition("False"),)}, True, id="a condition"),
        pytest.param(
            {"listeners": (ListenerEntry(name="http", attached_routes=2, conditions=(condition(),)),)},
            True,
            id="a count",
        ),
        pytest.param({"listeners": ()}, True, id="a listener"),
        pytest.param({"conditions": (condition(at="2027-01-01T00:00:00Z"),)}, False, id="only the time"),
    ],
)
def test_a_gateway_is_written_only_on_change(change: dict[str, object], written: bool) -> None:
    merged = merge_gateway(GATEWAY, msgspec.structs.replace(GATEWAY, **change))
    assert (merged is not None) == written


def test_conditions_of_others_on_a_gateway_are_no_reason_to_write() -> None:
    other = condition(type="example.com/Audited")
    assert merge_gateway(msgspec.structs.replace(GATEWAY, conditions=(other, condition())), GATEWAY) is None


def test_features_of_a_class_are_written_when_they_change_only() -> None:
    own = GatewayClassStatus(
        conditions=(condition(),), supported_features=(SupportedFeature(name="A"), SupportedFeature(name="B"))
    )
    assert merge_class(own, own) is None
    before = GatewayClassStatus(conditions=(condition(),), supported_features=(SupportedFeature(name="A"),))
    merged = merge_class(before, own)
    assert merged is not None
    assert [one.name for one in merged.supported_features] == ["A", "B"]
    assert msgspec.json.decode(msgspec.json.encode(merged))["supportedFeatures"] == [
        {"name": "A"},
        {"name": "B"},
    ]
