"""When a statement may be made, and how the proxy's word corrects translation's."""

import msgspec

from fairlead.kube import ReflectorSettings
from fairlead.resources import GatewayStatusAddress, Kind, ParentReference, Ref
from fairlead.snapshot import BindFact, Key, Rejection
from fairlead.snapshot import Kind as ResourceKind
from fairlead.status import StatusBook
from fairlead.status._book import TENTATIVE_S
from fairlead.translate import (
    ConditionStatus,
    ConditionType,
    Forgotten,
    GatewayStatus,
    ListenerStatus,
    ParentStatus,
    Reason,
    RouteStatus,
    StatusCondition,
)

GATEWAY = Ref("default", "web")
ROUTE = Ref("default", "echo")
BIND = "127.1.1.1:80"
ROUTE_KEY = Key(ResourceKind.ROUTE, "HTTPRoute/default/echo")


def good(kind: ConditionType) -> StatusCondition:
    return StatusCondition(kind, ConditionStatus.TRUE, Reason(kind.value), "", 1)


def gateway(routes: int = 0) -> GatewayStatus:
    both = (good(ConditionType.ACCEPTED), good(ConditionType.PROGRAMMED))
    listener = ListenerStatus(
        name="http",
        supported_kinds=(),
        attached_routes=routes,
        conditions=both,
        keys=(Key(ResourceKind.BIND, BIND), Key(ResourceKind.LISTENER, "default/web/http")),
    )
    address = GatewayStatusAddress(type="IPAddress", value="127.1.1.1")
    return GatewayStatus(ref=GATEWAY, uid="u", conditions=both, addresses=(address,), listeners=(listener,))


def route(ref: Ref = ROUTE) -> RouteStatus:
    parent = ParentStatus(parent_ref=ParentReference(name="web"), conditions=(good(ConditionType.ACCEPTED),))
    return RouteStatus(ref=ref, uid="u", parents=(parent,), key=ROUTE_KEY)


def said(book: StatusBook) -> GatewayStatus:
    statement = book.statement(Kind.GATEWAY, GATEWAY)
    assert statement is not None
    assert isinstance(statement.status, GatewayStatus)
    return statement.status


def reason(conditions: tuple[StatusCondition, ...], kind: ConditionType) -> tuple[str, str]:
    (found,) = [one for one in conditions if one.type is kind]
    return found.status.value, found.reason.value


def test_nothing_is_said_before_the_proxy_acknowledged() -> None:
    book = StatusBook()
    book.update([gateway()], generation=3, now=0)
    book.acknowledged(2)
    assert book.settle(0.5) == []
    assert book.statement(Kind.GATEWAY, GATEWAY) is None
    book.acknowledged(3)
    assert book.settle(0.6) == [(Kind.GATEWAY, GATEWAY)]
    assert said(book) == gateway()


def test_without_an_acknowledgement_it_is_pending_after_a_while() -> None:
    book = StatusBook()
    book.update([gateway()], generation=1, now=0)
    assert book.settle(1.9) == []
    assert book.settle(2.0) == [(Kind.GATEWAY, GATEWAY)]
    assert reason(said(book).conditions, ConditionType.PROGRAMMED) == ("False", "Pending")
    assert reason(said(book).listeners[0].conditions, ConditionType.PROGRAMMED) == ("False", "Pending")
    assert book.settle(9.0) == []
    book.acknowledged(1)
    assert book.settle(9.1) == [(Kind.GATEWAY, GATEWAY)]
    assert said(book) == gateway()


def test_the_last_settled_statement_stands_until_the_next_is_acknowledged() -> None:
    book = StatusBook()
    book.update([gateway()], generation=1, now=0)
    book.acknowledged(1)
    book.settle(0)
    book.update([gateway(routes=5)], generation=2, now=1)
    assert book.settle(1.5) == []
    assert said(book).listeners[0].attached_routes == 0
    book.acknowledged(2)
    assert book.settle(1.6) == [(Kind.GATEWAY, GATEWAY)]
    assert said(book).listeners[0].attached_routes == 5


def test_the_same_status_again_is_nothing_to_say() -> None:
    book = StatusBook()
    book.update([gateway()], generation=1, now=0)
    book.acknowledged(1)
    book.settle(0)
    book.update([gateway()], generation=2, now=1)
    book.acknowledged(2)
    assert book.settle(1) == []


def test_a_port_that_cannot_be_bound_makes_its_listener_unavailable_with_the_reason() -> None:
    book = StatusBook()
    book.bound([BindFact(name=BIND, listening=False, message="Address already in use")])
    book.update([gateway()], generation=1, now=0)
    book.acknowledged(1)
    book.settle(0)
    listener = said(book).listeners[0]
    assert reason(listener.conditions, ConditionType.ACCEPTED) == ("False", "PortUnavailable")
    assert reason(listener.conditions, ConditionType.PROGRAMMED) == ("False", "Invalid")
    assert "Address already in use" in listener.conditions[0].message
    assert reason(said(book).conditions, ConditionType.PROGRAMMED) == ("False", "Invalid")
    book.bound([BindFact(name=BIND, listening=True)])
    assert book.settle(1) == [(Kind.GATEWAY, GATEWAY)]
    assert said(book) == gateway()


