"""The log says when something goes wrong and when it is well again, once each."""

from structlog.testing import capture_logs

from fairlead.resources import Kind
from fairlead.runtime._complaints import MOST, Complaints
from fairlead.snapshot import Kind as ResourceKind
from fairlead.snapshot import Rejection
from fairlead.sources import Synced, Unavailable


def refusal(name: str, reason: str = "InvalidPath") -> Rejection:
    return Rejection(kind=ResourceKind.ROUTE, name=name, reason=reason, message="not a path")


def said(complaints: Complaints, *rejections: Rejection) -> list[tuple[str, str]]:
    """Event and name of what is logged at an ack."""
    with capture_logs() as logs:
        complaints.refused("p#1", rejections)
    return [(line["event"], str(line.get("name", line.get("resources")))) for line in logs]


def test_a_refusal_is_said_when_it_begins_changes_and_ends_and_not_at_every_ack() -> None:
    complaints = Complaints()
    assert said(complaints, refusal("a")) == [("proxy refuses", "a")]
    assert said(complaints, refusal("a")) == []
    assert said(complaints, refusal("a"), refusal("b")) == [("proxy refuses", "b")]
    assert said(complaints, refusal("a", "Other"), refusal("b")) == [("proxy refuses", "a")]
    assert said(complaints, refusal("b")) == [("proxy refuses no longer", "a")]
    assert said(complaints) == [("proxy refuses no longer", "b")]


def test_a_proxy_that_comes_back_is_a_new_one() -> None:
    complaints = Complaints()
    said(complaints, refusal("a"))
    complaints.gone("p#1")
    assert said(complaints, refusal("a")) == [("proxy refuses", "a")]


def test_very_many_refusals_are_counted() -> None:
    complaints = Complaints()
    lines = said(complaints, *(refusal(f"r{number}") for number in range(MOST + 7)))
    assert len(lines) == MOST + 1
    assert lines[-1] == ("proxy refuses more", "7")
    assert said(complaints)[-1] == ("proxy refuses no longer more", "7")


def test_a_kind_is_said_to_be_unreadable_once_and_readable_again() -> None:
    complaints = Complaints()
    states: list[Synced | Unavailable] = [
        Synced(Kind.SERVICE),
        Unavailable(Kind.SERVICE, "Forbidden", "no"),
        Unavailable(Kind.SERVICE, "Forbidden", "no"),
        Unavailable(Kind.SERVICE, "Timeout", "late"),
        Synced(Kind.SERVICE),
        Synced(Kind.SERVICE),
    ]
    with capture_logs() as logs:
        for state in states:
            complaints.kind(state)
    assert [(line["event"], line.get("problem")) for line in logs] == [
        ("kind cannot be read", "Forbidden: no"),
        ("kind cannot be read", "Timeout: late"),
        ("kind can be read", None),
    ]
