"""Durations of the Gateway API (GEP-2257): `1h30m`, `10s`, `250ms`."""

import re

_DURATION = re.compile(r"(?:[0-9]{1,5}(?:h|m|s|ms)){1,4}")
_PART = re.compile(r"([0-9]{1,5})(h|ms|m|s)")
_MILLISECONDS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}


def parse_duration_ms(text: str) -> int | None:
    """Milliseconds; None where the text is not a duration of GEP-2257."""
    if _DURATION.fullmatch(text) is None:
        return None
    return sum(int(number) * _MILLISECONDS[unit] for number, unit in _PART.findall(text))