def test_a_bind_of_another_gateway_changes_nothing_here() -> None:
    book = StatusBook()
    book.update([gateway()], generation=1, now=0)
    book.acknowledged(1)
    book.settle(0)
    book.bound([BindFact(name="127.9.9.9:80", listening=False, message="no")])
    assert book.settle(1) == []


def test_a_refused_route_is_not_accepted_and_says_why() -> None:
    book = StatusBook()
    book.update([route()], generation=1, now=0)
    book.acknowledged(1)
    book.settle(0)
    refusal = Rejection(
        kind=ResourceKind.ROUTE, name=ROUTE_KEY.name, reason="TooManyRules", message="at most 16"
    )
    book.refused({ROUTE_KEY: refusal})
    assert book.settle(1) == [(Kind.HTTP_ROUTE, ROUTE)]
    statement = book.statement(Kind.HTTP_ROUTE, ROUTE)
    assert statement is not None
    assert isinstance(statement.status, RouteStatus)
    (accepted,) = statement.status.parents[0].conditions
    assert (accepted.status, accepted.reason) == (ConditionStatus.FALSE, Reason.UNSUPPORTED_VALUE)
    assert "TooManyRules: at most 16" in accepted.message


def test_an_object_that_is_no_longer_ours_is_forgotten_once_that_was_written() -> None:
    book = StatusBook()
    book.update([route()], generation=1, now=0)
    book.acknowledged(1)
    book.settle(0)
    book.update([Forgotten(kind=Kind.HTTP_ROUTE, ref=ROUTE)], generation=2, now=1)
    book.acknowledged(2)
    assert book.settle(1) == [(Kind.HTTP_ROUTE, ROUTE)]
    book.forget(Kind.HTTP_ROUTE, ROUTE)
    assert book.statement(Kind.HTTP_ROUTE, ROUTE) is None
    assert not book.waiting


def test_what_was_never_ours_is_no_statement() -> None:
    book = StatusBook()
    book.update([Forgotten(kind=Kind.HTTP_ROUTE, ref=ROUTE)], generation=1, now=0)
    book.acknowledged(1)
    assert book.settle(0) == []


def test_many_statements_can_be_settled_in_slices() -> None:
    book = StatusBook()
    routes = [msgspec.structs.replace(route(), ref=Ref("default", f"r{n}")) for n in range(5)]
    book.update(routes, generation=1, now=0)
    book.acknowledged(1)
    settled = book.settle(0.1, most=2)
    assert len(settled) == 2
    while book.behind:
        settled += book.settle(0.1, most=2)
    assert sorted(settled) == [(Kind.HTTP_ROUTE, Ref("default", f"r{n}")) for n in range(5)]
    assert not book.waiting


def test_a_tentative_status_is_held_and_told_in_the_end() -> None:
    book = StatusBook()
    book.update([msgspec.structs.replace(route(), tentative=True)], generation=1, now=0)
    book.acknowledged(1)
    assert book.settle(29.9) == []
    assert book.settle(30.0) == [(Kind.HTTP_ROUTE, ROUTE)]


def test_a_tentative_status_is_held_no_longer_than_404_is_doubted() -> None:
    """In a cluster without the CRD it is made by then."""
    assert ReflectorSettings().absent_after == TENTATIVE_S


def test_a_tentative_status_gives_way_to_the_firm_one() -> None:
    book = StatusBook()
    book.update([msgspec.structs.replace(route(), tentative=True)], generation=1, now=0)
    book.update([route()], generation=2, now=1)
    book.acknowledged(2)
    assert book.settle(1) == [(Kind.HTTP_ROUTE, ROUTE)]


def test_what_must_wait_holds_up_neither_the_loop_nor_what_can_be_settled() -> None:
    book = StatusBook()
    refs = [Ref("default", f"r{number}") for number in range(100)]
    book.update([route(ref) for ref in refs[:99]], generation=9, now=0)
    book.acknowledged(8)
    book.update([route(refs[99])], generation=8, now=0)
    said = book.settle(1, most=1)
    calls = 1
    while book.behind:
        said += book.settle(1, most=1)
        calls += 1
    assert said == [(Kind.HTTP_ROUTE, refs[99])]
    assert calls > 1
    book.acknowledged(9)
    assert len(book.settle(1, most=30)) == 30
    assert book.behind
    assert len(book.settle(1)) == 69
    assert not book.behind
