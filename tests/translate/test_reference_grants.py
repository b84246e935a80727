"""References across namespaces need a ReferenceGrant, at every moment."""

import pytest

from fairlead import resources as k8s
from fairlead import snapshot
from fairlead.resources import Kind
from fairlead.sources import Synced, Unavailable
from fairlead.translate import ConditionType
from tests.translate.harness import (
    NS,
    Lab,
    backend_ref,
    basics,
    endpoint,
    grant,
    route,
    rule,
    service,
    slice_,
)

RESOLVED = ConditionType.RESOLVED_REFS
BACK = "Service/back/api/80"


def objects() -> list[k8s.Object]:
    return [
        *basics(),
        service("api", ns="back"),
        slice_("api-1", endpoint("10.9.0.1"), of="api", ns="back"),
        route("route", rule(backend_ref("api", namespace="back"))),
    ]


def errors(lab: Lab) -> list[snapshot.TargetError | None]:
    made = lab.route()
    assert made is not None
    return [item.error for item in made.rules[0].targets]


def test_without_a_grant_the_reference_is_not_permitted() -> None:
    lab = Lab(*objects())
    assert lab.route_condition(RESOLVED) == ("False", "RefNotPermitted")
    assert errors(lab) == [snapshot.TargetError.REF_NOT_PERMITTED]
    assert not lab.proxy.of(snapshot.Endpoints)


def test_a_missing_service_is_not_told_apart_without_a_grant() -> None:
    lab = Lab(*objects()).remove(service("api", ns="back"))
    assert lab.route_condition(RESOLVED) == ("False", "RefNotPermitted")


@pytest.mark.parametrize("name", [None, "api"])
def test_a_grant_for_all_or_for_this_service_permits_it(name: str | None) -> None:
    lab = Lab(*objects(), grant("g", "back", NS, to=name))
    assert lab.route_condition(RESOLVED) == ("True", "ResolvedRefs")
    assert lab.addresses(BACK) == ["10.9.0.1:8080"]


@pytest.mark.parametrize(
    "wrong",
    [
        grant("g", "back", NS, to="other"),
        grant("g", "back", "elsewhere"),
        grant("g", NS, NS),
        grant("g", "back", NS, kind="GRPCRoute"),
    ],
)
def test_a_grant_for_something_else_permits_nothing(wrong: k8s.ReferenceGrant) -> None:
    assert Lab(*objects(), wrong).route_condition(RESOLVED) == ("False", "RefNotPermitted")


def test_a_grant_to_another_kind_or_group_permits_nothing() -> None:
    for to in (
        k8s.ReferenceGrantTo(group="", kind="Secret"),
        k8s.ReferenceGrantTo(group="x", kind="Service"),
    ):
        good = grant("g", "back", NS)
        wrong = k8s.ReferenceGrant(
            metadata=good.metadata, spec=k8s.ReferenceGrantSpec(from_=good.spec.from_, to=(to,))
        )
        assert Lab(*objects(), wrong).route_condition(RESOLVED) == ("False", "RefNotPermitted")


def test_a_revoked_grant_ends_the_reference_in_the_next_slice() -> None:
    lab = Lab(*objects(), grant("g", "back", NS))
    lab.remove(grant("g", "back", NS))
    assert errors(lab) == [snapshot.TargetError.REF_NOT_PERMITTED]
    assert not lab.proxy.of(snapshot.Endpoints)
    assert len(lab.deltas) == 1


def test_another_grant_keeps_the_reference() -> None:
    lab = Lab(*objects(), grant("g", "back", NS), grant("h", "back", NS, to="api"))
    lab.remove(grant("g", "back", NS))
    assert not lab.touched
    assert lab.route_condition(RESOLVED) == ("True", "ResolvedRefs")


def test_a_grant_that_comes_touches_only_routes_that_cross_into_its_namespace() -> None:
    lab = Lab(*objects(), route("local"))
    lab.put(grant("g", "back", NS))
    assert f"route/HTTPRoute/{NS}/local" not in lab.touched
    assert f"route/HTTPRoute/{NS}/route" in lab.touched


REQUIRED = [kind for kind in Kind if kind not in (Kind.REFERENCE_GRANT, Kind.BACKEND_POLICY)]


@pytest.mark.parametrize("code", ["Forbidden", "NotFound", "Unreachable", "Slow"])
def test_while_grants_cannot_be_read_what_depends_on_them_is_tentative(code: str) -> None:
    lab = Lab(*objects(), route("local"), synced=[*REQUIRED, Kind.BACKEND_POLICY])
    lab.apply(Unavailable(Kind.REFERENCE_GRANT, code, "no"))
    lab.settle()
    assert {key.name for key in lab.proxy.tentative} == {f"HTTPRoute/{NS}/route"}
    assert lab.route_status().tentative
    assert not lab.route_status("local").tentative


def test_what_was_tentative_becomes_definite_when_grants_are_listed() -> None:
    lab = Lab(*objects(), synced=[*REQUIRED, Kind.BACKEND_POLICY])
    assert lab.proxy.tentative
    lab.put(grant("g", "back", NS))
    lab.apply(Synced(Kind.REFERENCE_GRANT))
    lab.settle()
    assert not lab.proxy.tentative
    assert lab.route_condition(RESOLVED) == ("True", "ResolvedRefs")
    lab.assert_full_agrees()


def test_a_kind_that_is_not_installed_counts_as_empty() -> None:
    lab = Lab(*objects(), synced=REQUIRED)
    for code, tentative in (("NotFound", True), ("NotInstalled", False)):
        for kind in (Kind.REFERENCE_GRANT, Kind.BACKEND_POLICY):
            lab.apply(Unavailable(kind, code, "no such CRD"))
        lab.settle()
        assert bool(lab.proxy.tentative) == tentative
        assert lab.route_condition(RESOLVED) == ("False", "RefNotPermitted")


@pytest.mark.parametrize("kind", REQUIRED)
@pytest.mark.parametrize("code", ["NotFound", "NotInstalled"])
def test_a_required_kind_that_is_absent_is_never_empty(kind: Kind, code: str) -> None:
    lab = Lab(*objects(), grant("g", "back", NS), route("local"))
    assert len(lab.addresses()) == len(lab.addresses(BACK)) == 1
    lab.apply(Unavailable(kind, code, "gone"))
    lab.settle()
    assert not lab.deltas
    restarted = Lab(*objects(), synced=[one for one in Kind if one is not kind])
    restarted.apply(Unavailable(kind, code, "gone"))
    restarted.settle()
    assert not restarted.deltas
    assert not restarted.translator.ready


def test_grants_that_were_listed_once_stay_while_they_cannot_be_read() -> None:
    lab = Lab(*objects(), grant("g", "back", NS))
    lab.apply(Unavailable(Kind.REFERENCE_GRANT, "NotInstalled", "gone"))
    lab.settle()
    assert not lab.deltas
    assert lab.route_condition(RESOLVED) == ("True", "ResolvedRefs")
