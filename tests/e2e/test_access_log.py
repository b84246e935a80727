"""What excuses a failed request, and what does not: the judge of the tests of outages, on records made by hand."""

from pathlib import Path

import pytest

from tests.e2e.harness.access_log import Line, excuse, lines, lost
from tests.e2e.harness.client import Record


def line(flags: str, details: str, name: str = "a") -> Line:
    return Line(id=name, response_code=502, response_flags=flags, response_code_details=details, attempts=1)


def failed(name: str) -> Record:
    return Record(0, "x", 0, due=0.0, done=1.0, status=502, request_id=name)


@pytest.mark.parametrize(
    ("flags", "details"),
    [
        ("UC", "upstream_closed_in_response"),
        ("UC,URX", "upstream_reset_before_response"),
        ("UC,URX", "upstream_silent"),
        ("UF,URX", "upstream_connection_timeout"),
        ("UT", "request_timeout"),
    ],
)
def test_what_must_not_be_repeated_is_excused(flags: str, details: str) -> None:
    assert excuse(line(flags, details))


@pytest.mark.parametrize(
    ("flags", "details"),
    [
        ("UC", "upstream_closed_before_response"),
        ("UC", "upstream_reset_before_response"),
        ("UC", "upstream_silent"),
        ("UF", "upstream_connection_failure"),
        ("UH", "no_healthy_upstream"),
        ("UO", "upstream_connection_overflow"),
        ("DC", "downstream_closed"),
        ("-", ""),
    ],
)
def test_what_should_have_been_repeated_is_lost(flags: str, details: str) -> None:
    assert not excuse(line(flags, details))
    assert len(lost([failed("a")], [line(flags, details)])) == 1


def test_a_failure_is_judged_by_its_own_line_and_without_one_is_lost() -> None:
    log = [line("UT", "request_timeout", "a"), line("UC", "upstream_silent", "b")]
    assert not lost([failed("a")], log)
    assert len(lost([failed("a"), failed("b"), failed("c")], log)) == 2
    # A client that sent no id cannot be told from others: nothing excuses it.
    assert lost([failed("")], [line("UT", "request_timeout", "")])


def test_lines_are_taken_out_of_a_log_that_others_share(tmp_path: Path) -> None:
    log = tmp_path / "log"
    access = (
        b'{"start_time":"2026-11-23T00:00:00.000Z","method":"GET","response_code":502,"response_flags":"UC,URX",'
        b'"response_code_details":"upstream_silent",":authority":"a.example","x-request-id":"7","attempts":2}\n'
    )
    log.write_bytes(b'{"event": "ready"}\n' + access + access[:60])
    (only,) = lines(log)
    assert (only.id, only.host, only.flags, only.attempts) == ("7", "a.example", {"UC", "URX"}, 2)
