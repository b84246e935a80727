"""BackendPolicy: a Direct policy on Services of its namespace."""

import pytest

from fairlead import resources as k8s
from fairlead import snapshot
from fairlead.resources import Kind
from fairlead.snapshot import LoadBalancer
from fairlead.translate import ConditionType
from tests.translate.harness import (
    NS,
    Lab,
    backend_ref,
    basics,
    condition,
    gateway,
    gateway_class,
    meta,
    namespace,
    parent,
    policy,
    route,
    rule,
    service,
)

WEB = f"Service/{NS}/web/80"


def effective(lab: Lab, name: str = WEB) -> snapshot.Policy:
    return lab.proxy.of(snapshot.Backend)[name].policy


def accepted(lab: Lab, name: str = "policy") -> tuple[str, str]:
    (entry,) = lab.policy_status(name).ancestors
    return condition(entry.conditions, ConditionType.ACCEPTED)


def test_a_policy_takes_effect_on_its_service_and_says_where_it_comes_from() -> None:
    lab = Lab(*basics(), route(), policy())
    assert effective(lab).load_balancer is LoadBalancer.ROUND_ROBIN
    assert effective(lab).origins == {"load_balancer": f"BackendPolicy/{NS}/policy"}


def test_without_a_policy_the_default_holds_and_has_no_origin() -> None:
    assert effective(Lab(*basics(), route())) == snapshot.Policy()


def test_a_policy_event_touches_its_backends_only() -> None:
    lab = Lab(*basics(), route()).put(policy())
    assert lab.touched == {f"backend/{WEB}"}
    lab.remove(policy())
    assert lab.touched == {f"backend/{WEB}"}
    assert effective(lab) == snapshot.Policy()


def test_a_policy_of_another_namespace_has_no_effect() -> None:
    assert effective(Lab(*basics(), route(), policy(ns="other"))) == snapshot.Policy()


def test_a_port_goes_over_the_service() -> None:
    lab = Lab(*basics(), route(), policy("whole"), policy("port", ("web", "http"), lb="PeakEWMA", created=5))
    assert effective(lab).origins == {"load_balancer": f"BackendPolicy/{NS}/port"}
    assert accepted(lab, "whole") == accepted(lab, "port") == ("True", "Accepted")


def test_a_port_policy_leaves_the_other_ports_alone() -> None:
    ports = (k8s.ServicePort(port=80, name="http"), k8s.ServicePort(port=81, name="other"))
    lab = Lab(*basics(), service("web", *ports), route("route", rule(backend_ref(), backend_ref(port=81))))
    lab.put(policy("port", ("web", "other")))
    assert effective(lab) == snapshot.Policy()
    assert effective(lab, f"Service/{NS}/web/81").load_balancer is LoadBalancer.ROUND_ROBIN


def test_the_oldest_wins_and_the_loser_is_conflicted() -> None:
    lab = Lab(*basics(), route(), policy("a-younger", lb="PeakEWMA", created=9), policy("z-older", created=1))
    assert effective(lab).origins == {"load_balancer": f"BackendPolicy/{NS}/z-older"}
    assert accepted(lab, "z-older") == ("True", "Accepted")
    assert accepted(lab, "a-younger") == ("False", "Conflicted")


def test_of_equal_age_the_name_decides() -> None:
    lab = Lab(*basics(), route(), policy("b"), policy("a", lb="PeakEWMA"))
    assert effective(lab).origins == {"load_balancer": f"BackendPolicy/{NS}/a"}
    assert accepted(lab, "b") == ("False", "Conflicted")


def test_the_loser_takes_over_when_the_winner_goes() -> None:
    lab = Lab(*basics(), route(), policy("older", created=1), policy("younger", lb="PeakEWMA", created=2))
    lab.remove(policy("older"))
    assert effective(lab).origins == {"load_balancer": f"BackendPolicy/{NS}/younger"}
    assert accepted(lab, "younger") == ("True", "Accepted")
    lab.assert_full_agrees()


