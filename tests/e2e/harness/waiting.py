"""Waiting for what a real system does in its own time: with a bound, and with what was seen last."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class NotInTimeError(AssertionError):
    """The condition did not come true within the time allowed."""


def eventually(what: str, look: Callable[[], T], *, within: float = 30.0, every: float = 0.05) -> T:
    """Calls `look` until it returns something true and returns that; AssertionErrors count as not yet.

    `within` and `every` are in seconds.
    """
    deadline = time.monotonic() + within
    while True:
        seen: object
        try:
            value = look()
            if value:
                return value
            seen = value
        except AssertionError as error:
            seen = error
        if time.monotonic() > deadline:
            raise NotInTimeError(f"not within {within:g} s: {what}; last seen: {seen}")
        time.sleep(every)
