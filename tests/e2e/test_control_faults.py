"""The two halves live and die apart: whatever happens to control, what serves goes on serving."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from fairlead.resources import KINDS
from tests.e2e.harness import manifests
from tests.e2e.harness.api import GATEWAY_API, Watch, condition
from tests.e2e.harness.client import Plan
from tests.e2e.harness.cluster import Cluster, Namespace
from tests.e2e.harness.fairlead import HEALTH, Fairlead
from tests.e2e.harness.fault_api import FaultAPI
from tests.e2e.harness.load import Result
from tests.e2e.harness.waiting import eventually

pytestmark = pytest.mark.cluster

HOST = "control.example"
GRANTED = "granted.example"
"""Leads to a Service of another namespace."""
PLURALS = {kind.value: info.plural for kind, info in KINDS.items()}
"""Every kind that is watched, by the names that the instance and the API have for it."""
HASTY_DEATHS = 5
SETTLED_S = 10.0
"""What dies soon is started again later and later; what has lived for so long, at once."""


def serve(cluster: Cluster, namespace: Namespace, gateway: str) -> Plan:
    """Four Pods behind a route, and the load that all these tests put on it."""
    namespace.apply(
        manifests.deployment("echo", 4), manifests.service("echo"), manifests.http_route("echo", HOST, "echo")
    )
    namespace.wait_for_pods("echo", 4)
    eventually("first answer", lambda: cluster.get(gateway, 8080, HOST).status == 200)
    return Plan(address=gateway, port=8080, hosts=[HOST], connections=16, rate=300, poisson=True)


def assert_unharmed(result: Result, plan: Plan) -> None:
    """No request failed, and no client's connection was closed."""
    assert not result.failed, result.describe()
    assert result.opened == plan.connections, result.describe()


def assert_changes_arrive(cluster: Cluster, namespace: Namespace, gateway: str, *, within: float) -> None:
    """A route made now is served within so many seconds."""
    cluster.wait_for_gateway_api()
    routes = f"{GATEWAY_API}/namespaces/{namespace.name}/httproutes"
    cluster.api.request("POST", routes, manifests.http_route("late", "late.example", "echo"))
    eventually(
        "the new route", lambda: cluster.get(gateway, 8080, "late.example").status == 200, within=within
    )


@pytest.fixture
def granting(namespace: Namespace) -> Iterator[Namespace]:
    """Another namespace."""
    made = Namespace(namespace.cluster, f"{namespace.name}-granting")
    yield made
    made.delete()


def use_optional_kinds(cluster: Cluster, namespace: Namespace, granting: Namespace, gateway: str) -> None:
    """Makes round robin the policy of HOST, and a route to the other namespace, which allows it."""
    granting.apply(
        manifests.deployment("granted", 2),
        manifests.service("granted"),
        manifests.reference_grant("granted", namespace.name, "granted"),
    )
    namespace.apply(
        manifests.round_robin("echo"),
        manifests.http_route("granted", GRANTED, "granted", namespace=granting.name),
    )
    granting.wait_for_pods("granted", 2)
    namespace.wait_for_policy("echo-round-robin")
    eventually("first answer", lambda: cluster.get(gateway, 8080, GRANTED).status == 200)


def test_death_of_the_controller_fails_no_request(
    cluster: Cluster, namespace: Namespace, fairlead: Fairlead, gateway: str
) -> None:
    plan = serve(cluster, namespace, gateway)
    with cluster.load(plan) as load:
        time.sleep(1)
        for killed in range(2):
            old = fairlead.halves()["controller"]
            fairlead.kill("controller")
            fairlead.wait_for_new("controller", old)
            # Its successor writes status at once: it need not wait for the dead one's Lease to expire.
            route = f"after-{killed}"
            namespace.apply(manifests.http_route(route, f"{route}.example", "echo"))
            namespace.kubectl(
                "wait", "--for=jsonpath={.status.parents[0]}", "--timeout=8s", f"httproute/{route}"
            )
        assert_changes_arrive(cluster, namespace, gateway, within=15)
        result = load.stop()
    assert_unharmed(result, plan)


def test_restart_of_the_controller_without_api_server_removes_nothing(
    cluster: Cluster, namespace: Namespace, granting: Namespace, fairlead: Fairlead, gateway: str
) -> None:
    plan = serve(cluster, namespace, gateway)
    use_optional_kinds(cluster, namespace, granting, gateway)
    plan.hosts, plan.identified = [HOST, GRANTED], True
    with cluster.load(plan) as load:
        with cluster.without_api_server():
            old = fairlead.halves()["controller"]
            fairlead.kill("controller")
            fairlead.wait_for_new("controller", old)
            time.sleep(5)
            assert fairlead.ready(), "readiness does not depend on the API server"
        assert_changes_arrive(cluster, namespace, gateway, within=15)
        result = load.stop()
    cluster.recover()
    assert_unharmed(result, plan)
    assert_policy_held(fairlead)


def known(fairlead: Fairlead) -> set[str]:
    """The kinds that the controller has listed."""
    return {PLURALS[kind["kind"]] for kind in fairlead.instance()["kinds"] if kind["synced"]}


def assert_policy_held(fairlead: Fairlead) -> None:
    """All requests of the load for HOST were balanced by the policy."""
    picked = Counter(line.lb_reason for line in fairlead.access_log() if line.id and line.host == HOST)
    assert set(picked) == {"turn"}, f"the policy held all the time, but: {picked}"


