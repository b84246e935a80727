"""When children are started, stopped and given up: a machine without I/O.

Laws:
1. The halves die alone: the end of one starts that one again and leaves the other running.
2. A half that ends soon after its start is started again later and later, up to `BACKOFF_MAX_S`; one that has
   run for `SETTLED_S` starts at once. So a killed proxy serves again within a second.
3. A half that says "usage" (exit code 2) before it has ever settled will say so for ever: everything stops, with
   that code.
4. So with a proxy that has never settled and ends `GIVE_UP_AFTER` times in a row with the same error: nothing serves,
   and whoever started us shall see it. A controller is never given up: the proxy may serve without it.
5. A graceful stop drains the proxy first and stops the controller after it: what drains may still need news of
   its endpoints. A fast stop ends both at once. Neither waits for ever.

Of the standard library only, as is the supervisor: it is resident for the whole life of an instance, and small.
"""

import signal
from enum import Enum, StrEnum
from typing import NamedTuple

BACKOFF_MIN_S = 0.05
BACKOFF_MAX_S = 10.0
SETTLED_S = 10.0
STOP_S = 5.0
"""How long a half has to end after it was told to, beyond the drain's own deadline."""

USAGE = 2

GIVE_UP_AFTER = 8
"""Ends in a row: about seven seconds."""


class Half(StrEnum):
    """The two processes of an instance."""

    CONTROLLER = "controller"
    PROXY = "proxy"


class Start(NamedTuple):
    """Start a half now."""

    half: Half


class Signal(NamedTuple):
    """Send a signal to a running half."""

    half: Half
    number: int


class GiveUp(NamedTuple):
    """A half cannot be started: everything stops."""

    half: Half
    code: int


class Exit(NamedTuple):
    """All is done."""

    code: int


Effect = Start | Signal | GiveUp | Exit


class _Phase(Enum):
    RUNNING = 1
    DRAINING = 2
    STOPPING = 3


class _Child:
    def __init__(self) -> None:
        self.running = False
        self.started_at = 0.0
        self.start_at: float | None = None
        self.kill_at: float | None = None
        self.failures = 0
        self.alike = 0
        """Failures in a row with the exit code `last`."""
        self.last = 0
        self.settled_once = False


class Supervision:
    """Decides; times are monotonic seconds."""

    def __init__(self, *, drain_s: float) -> None:
        """`drain_s`: how long the proxy may take to drain."""
        self._drain_s = drain_s
        self._phase = _Phase.RUNNING
        self._code = 0
        self._children = {half: _Child() for half in Half}

    def begin(self, now: float) -> list[Effect]:
        """Starts both halves."""
        for child in self._children.values():
            child.start_at = now
        return self.tick(now)

    def exited(self, half: Half, code: int, now: float) -> list[Effect]:
        """A half has ended; `code` is negative for a signal."""
        child = self._children[half]
        child.running, child.kill_at = False, None
        if self._phase is _Phase.RUNNING:
            if code == USAGE and not child.settled_once and now - child.started_at < SETTLED_S:
                self._code = USAGE
                return self._stop(now)
            settled = now - child.started_at >= SETTLED_S
            child.settled_once |= settled
            child.failures = 0 if settled else child.failures + 1
            child.alike = child.alike + 1 if code == child.last else 1
            child.last = code
            if half is Half.PROXY and code > 0 and not child.settled_once and child.alike >= GIVE_UP_AFTER:
                self._code = code
                return [GiveUp(half, code), *self._stop(now)]
            delay = 0.0 if settled else min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2 ** min(child.failures - 1, 10))
            child.start_at = now + delay
            return self.tick(now)
        if self._phase is _Phase.DRAINING and half is Half.PROXY:
            return self._stop(now)
        return self._finished()

    def terminate(self, now: float) -> list[Effect]:
        """SIGTERM: drain, then stop."""
        if self._phase is not _Phase.RUNNING:
            return []
        self._phase = _Phase.DRAINING
        self._cancel_starts()
        proxy = self._children[Half.PROXY]
        if not proxy.running:
            return self._stop(now)
        proxy.kill_at = now + self._drain_s + STOP_S
        return [Signal(Half.PROXY, signal.SIGTERM)]

    def interrupt(self, now: float) -> list[Effect]:
        """SIGINT: stop fast."""
        if self._phase is _Phase.STOPPING:
            return []
        self._code = self._code or 128 + signal.SIGINT
        return self._stop(now)

    def tick(self, now: float) -> list[Effect]:
        """What time alone brings."""
        effects: list[Effect] = []
        for half, child in self._children.items():
            if child.start_at is not None and child.start_at <= now:
                child.running, child.started_at, child.start_at = True, now, None
                effects.append(Start(half))
            if child.kill_at is not None and child.kill_at <= now:
                child.kill_at = None
                effects.append(Signal(half, signal.SIGKILL))
        return effects

    def next_at(self) -> float | None:
        """When `tick` has something to do; None: never, unless something happens."""
        times = [
            at
            for child in self._children.values()
            for at in (child.start_at, child.kill_at)
            if at is not None
        ]
        return min(times, default=None)

    def starts_at(self, half: Half) -> float | None:
        """When a half is to be started again; None: not planned."""
        return self._children[half].start_at

    def _stop(self, now: float) -> list[Effect]:
        self._phase = _Phase.STOPPING
        self._cancel_starts()
        effects: list[Effect] = []
        for half, child in self._children.items():
            if child.running:
                child.kill_at = now + STOP_S
                effects.append(Signal(half, signal.SIGINT if half is Half.PROXY else signal.SIGTERM))
        return effects + self._finished()

    def _finished(self) -> list[Effect]:
        if any(child.running for child in self._children.values()):
            return []
        return [Exit(self._code)]

    def _cancel_starts(self) -> None:
        for child in self._children.values():
            child.start_at = None
