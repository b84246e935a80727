"""The proxy's access log as the tests read it: why each request ended as it did.

Law: a request is lost when the rules of repeats (RFC 9110 section 9.2.2, ARCHITECTURE.md) allow one more attempt and
the client saw it fail all the same. What excuses a failure stands in the log, in the proxy's own words; what does not
stand there excuses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from tests.e2e.harness.client import Record

MARK = '"response_flags"'
"""What only lines of the access log have."""


class Line(msgspec.Struct, kw_only=True, rename={"id": "x-request-id", "host": ":authority"}):
    """One request that is over; the fields are named as in the log, but for those renamed here."""

    id: str = ""
    host: str = ""
    response_code: int
    response_flags: str
    response_code_details: str
    attempts: int
    lb_reason: str = ""
    """Why the last Endpoint was picked."""

    @property
    def flags(self) -> set[str]:
        """Envoy's response flags."""
        return set(self.response_flags.split(",")) - {"-"}


def lines(log: Path) -> list[Line]:
    """The lines in a log that other messages share; one that is not whole yet is left out."""
    text = log.read_text(errors="replace").splitlines(keepends=True)
    return [msgspec.json.decode(line, type=Line) for line in text if MARK in line and line.endswith("\n")]


def excuse(line: Line) -> str:
    """Why a GET without a body that failed was not to be repeated; empty where it was, so that it is lost."""
    if line.response_code_details == "upstream_closed_in_response":
        return "the response had begun"
    if "URX" in line.flags:
        return "its repeat, its attempts or the budget were spent"
    if "UT" in line.flags:
        return "a deadline had passed"
    return ""


def lost(failed: Iterable[Record], log: Iterable[Line]) -> list[str]:
    """What there is to say of each of these failed GETs that nothing excuses."""
    by_id = {line.id: line for line in log if line.id}
    found = []
    for record in failed:
        line = by_id.get(record.request_id)
        if line is None or not excuse(line):
            found.append(f"request {record.number}, {record.error or record.status}: {line or 'no line'}")
    return found
