"""Cells as kubectl writes them."""

from datetime import UTC, datetime, timedelta

import pytest

from fairlead.cli._table import age, lines, milliseconds, percent

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (timedelta(seconds=0), "0s"),
        (timedelta(seconds=119), "119s"),
        (timedelta(minutes=2), "2m"),
        (timedelta(minutes=5, seconds=3), "5m3s"),
        (timedelta(minutes=42, seconds=3), "42m"),
        (timedelta(hours=3), "3h"),
        (timedelta(hours=7, minutes=30), "7h30m"),
        (timedelta(hours=30), "30h"),
        (timedelta(days=3), "3d"),
        (timedelta(days=3, hours=5), "3d5h"),
        (timedelta(days=100), "100d"),
        (timedelta(days=800), "2y70d"),
    ],
)
def test_age_in_at_most_two_units(passed: timedelta, text: str) -> None:
    assert age((NOW - passed).isoformat(), NOW) == text


@pytest.mark.parametrize("created", [None, "", "nonsense", "1970-01-01T00:00:00Z"])
def test_an_unknown_age_says_so(created: str | None) -> None:
    assert age(created, NOW) == "<unknown>"


def test_columns_line_up_and_lines_end_with_their_text() -> None:
    assert list(lines([["NAME", "AGE"], ["a-long-name", "1d"]])) == ["NAME          AGE", "a-long-name   1d"]


def test_unknown_numbers_are_a_dash() -> None:
    assert (percent(None), milliseconds(None)) == ("-", "-")
    assert (percent(0.3333), milliseconds(1.234), milliseconds(123.4)) == ("33.3%", "1.23ms", "123ms")
