"""What a directory's files mean: one test for each sentence of the directory's laws."""

from typing import TypeVar

import msgspec
import pytest

from fairlead.resources import EndpointSlice, Gateway, GatewayClass, HTTPRoute, Kind, Namespace, Ref, Service
from fairlead.sources import Change, Finding, Removed, Synced, Upserted
from fairlead.sources.directory import DirectoryState, ManifestFile

T = TypeVar("T", bound=msgspec.Struct)

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: shop}
spec: {ports: [{port: 80}]}
"""

ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: echo, namespace: shop}
spec:
  parentRefs: [{name: web}]
  rules:
  - backendRefs: [{name: echo, port: 80}]
"""


def tell(state: DirectoryState, **files: str) -> list[Change]:
    return state.update([ManifestFile(f"{name}.yaml", text) for name, text in files.items()], at=1.0)


def objects(changes: list[Change], kind: type[T]) -> list[T]:
    return [c.object for c in changes if isinstance(c, Upserted) and isinstance(c.object, kind)]


def findings(changes: list[Change]) -> list[tuple[str, str]]:
    return [(c.code, c.where) for c in changes if isinstance(c, Finding) and not c.resolved]


def removed(changes: list[Change]) -> list[tuple[Kind, str]]:
    return [(c.kind, c.object.metadata.name) for c in changes if isinstance(c, Removed)]


def test_all_kinds_are_synced_after_the_first_look_even_where_nothing_is_written() -> None:
    changes = tell(DirectoryState())
    assert {c.kind for c in changes if isinstance(c, Synced)} == set(Kind)


def test_several_documents_of_one_file_are_several_objects() -> None:
    changes = tell(DirectoryState(), a=f"{SERVICE}---{ROUTE}")
    assert [o.metadata.name for o in objects(changes, Service)] == ["echo"]
    assert [o.metadata.name for o in objects(changes, HTTPRoute)] == ["echo"]


def test_the_items_of_a_list_are_objects() -> None:
    text = (
        "apiVersion: v1\nkind: List\nitems:\n"
        "- {apiVersion: v1, kind: Service, metadata: {name: a}}\n"
        "- {apiVersion: v1, kind: Service, metadata: {name: b}}"
    )
    assert [o.metadata.name for o in objects(tell(DirectoryState(), a=text), Service)] == ["a", "b"]


def test_fields_get_the_defaults_of_the_crds() -> None:
    route = objects(tell(DirectoryState(), a=ROUTE), HTTPRoute)[0]
    assert route.spec.parent_refs is not None
    assert (route.spec.parent_refs[0].group, route.spec.parent_refs[0].kind) == (
        "gateway.networking.k8s.io",
        "Gateway",
    )
    assert route.spec.rules is not None
    rule = route.spec.rules[0]
    assert rule.matches is not None
    assert rule.matches[0].path is not None
    assert (rule.matches[0].path.type, rule.matches[0].path.value) == ("PathPrefix", "/")
    assert rule.backend_refs is not None
    assert rule.backend_refs[0].weight == 1
    assert rule.backend_refs[0].kind == "Service"


def test_listeners_allow_routes_of_the_same_namespace_by_default() -> None:
    text = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: fairlead
  listeners: [{name: http, port: 8080, protocol: HTTP}]
