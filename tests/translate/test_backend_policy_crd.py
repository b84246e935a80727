"""The CRD of BackendPolicy says what translation honours, and nothing else."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.snapshot import HashKey, LoadBalancer
from fairlead.sources.directory._schema import problems, schemas
from fairlead.translate._hashing import MAX_TABLE_SIZE

FILE = Path(__file__).parents[2] / "deploy" / "crds" / "fairlead.dev_backendpolicies.yaml"
SCHEMA = schemas()["fairlead.dev", "BackendPolicy"]["v1alpha1"]


def crd() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return found


def faults(spec: dict[str, Any]) -> list[str]:
    return problems({"apiVersion": "fairlead.dev/v1alpha1", "kind": "BackendPolicy", "spec": spec}, SCHEMA)


def hashing(spec: dict[str, Any]) -> dict[str, Any]:
    return {"targetRefs": [TARGET], "loadBalancer": {"type": "ConsistentHash", "consistentHash": spec}}


TARGET = {"group": "", "kind": "Service", "name": "web"}


def test_it_is_a_direct_policy_with_a_status_of_its_own() -> None:
    assert crd()["metadata"]["labels"]["gateway.networking.k8s.io/policy"] == "Direct"
    (version,) = crd()["spec"]["versions"]
    assert version["subresources"] == {"status": {}}
    assert crd()["spec"]["scope"] == "Namespaced"


def test_its_load_balancers_are_those_of_the_snapshot() -> None:
    kinds = SCHEMA["properties"]["spec"]["properties"]["loadBalancer"]["properties"]["type"]["enum"]
    assert kinds == [item.value for item in LoadBalancer]
    hashing = SCHEMA["properties"]["spec"]["properties"]["loadBalancer"]["properties"]["consistentHash"]
    assert hashing["properties"]["type"]["enum"] == [item.value for item in HashKey]
    assert hashing["properties"]["tableSize"]["maximum"] == MAX_TABLE_SIZE


@pytest.mark.parametrize(
    "spec",
    [
        {"targetRefs": [TARGET]},
        {"targetRefs": [{**TARGET, "sectionName": "http"}], "loadBalancer": {"type": "RoundRobin"}},
        hashing({"type": "SourceIP"}),
        hashing({"type": "Header", "header": {"name": "X-User"}, "tableSize": 655_373}),
        {"targetRefs": [TARGET], "circuitBreaker": {"perEndpoint": {"maxConnections": 1}}},
        {"targetRefs": [TARGET], "retry": {"attempts": 0}},
        {"targetRefs": [TARGET], "retry": {"attempts": 1}},
    ],
)
def test_what_works_is_valid(spec: dict[str, Any]) -> None:
    assert faults(spec) == []


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"targetRefs": []},
        {"targetRefs": [{"kind": "Service", "name": "web"}]},
        {"targetRefs": [TARGET] * 17},
        {"targetRefs": [TARGET], "loadBalancer": {}},
        {"targetRefs": [TARGET], "loadBalancer": {"type": "Random"}},
        hashing({}),
        hashing({"type": "Cookie"}),
        hashing({"type": "QueryParams"}),
        hashing({"type": "Header", "header": {}}),
        hashing({"type": "Header", "header": {"name": "a b"}}),
        hashing({"type": "SourceIP", "tableSize": 1}),
        hashing({"type": "SourceIP", "tableSize": 5_000_012}),
        {"targetRefs": [TARGET], "timeout": "1s"},
        {"targetRefs": [TARGET], "circuitBreaker": {}},
        {"targetRefs": [TARGET], "circuitBreaker": {"perEndpoint": {}}},
        {"targetRefs": [TARGET], "circuitBreaker": {"perEndpoint": {"maxConnections": 0}}},
        {"targetRefs": [TARGET], "circuitBreaker": {"maxConnections": 5}},
        {"targetRefs": [TARGET], "retry": {}},
        {"targetRefs": [TARGET], "retry": {"attempts": 2}},
    ],
)
def test_what_does_not_is_not(spec: dict[str, Any]) -> None:
    assert faults(spec)


def test_rules_of_the_api_server_hold_targets_to_services_named_once() -> None:
    rules = SCHEMA["properties"]["spec"]["properties"]["targetRefs"]["x-kubernetes-validations"]
    assert [rule["message"] for rule in rules] == [
        'a BackendPolicy applies to Services, with group "" and kind Service',
        "each target is named once",
    ]
