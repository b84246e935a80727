"""`fairlead get`: what people and scripts see."""

import json

import msgspec
import pytest
import yaml

from fairlead import snapshot
from fairlead.resources import Kind
from fairlead.sources import Finding, Unavailable
from tests.admin.rig import condition, endpoint, gateway, gateway_status
from tests.cli.conftest import Cli, Instance


def table(text: str) -> list[list[str]]:
    return [[cell for cell in line.split("   ") if cell] for line in text.splitlines()]


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in row] for row in table(text)]


def test_gateways_in_columns(cli: Cli, instance: Instance) -> None:
    code, out, _ = cli("get", "gateways")
    assert code == 0
    assert cells(out) == [
        ["NAME", "CLASS", "ADDRESS", "PROGRAMMED", "AGE"],
        ["edge", "fairlead", "127.1.2.3", "True", "<unknown>"],
    ]


def test_all_namespaces_put_the_namespace_first(cli: Cli, instance: Instance) -> None:
    for flag in ("-A", "--all-namespaces"):
        _, out, _ = cli("get", "gateways", flag)
        assert [row[:2] for row in cells(out)] == [
            ["NAMESPACE", "NAME"],
            ["default", "edge"],
            ["shop", "edge"],
        ]


def test_another_namespace(cli: Cli, instance: Instance) -> None:
    _, out, _ = cli("get", "gateways", "-n", "shop", "-o", "json")
    assert [item["metadata"]["namespace"] for item in json.loads(out)["items"]] == ["shop"]


def test_a_namespace_without_items_says_where_they_are(cli: Cli, instance: Instance) -> None:
    code, out, err = cli("get", "gateways", "-n", "empty")
    assert (code, out) == (0, "")
    assert "No gateways found in namespace empty." in err
    assert "use -A" in err


def test_an_empty_list_says_what_is_wrong(cli: Cli, instance: Instance) -> None:
    instance.rig.ready = False
    instance.rig.inventory.apply(
        [
            Unavailable(Kind.SERVICE, "Forbidden", "no right to list"),
            Finding("BrokenDocument", "bad indentation", "web.yaml:7"),
        ]
    )
    _, _, err = cli("get", "gateways", "-n", "empty")
    assert "hint: not everything has been read yet, Service: Forbidden: no right to list" in err
    assert "finding: web.yaml:7: bad indentation (BrokenDocument)" in err


def test_wide_names_the_problem(cli: Cli, instance: Instance) -> None:
    _, out, _ = cli("get", "routes", "-o", "wide")
    (row,) = cells(out)[1:]
    assert row[:5] == ["api", "a.example.com,b.example.com", "edge", "True", "False"]
    assert row[-1] == "BackendNotFound: Service default/api is missing"


def test_wide_names_the_listeners_reason_before_the_gateways(cli: Cli, instance: Instance) -> None:
    unbound = condition("Programmed", "False", "PortUnavailable", "127.1.2.3:8080: in use")
    status = gateway_status("False")
    listener = msgspec.structs.replace(status.listeners[0], conditions=(unbound,))
    instance.rig.put(Kind.GATEWAY, gateway("edge"), msgspec.structs.replace(status, listeners=(listener,)))
    _, out, _ = cli("get", "gateways", "-o", "wide")
    assert cells(out)[1][-1] == "http: PortUnavailable: 127.1.2.3:8080: in use"


def test_endpoints_show_share_success_and_latency(cli: Cli, instance: Instance) -> None:
    _, out, _ = cli("get", "endpoints")
    assert cells(out) == [
        ["BACKEND", "ENDPOINT", "STATE", "SHARE", "SUCCESS", "LATENCY", "REASON"],
        ["web:80", "10.0.0.1:8001", "ready", "75.0%", "90.0%", "2.00ms", "<none>"],
        ["web:80", "10.0.0.1:8002", "ready", "25.0%", "100.0%", "2.00ms", "NotReady"],
    ]


def test_wide_shows_a_backends_policy_and_where_it_comes_from(cli: Cli, instance: Instance) -> None:
    def row() -> dict[str, str]:
        _, out, _ = cli("get", "backends", "-o", "wide")
        head, cells_of_it = cells(out)
        return dict(zip(head, cells_of_it, strict=True))

    names = ("BALANCER", "HASHED-BY", "MAX-CONNECTIONS", "RETRIES", "ORIGIN")
    assert [row()[name] for name in names] == ["PeakEWMA", "-", "-", "1", "<none>"]
    origins = dict.fromkeys(("max_connections_per_endpoint", "retry_attempts"), "BackendPolicy/default/web")
    policy = snapshot.Policy(max_connections_per_endpoint=8, retry_attempts=0, origins=origins)
    instance.rig.serve(endpoint(8001), policy=policy)
    assert [row()[name] for name in names] == ["PeakEWMA", "-", "8", "0", "BackendPolicy/default/web"]
    for hashing, shown in (
        (snapshot.ConsistentHash(type=snapshot.HashKey.SOURCE_IP), "SourceIP"),
        (snapshot.ConsistentHash(type=snapshot.HashKey.HEADER, header="X-User"), "Header:X-User"),
    ):
        balancer = snapshot.LoadBalancer.CONSISTENT_HASH
        instance.rig.serve(
            endpoint(8001), policy=snapshot.Policy(load_balancer=balancer, consistent_hash=hashing)
        )
        assert [row()[name] for name in names[:2]] == ["ConsistentHash", shown]