"""
    gateway = objects(tell(DirectoryState(), a=text), Gateway)[0]
    allowed = gateway.spec.listeners[0].allowed_routes
    assert allowed is not None
    assert allowed.namespaces is not None
    assert allowed.namespaces.from_ == "Same"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("port: 80}]", "port: 80000}]", id="a number out of range"),
        pytest.param("name: web", "name: web, colour: red", id="an unknown field"),
        pytest.param("[{name: web}]", "web", id="a wrong type"),
    ],
)
def test_what_the_schema_refuses_is_reported_and_not_used(old: str, new: str) -> None:
    changes = tell(DirectoryState(), a=ROUTE.replace(old, new))
    assert objects(changes, HTTPRoute) == []
    assert findings(changes) == [("Invalid", "a.yaml:2")]


def test_a_refused_object_keeps_its_last_good_form_and_harms_no_other() -> None:
    state = DirectoryState()
    tell(state, a=f"{SERVICE}---{ROUTE}")
    bad = ROUTE.replace("port: 80}]", "port: 80000}]")
    changes = tell(state, a=f"{SERVICE.replace('port: 80', 'port: 81')}---{bad}")
    assert removed(changes) == []
    assert [o.spec.ports[0].port for o in objects(changes, Service) if o.spec.ports] == [81]
    assert [code for code, _ in findings(changes)] == ["Invalid"]


def test_the_uid_is_a_function_of_kind_namespace_and_name() -> None:
    def uid(text: str, kind: type[Service | HTTPRoute] = Service, **files: str) -> str:
        return objects(tell(DirectoryState(), **(files or {"a": text})), kind)[0].metadata.uid

    first = uid(SERVICE)
    assert uid("", other=SERVICE.replace("port: 80", "port: 90")) == first
    others = [
        uid(SERVICE.replace("name: echo", "name: else")),
        uid(SERVICE.replace("namespace: shop", "namespace: else")),
        uid(ROUTE, HTTPRoute),
    ]
    assert len({first, *others}) == 4


def test_the_generation_rises_when_the_spec_changes_and_only_then() -> None:
    state = DirectoryState()
    assert objects(tell(state, a=SERVICE), Service)[0].metadata.generation == 1
    labelled = SERVICE.replace("namespace: shop", "namespace: shop, labels: {a: b}")
    assert objects(tell(state, a=labelled), Service)[0].metadata.generation == 1
    changed = labelled.replace("port: 80", "port: 81")
    assert objects(tell(state, a=changed), Service)[0].metadata.generation == 2


def test_writing_a_default_out_changes_nothing() -> None:
    state = DirectoryState()
    tell(state, a=ROUTE)
    changes = tell(state, a=ROUTE.replace("port: 80}]", "port: 80, weight: 1}]"))
    assert changes == []


def test_a_comment_or_a_different_order_of_keys_changes_nothing() -> None:
    state = DirectoryState()
    tell(state, a=SERVICE)
    swapped = "# hello\nkind: Service\napiVersion: v1\nspec: {ports: [{port: 80}]}\nmetadata: {namespace: shop, name: echo}"
    assert tell(state, a=swapped) == []


def test_the_creation_time_is_as_written_else_the_epoch() -> None:
    written = SERVICE.replace("namespace: shop", "namespace: shop, creationTimestamp: 2024-05-01T10:00:00Z")
    plain = objects(tell(DirectoryState(), a=SERVICE), Service)[0]
    dated = objects(tell(DirectoryState(), a=written), Service)[0]
    assert plain.metadata.creation_timestamp is None
    assert dated.metadata.creation_timestamp == "2024-05-01T10:00:00Z"


def test_while_a_file_has_a_broken_document_objects_missing_from_it_stay() -> None:
    state = DirectoryState()
    tell(state, a=f"{SERVICE}---{ROUTE}")
    changes = tell(state, a=f"{SERVICE}---\nkind: [")
    assert removed(changes) == []
    assert [code for code, _ in findings(changes)] == ["BrokenDocument"]
    changes = tell(state, a=SERVICE)
    assert removed(changes) == [(Kind.HTTP_ROUTE, "echo")]
    assert [(c.code, c.resolved) for c in changes if isinstance(c, Finding)] == [("BrokenDocument", True)]


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        pytest.param("a: 1\nb: [\n", 8, id="never closed"),
        pytest.param("a: 1\nb: [\n\n\n", 8, id="never closed, with empty lines behind"),
        pytest.param("a: 1\nb: ]\nc: 2\n", 8, id="never opened"),
        pytest.param("\n\na\n", 9, id="not a mapping"),
        pytest.param("a: 1\nb: 2\na: 3\n", 9, id="a key that occurs twice"),
    ],
)
def test_a_broken_document_is_told_with_its_line_and_spoils_no_other_document(broken: str, line: int) -> None:
    changes = tell(DirectoryState(), a=f"{SERVICE}---\n{broken}---{ROUTE}")
    assert len(objects(changes, Service)) == 1
    assert len(objects(changes, HTTPRoute)) == 1
    assert findings(changes) == [("BrokenDocument", f"a.yaml:{line}")]


def test_a_broken_file_keeps_nothing_of_other_files() -> None:
    state = DirectoryState()
    tell(state, a=SERVICE, b=ROUTE)
    changes = tell(state, a="kind: [")
    assert removed(changes) == [(Kind.HTTP_ROUTE, "echo")]


def test_of_one_identity_in_two_files_the_first_path_wins_and_the_other_is_reported() -> None:
    state = DirectoryState()
    changes = tell(state, a=SERVICE, b=f"\n\n{SERVICE.replace('port: 80', 'port: 99')}")
    assert [o.spec.ports[0].port for o in objects(changes, Service) if o.spec.ports] == [80]
    assert findings(changes) == [("Duplicate", "b.yaml:4")]
    changes = tell(state, b=SERVICE.replace("port: 80", "port: 99"))
    assert [o.spec.ports[0].port for o in objects(changes, Service) if o.spec.ports] == [99]
    assert removed(changes) == []


def test_one_identity_twice_in_a_file_is_reported() -> None:
    changes = tell(DirectoryState(), a=f"{SERVICE}---{SERVICE.replace('port: 80', 'port: 99')}")
    assert [o.spec.ports[0].port for o in objects(changes, Service) if o.spec.ports] == [80]
    assert findings(changes) == [("Duplicate", "a.yaml:7")]


def test_a_used_namespace_exists_with_its_name_as_a_label() -> None:
    found = {o.metadata.name: o for o in objects(tell(DirectoryState(), a=SERVICE), Namespace)}
    assert set(found) == {"default", "shop"}
    assert found["shop"].metadata.labels == {"kubernetes.io/metadata.name": "shop"}


def test_a_written_namespace_keeps_its_labels() -> None:
    text = f"{SERVICE}---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, labels: {{team: a}}}}"
    found = {o.metadata.name: o for o in objects(tell(DirectoryState(), a=text), Namespace)}
    assert found["shop"].metadata.labels == {"team": "a", "kubernetes.io/metadata.name": "shop"}


def test_an_unused_implied_namespace_goes() -> None:
    state = DirectoryState()
    tell(state, a=SERVICE)
    assert (Kind.NAMESPACE, "shop") in removed(tell(state))


@pytest.mark.parametrize("controller", ["fairlead.dev/gateway-controller", "example.com/other"])
def test_the_gateway_class_exists_and_is_the_controllers(controller: str) -> None:
    (found,) = objects(tell(DirectoryState(controller)), GatewayClass)
    assert (found.metadata.name, found.spec.controller_name) == ("fairlead", controller)


def test_loopback_endpoints_are_allowed() -> None:
    text = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: echo-1, labels: {kubernetes.io/service-name: echo}}
addressType: IPv4
endpoints: [{addresses: [127.0.0.1]}]
ports: [{port: 8080}]
"""
    assert len(objects(tell(DirectoryState(), a=text), EndpointSlice)) == 1
    for address in ("0.0.0.0", "169.254.1.1", "224.0.0.1", "::1", "not-an-address", "127.0.0.01"):
        changes = tell(DirectoryState(), a=text.replace("127.0.0.1", f'"{address}"'))
        assert objects(changes, EndpointSlice) == []
        assert [code for code, _ in findings(changes)] == ["Invalid"], address


