"""One instance, one process per half.

Laws:
1. A half keeps its lock file locked for as long as it lives, the kernel gives it back at any death.
2. Whoever holds the lock of the controller owns the sockets: what lies there is left by the dead.
3. The proxy's lock is inherited from the supervisor: the instance counts as running while either lives.
"""

import fcntl
import os
from pathlib import Path

from fairlead.base import ErrorSource, FairleadError
from fairlead.runtime._paths import InstancePaths

CONTROLLER = "controller"
PROXY = "proxy"


class InstanceRunningError(FairleadError):
    """Another process runs the same half of the same instance."""

    code = "InstanceRunning"
    source = ErrorSource.USER


class InstanceLock:
    """A held lock; it goes with the process, or with `release`."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def write_holder(self, pid: int) -> None:
        """Says in the file who runs, for people."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{pid}\n".encode(), 0)

    def release(self) -> None:
        """Gives it back, unless a child has inherited it."""
        os.close(self.descriptor)


def acquire(paths: InstancePaths, half: str) -> InstanceLock:
    """Takes the lock of `half`. Raises InstanceRunningError."""
    path = paths.lock(half)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise InstanceRunningError(
            f'instance "{paths.name}" is already running (process {_holder(path)})',
            hint="stop it, or choose another name with --instance",
        ) from None
    lock = InstanceLock(descriptor)
    lock.write_holder(os.getpid())
    return lock


def _holder(path: Path) -> str:
    try:
        return path.read_text().strip() or "unknown"
    except OSError:
        return "unknown"
