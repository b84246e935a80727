"""Leader election by a Lease (coordination.k8s.io/v1): a machine without I/O.

Laws:
1. Durations are measured on the own monotonic clock alone: another holder's lease is over when its record has
   not changed for as long as it says itself, counted from when this instance saw it change. The times written
   into the record are for people.
2. A holder that has not renewed within `renew_deadline`, counted from before its last good write was sent, holds
   no longer (`holds` is a question of time, not of events): it fences itself well before another may take over,
   as `renew_deadline` is shorter than `duration`.
3. Every write names the version that was read: of two that try one gets a conflict.
4. Tries are spread by jitter. Whoever stops in good order gives the lease back, so that the next takes over at
   once.
"""

from random import Random

import msgspec


class LeaseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All in seconds; the defaults are those of Kubernetes' own components."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0
    jitter: float = 0.2
    """A wait is up to this share longer."""


class LeaseSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """`spec` of a Lease, as far as it is used."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    """RFC 3339 with microseconds (metav1.MicroTime)."""
    renew_time: str | None = None
    lease_transitions: int | None = None


class Record(msgspec.Struct, frozen=True):
    """A Lease as it was read or written."""

    version: str
    spec: LeaseSpec


class Read(msgspec.Struct, frozen=True):
    """Read the Lease; answer with `Election.read`, or `failed`."""


class Write(msgspec.Struct, frozen=True):
    """Write `spec`, guarded by `version` (None: create); answer with `written`, or `failed`."""

    version: str | None
    holder: str
    duration: int
    """Whole seconds."""
    acquires: bool
    """The lease changes hands: acquireTime is now."""
    transitions: int


class Wait(msgspec.Struct, frozen=True):
    """Do nothing for so long, then `woke`."""

    seconds: float


Effect = Read | Write | Wait


class Election:
    """One candidate."""

    def __init__(self, identity: str, *, random: Random, settings: LeaseSettings | None = None) -> None:
        self.settings = settings or LeaseSettings()
        self.identity = identity
        self.holder: str | None = None
        """Who held the lease when it was last read or written; None: nobody, or not known."""
        self._random = random
        self._record: Record | None = None
        self._seen_at = 0.0
        self._renewed_at: float | None = None
        self._sent_at = 0.0
        self._write: Write | None = None

    def holds(self, now: float) -> bool:
        """Whether this instance may act as the leader at `now` (monotonic seconds)."""
        return self._renewed_at is not None and now - self._renewed_at < self.settings.renew_deadline

    def remaining(self, now: float) -> float:
        """Seconds until `holds` becomes false without a renewal; 0 if it is."""
        if self._renewed_at is None:
            return 0.0
        return max(0.0, self._renewed_at + self.settings.renew_deadline - now)

    def start(self) -> Effect:
        """Begins with a look."""
        return Read()

    def woke(self, now: float) -> Effect:
        """The wait is over."""
        if self.holds(now) and self._record is not None:
            return self._ask_write(self._record, now, acquires=False)
        return Read()

    def read(self, record: Record | None, now: float) -> Effect:
        """The Lease, or None if there is none."""
        if record is None:
            self._record, self.holder, self._renewed_at = None, None, None
            return self._ask_write(None, now, acquires=True)
        if self._record is None or self._record.version != record.version:
            self._record, self._seen_at = record, now
        self.holder = record.spec.holder_identity or None
        if self.holder == self.identity:
            return self._ask_write(record, now, acquires=False)
        self._renewed_at = None
        if self.holder is None or now - self._seen_at >= (record.spec.lease_duration_seconds or 0):
            return self._ask_write(record, now, acquires=True)
        return self._pause()

    def written(self, record: Record, now: float) -> Effect:
        """The write has been done; `record` is the Lease now."""
        self._record, self._seen_at = record, now
        self.holder = record.spec.holder_identity or None
        self._renewed_at = self._sent_at if self.holder == self.identity else None
        return self._pause()

    def failed(self, *, conflict: bool, now: float) -> Effect:
        """Reading or writing failed; `conflict`: because another has written, so that the record is to be read."""
        if conflict:
            self._record = None if self._write is not None and self._write.version is None else self._record
            self._renewed_at = None
            self._write = None
            return Wait(self._random.random() * self.settings.jitter * self.settings.retry_period)
        if not self.holds(now):
            self._renewed_at = None
        return self._pause()

    def release(self, now: float) -> Write | None:
        """What to write before stopping; None if there is nothing to give back. Holds no longer in any case."""
        held = self.holds(now)
        self._renewed_at = None
        if not held or self._record is None:
            return None
        self.holder = None
        transitions = self._record.spec.lease_transitions or 0
        return Write(self._record.version, "", 1, acquires=False, transitions=transitions)

    def _ask_write(self, record: Record | None, now: float, *, acquires: bool) -> Effect:
        self._sent_at = now
        transitions = (record.spec.lease_transitions or 0) + int(acquires) if record is not None else 0
        self._write = Write(
            record.version if record is not None else None,
            self.identity,
            round(self.settings.duration),
            acquires=acquires,
            transitions=transitions,
        )
        return self._write

    def _pause(self) -> Wait:
        return Wait(self.settings.retry_period * (1 + self._random.random() * self.settings.jitter))