def test_a_kind_that_is_not_read_is_reported_not_passed_over_in_silence() -> None:
    text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}"
    assert findings(tell(DirectoryState(), a=text)) == [("KindNotUsed", "a.yaml:1")]


def test_a_written_status_is_not_taken() -> None:
    state = DirectoryState()
    entry = "{controllerName: fairlead.dev/gateway-controller, parentRef: {name: web}, conditions: []}"
    (route,) = objects(tell(state, a=f"{ROUTE}status: {{parents: [{entry}]}}\n"), HTTPRoute)
    assert route.status is None
    assert tell(state, a=ROUTE) == [], "nor does it count as a change"


def test_aliases_that_would_blow_up_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    changes = tell(DirectoryState(), a="\n".join(lines))
    assert [code for code, _ in findings(changes)] == ["BrokenDocument"]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_what_is_nested_too_deep_is_refused_and_spoils_no_other_document(opening: str) -> None:
    changes = tell(DirectoryState(), a=f"{SERVICE}---\n{opening * 100_000}\n---{ROUTE}")
    assert findings(changes) == [("BrokenDocument", "a.yaml:7")]
    assert len(objects(changes, Service)) == len(objects(changes, HTTPRoute)) == 1


def test_a_key_that_occurs_twice_is_refused() -> None:
    changes = tell(DirectoryState(), a=SERVICE + "kind: Service\n")
    assert [code for code, _ in findings(changes)] == ["BrokenDocument"]


def test_paths_lead_back_to_files() -> None:
    state = DirectoryState()
    tell(state, a=SERVICE)
    assert state.path_of(Kind.SERVICE, Ref("shop", "echo")) == "a.yaml"
    assert state.path_of(Kind.NAMESPACE, Ref("", "shop")) is None