@pytest.mark.parametrize("name", ["web", "web:80"])
def test_endpoints_of_one_backend(cli: Cli, instance: Instance, name: str) -> None:
    _, out, _ = cli("get", "endpoints", name, "--no-headers")
    assert len(out.splitlines()) == 2
    code, _, err = cli("get", "endpoints", "other")
    assert code == 1
    assert err == 'error: endpoints "other" not found in namespace default (NotFound)\n'


@pytest.mark.parametrize("word", ["gateways", "gateway", "gtw", "Gateway"])
def test_kubectls_words_are_understood(cli: Cli, instance: Instance, word: str) -> None:
    code, out, _ = cli("get", word, "edge", "-o", "name")
    assert (code, out) == (0, "gateway.gateway.networking.k8s.io/edge\n")


def test_json_is_a_list_or_the_one_object_by_name(cli: Cli, instance: Instance) -> None:
    _, out, _ = cli("get", "gateways", "-o", "json")
    assert json.loads(out)["kind"] == "List"
    _, out, _ = cli("get", "gateways", "edge", "-o", "json")
    assert json.loads(out)["metadata"]["name"] == "edge"


def test_yaml_is_the_kubernetes_object_with_its_status(cli: Cli, instance: Instance) -> None:
    _, out, _ = cli("get", "gateways", "edge", "-o", "yaml")
    item = yaml.safe_load(out)
    assert list(item) == ["apiVersion", "kind", "metadata", "spec", "status"]
    assert (item["apiVersion"], item["kind"]) == ("gateway.networking.k8s.io/v1", "Gateway")
    assert {one["type"]: one["status"] for one in item["status"]["conditions"]} == {
        "Accepted": "True",
        "Programmed": "True",
    }
    assert item["status"]["listeners"][0]["attachedRoutes"] == 2


def test_a_watch_shows_all_and_then_what_changes(
    cli: Cli, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []

    def collect(texts: list[str]) -> None:
        lines.extend(texts)
        if len(lines) == 2:
            instance.rig.put(Kind.GATEWAY, gateway("new"), gateway_status("False"))
        if len(lines) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("fairlead.cli._get._print", collect)
    code, _, _ = cli("get", "gateways", "-w")
    assert code == 130
    assert [line.split()[0] for line in lines] == ["NAME", "edge", "new"]
    assert lines[0].index("CLASS") == lines[1].index("fairlead")


def test_a_watch_that_the_instance_ends_is_an_error(
    cli: Cli, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fairlead.cli._get._print", lambda _texts: instance.stop())
    code, _, err = cli("get", "gateways", "-w")
    assert code == 1
    assert "(InstanceUnavailable)" in err


def test_a_name_across_all_namespaces_is_refused(cli: Cli, instance: Instance) -> None:
    code, _, err = cli("get", "gateways", "edge", "-A")
    assert code == 2
    assert err.startswith("error: ")


def test_columns_are_as_wide_as_their_widest_cell(cli: Cli, instance: Instance) -> None:
    instance.rig.serve(endpoint(1), endpoint(2))
    _, out, _ = cli("get", "endpoints", "-o", "wide", "-A")
    lines = out.splitlines()
    heading = lines[0].index("ENDPOINT")
    assert all(line[heading - 1] == " " and line[heading] != " " for line in lines)
    assert all(line == line.rstrip() for line in lines)


def test_findings_are_a_table_of_places(cli: Cli, instance: Instance) -> None:
    instance.rig.inventory.apply(
        [
            Finding("BrokenDocument", "bad indentation", "web.yaml:7"),
            Finding("Duplicate", "Gateway default/edge stands twice", "web.yaml:31"),
            Finding("Undecodable", "spec: expected object", "HTTPRoute shop/web"),
        ]
    )
    code, out, _ = cli("get", "findings")
    assert code == 0
    assert cells(out) == [
        ["WHERE", "CODE", "MESSAGE"],
        ["HTTPRoute shop/web", "Undecodable", "spec: expected object"],
        ["web.yaml:7", "BrokenDocument", "bad indentation"],
        ["web.yaml:31", "Duplicate", "Gateway default/edge stands twice"],
    ]
    for name, lines in (("web.yaml", 2), ("web.yaml:7", 1), ("HTTPRoute shop/web", 1)):
        _, out, _ = cli("get", "findings", name, "--no-headers")
        assert len(out.splitlines()) == lines
    _, out, _ = cli("get", "findings", "web.yaml:7", "-o", "json")
    assert json.loads(out)["spec"] == {
        "where": "web.yaml:7",
        "code": "BrokenDocument",
        "message": "bad indentation",
    }
    _, out, _ = cli("get", "findings", "-o", "name")
    assert out.splitlines()[1] == "finding/web.yaml:7/BrokenDocument"


def test_no_findings_are_said_to_be_none(cli: Cli, instance: Instance) -> None:
    code, out, err = cli("get", "findings")
    assert (code, out, err) == (0, "", "No findings found.\n")
    code, _, err = cli("get", "findings", "web.yaml")
    assert code == 1
    assert 'findings "web.yaml" not found' in err