def test_a_policy_of_two_targets_may_lose_one() -> None:
    lab = Lab(
        *basics(),
        service("api"),
        route("route", rule(backend_ref(), backend_ref("api"))),
        policy("older", ("web", None), created=1),
        policy("younger", ("web", None), ("api", None), created=2),
    )
    assert accepted(lab, "younger") == ("False", "Conflicted")
    assert effective(lab).origins == {"load_balancer": f"BackendPolicy/{NS}/older"}
    assert effective(lab, f"Service/{NS}/api/80").origins == {"load_balancer": f"BackendPolicy/{NS}/younger"}


def test_a_missing_service_or_port_is_target_not_found() -> None:
    lab = Lab(*basics(), route("route", rule(backend_ref(), backend_ref("gone"))))
    lab.put(policy("a", ("gone", None)), policy("b", ("web", "nowhere")))
    assert accepted(lab, "a") == ("False", "TargetNotFound")
    assert accepted(lab, "b") == ("False", "TargetNotFound")
    lab.put(service("gone"))
    assert accepted(lab, "a") == ("True", "Accepted")


def test_an_unknown_value_is_invalid_and_wins_nothing() -> None:
    lab = Lab(*basics(), route(), policy("bad", lb="Magic", created=1), policy("good", created=2))
    assert accepted(lab, "bad") == ("False", "Invalid")
    assert accepted(lab, "good") == ("True", "Accepted")
    assert effective(lab).origins == {"load_balancer": f"BackendPolicy/{NS}/good"}


def test_each_field_says_where_it_comes_from() -> None:
    lab = Lab(*basics(), route(), policy(lb=None, max_connections=8, attempts=0))
    assert accepted(lab) == ("True", "Accepted")
    origin = f"BackendPolicy/{NS}/policy"
    assert effective(lab) == snapshot.Policy(
        max_connections_per_endpoint=8,
        retry_attempts=0,
        origins={"max_connections_per_endpoint": origin, "retry_attempts": origin},
    )


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (policy("bad", max_connections=0), "maxConnections"),
        (policy("bad", max_connections=2**31), "maxConnections"),
        (policy("bad", attempts=-1), "retry.attempts"),
        (policy("bad", attempts=2), "retry.attempts"),
    ],
)
def test_a_number_out_of_range_is_invalid_and_says_which(bad: k8s.BackendPolicy, field: str) -> None:
    lab = Lab(*basics(), route(), bad)
    assert accepted(lab, "bad") == ("False", "Invalid")
    (entry,) = lab.policy_status("bad").ancestors
    assert field in entry.conditions[0].message
    assert effective(lab) == snapshot.Policy()


def test_requests_may_be_hashed_by_the_clients_address() -> None:
    lab = Lab(
        *basics(), route(), policy(lb="ConsistentHash", hashing=k8s.ConsistentHashSpec(type="SourceIP"))
    )
    assert accepted(lab) == ("True", "Accepted")
    origin = f"BackendPolicy/{NS}/policy"
    assert effective(lab) == snapshot.Policy(
        load_balancer=LoadBalancer.CONSISTENT_HASH,
        consistent_hash=snapshot.ConsistentHash(type=snapshot.HashKey.SOURCE_IP, table_size=65_537),
        origins={"load_balancer": origin, "consistent_hash": origin},
    )
    lab.assert_full_agrees()


def test_requests_may_be_hashed_by_a_header() -> None:
    hashing = k8s.ConsistentHashSpec(
        type="Header", header=k8s.HashHeaderSpec(name="X-User"), table_size=655_373
    )
    lab = Lab(*basics(), route(), policy(lb="ConsistentHash", hashing=hashing))
    assert accepted(lab) == ("True", "Accepted")
    assert effective(lab).consistent_hash == snapshot.ConsistentHash(
        type=snapshot.HashKey.HEADER, header="X-User", table_size=655_373
    )
    lab.put(policy(lb="RoundRobin"))
    assert effective(lab).consistent_hash is None


