"""Hostnames of Listeners and Routes, and what they have in common (Gateway API, Hostname).

`*.example.com` stands for any number of labels in front of `example.com`, at least one.
"""

import re
from collections.abc import Sequence

_HOSTNAME = re.compile(r"(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_IPV4 = re.compile(r"[0-9]+(\.[0-9]+){3}")


def is_hostname(text: str) -> bool:
    """Whether `text` (in lower case) may stand as a hostname: no IP address, a wildcard only in front."""
    return (
        len(text) <= 253
        and _HOSTNAME.fullmatch(text) is not None
        and _IPV4.fullmatch(text.removeprefix("*.")) is None
        and all(len(label) <= 63 for label in text.split("."))
    )


def intersect(listener: str | None, route: Sequence[str]) -> tuple[str, ...] | None:
    """The hostnames effective on a Listener, sorted; empty: every host; None: nothing in common."""
    if listener is None:
        return tuple(sorted(set(route)))
    if not route:
        return (listener,)
    common = {host for name in route if (host := _narrower(listener, name)) is not None}
    return tuple(sorted(common)) or None


def _narrower(one: str, other: str) -> str | None:
    """The one of two hostnames that the other covers."""
    if one == other or _covers(other, one):
        return one
    return other if _covers(one, other) else None


def _covers(wide: str, narrow: str) -> bool:
    return wide.startswith("*.") and narrow.endswith(wide[1:])