def assert_never_denied(watch: Watch, name: str, entries: str, kind: str) -> None:
    """No status that the object had meanwhile lacked this condition or said that it is not so."""
    for event in watch.of(name):
        held = [condition(entry, kind) for entry in event.object["status"][entries]]
        assert held, event.object
        assert all(entry is not None and entry["status"] == "True" for entry in held), event.object


@pytest.mark.parametrize("fault", ["forbid", "hang", "absent"])
def test_a_kind_that_cannot_be_listed_removes_nothing(
    cluster: Cluster,
    namespace: Namespace,
    granting: Namespace,
    fault_api: FaultAPI,
    tmp_path: Path,
    fault: str,
) -> None:
    fairlead = Fairlead(cluster, tmp_path, kubeconfig=fault_api.kubeconfig)
    fairlead.start()
    routes = f"{GATEWAY_API}/namespaces/{namespace.name}/httproutes"
    policies = f"/apis/fairlead.dev/v1alpha1/namespaces/{namespace.name}/backendpolicies"
    try:
        namespace.apply(manifests.gateway())
        gateway = namespace.programmed_address()
        plan = serve(cluster, namespace, gateway)
        use_optional_kinds(cluster, namespace, granting, gateway)
        plan.hosts, plan.identified = [HOST, GRANTED], True
        with (
            cluster.api.watch(routes) as of_routes,
            cluster.api.watch(policies) as of_policies,
            cluster.load(plan) as load,
        ):
            for deaths, faulty in enumerate((*({each} for each in PLURALS.values()), set(PLURALS.values()))):
                if deaths == HASTY_DEATHS:
                    time.sleep(SETTLED_S)
                fault_api.set(dict.fromkeys(faulty, fault))
                old = fairlead.halves()["controller"]
                fairlead.kill("controller")
                fairlead.wait_for_new("controller", old)
                others = set(PLURALS.values()) - faulty
                eventually("all others are known", lambda: known(fairlead) == others)  # noqa: B023
                time.sleep(1)  # what it were to take away would be gone by now
            # The last controller goes on by itself. A list that nobody answers is given up within 20 s.
            healing = fairlead.halves()["controller"]
            fault_api.set({})
            assert_changes_arrive(cluster, namespace, gateway, within=30)
            assert fairlead.halves()["controller"] == healing, "no new controller was needed"
            result = load.stop()
        assert_unharmed(result, plan)
        assert_policy_held(fairlead)
        assert_never_denied(of_policies, "echo-round-robin", "ancestors", "Accepted")
        assert_never_denied(of_routes, "granted", "parents", "ResolvedRefs")
        # Known again, the grants count again.
        granting.kubectl("delete", "referencegrant", "granted")
        eventually("500", lambda: cluster.get(gateway, 8080, GRANTED).status == 500, within=10)
        fairlead.assert_nothing_in_flight()
    finally:
        fairlead.stop()
        print(fairlead.tail())


def test_death_of_the_proxy_is_over_within_a_second(
    cluster: Cluster, namespace: Namespace, fairlead: Fairlead, gateway: str
) -> None:
    plan = serve(cluster, namespace, gateway)
    time.sleep(2)  # the last-good file is written at most once a second
    # Without the API server what is served afterwards can come from the disk only.
    with cluster.without_api_server():
        old = fairlead.halves()["controller"]
        fairlead.kill("controller")
        fairlead.wait_for_new("controller", old)
        with cluster.load(plan) as load:
            time.sleep(1)
            killed_at = time.monotonic()
            fairlead.kill("proxy")
            time.sleep(4)
            result = load.stop()
    cluster.recover()
    assert result.opened == 2 * plan.connections, "each was opened once more and then kept"
    others = result.where(lambda record: record.done < killed_at or record.sent > killed_at + 1)
    assert not others.failed, others.describe()
    broken = [record for record in result.failed if record.error in {"closed", "reset"}]
    assert len({record.connection for record in broken}) == len(broken), "one request per open connection"
    assert {record.error for record in result.failed} <= {"closed", "reset", "connect"}, result.describe()
    assert_changes_arrive(cluster, namespace, gateway, within=30)


def test_without_any_configuration_it_is_not_ready(cluster: Cluster, tmp_path: Path) -> None:
    unreachable = tmp_path / "unreachable"
    unreachable.write_text(cluster.kubeconfig.read_text().replace(":6443", ":1"))
    fairlead = Fairlead(cluster, tmp_path, kubeconfig=unreachable)
    fairlead.start(ready=False)
    try:
        readyz = partial(cluster.status, *HEALTH, "localhost", "/readyz")
        assert eventually("/readyz answers", readyz) == 503
        time.sleep(2)
        assert readyz() == 503
    finally:
        fairlead.stop()


def test_a_stop_finishes_what_it_took(cluster: Cluster, namespace: Namespace, tmp_path: Path) -> None:
    fairlead = Fairlead(cluster, tmp_path)
    fairlead.start()
    namespace.apply(manifests.gateway())
    plan = serve(cluster, namespace, namespace.programmed_address())
    # Requests are on their way at any moment, but not so many that one would wait for a connection.
    plan.path, plan.rate = "/?delay=30ms", 150
    with cluster.load(plan) as load:
        time.sleep(1)
        stopped_at = time.monotonic()
        fairlead.stop()
        result = load.stop()
    print(fairlead.tail())
    # The grace time is 1 s: whoever comes within it is served as ever.
    early = result.where(lambda record: record.done < stopped_at + 0.8)
    assert not early.failed, early.describe()
    # Later ones find nobody; none was accepted and then dropped. (What the kernel has not handed over yet when the
    # listening socket closes, it resets.)
    ends = {(record.error, record.opened) for record in result.failed}
    assert ends <= {("connect", False), ("reset", True)}, result.describe()