def hashed(**fields: object) -> k8s.BackendPolicy:
    return policy("bad", lb="ConsistentHash", hashing=k8s.ConsistentHashSpec(**fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (policy("bad", lb="ConsistentHash"), "consistentHash is missing"),
        (policy("bad", hashing=k8s.ConsistentHashSpec(type="SourceIP")), "consistentHash is of use"),
        (hashed(type="Cookie"), "consistentHash.type 'Cookie'"),
        (hashed(type=None), "consistentHash.type None"),
        (hashed(type="Header"), "consistentHash.header is missing"),
        (hashed(type="Header", header=k8s.HashHeaderSpec(name="a b")), "consistentHash.header.name"),
        (hashed(type="Header", header=k8s.HashHeaderSpec(name="")), "consistentHash.header.name"),
        (hashed(type="SourceIP", header=k8s.HashHeaderSpec(name="a")), "consistentHash.header is of use"),
        (hashed(type="SourceIP", table_size=1), "consistentHash.tableSize"),
        (hashed(type="SourceIP", table_size=65_536), "consistentHash.tableSize"),
        (hashed(type="SourceIP", table_size=5_000_077), "consistentHash.tableSize"),
    ],
)
def test_hashing_that_cannot_work_is_invalid_and_says_why(bad: k8s.BackendPolicy, field: str) -> None:
    lab = Lab(*basics(), route(), bad)
    assert accepted(lab, "bad") == ("False", "Invalid")
    (entry,) = lab.policy_status("bad").ancestors
    assert field in entry.conditions[0].message
    assert effective(lab) == snapshot.Policy()


def test_a_policy_without_fields_is_accepted_and_changes_nothing() -> None:
    lab = Lab(*basics(), route(), policy(lb=None))
    assert accepted(lab) == ("True", "Accepted")
    assert effective(lab) == snapshot.Policy()


def test_the_ancestors_are_the_gateways_that_send_requests_to_a_target() -> None:
    lab = Lab(*basics(), gateway("second"), gateway("third"), policy())
    assert lab.policy_status().ancestors == ()
    lab.put(route(parents=[parent(), parent("second")]))
    assert [item.ancestor_ref.name for item in lab.policy_status().ancestors] == ["gw", "second"]
    assert lab.policy_status().ancestors[0].ancestor_ref == k8s.ParentReference(
        group="gateway.networking.k8s.io", kind="Gateway", namespace=NS, name="gw"
    )
    lab.put(route(parents=[parent("third")], generation=2))
    assert [item.ancestor_ref.name for item in lab.policy_status().ancestors] == ["third"]
    lab.remove(route())
    assert lab.policy_status().ancestors == ()
    lab.assert_full_agrees()


def test_a_route_that_is_not_accepted_makes_no_ancestor() -> None:
    lab = Lab(*basics(), policy(), route(parents=[parent(section="nowhere")]))
    assert lab.policy_status().ancestors == ()


def test_at_most_sixteen_ancestors_are_told_and_the_rest_is_reported() -> None:
    names = [f"g{number:02d}" for number in range(18)]
    lab = Lab(
        gateway_class(),
        namespace(NS),
        service(),
        policy(),
        *(gateway(name) for name in names),
        route(parents=[parent(name) for name in names]),
    )
    assert [item.ancestor_ref.name for item in lab.policy_status().ancestors] == names[:16]
    (finding,) = lab.proxy.findings.values()
    assert finding.code == "TooManyAncestors"
    assert "g17" in finding.message
    lab.remove(gateway("g00"), gateway("g01"))
    assert not lab.proxy.findings


def test_a_target_that_is_no_service_is_reported() -> None:
    odd = k8s.BackendPolicy(
        metadata=meta("policy"),
        spec=k8s.BackendPolicySpec(target_refs=(k8s.PolicyTargetRef(group="x.io", kind="Bucket", name="b"),)),
    )
    lab = Lab(*basics(), route(), odd)
    assert [finding.code for finding in lab.proxy.findings.values()] == ["InvalidTargetRef"]
    lab.remove(odd)
    assert not lab.proxy.findings


def test_conditions_carry_the_policys_generation() -> None:
    made = policy()
    newer = k8s.BackendPolicy(metadata=meta("policy", generation=6), spec=made.spec)
    lab = Lab(*basics(), route(), newer)
    assert lab.policy_status().ancestors[0].conditions[0].observed_generation == 6


def test_while_policies_cannot_be_read_backends_are_tentative() -> None:
    lab = Lab(*basics(), route(), synced=[kind for kind in Kind if kind is not Kind.BACKEND_POLICY])
    assert {key.name for key in lab.proxy.tentative} == {WEB}
