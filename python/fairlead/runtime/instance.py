"""What the commands call: the whole instance, or one half of it.

The supervisor and the proxy replace the process that read the command line: they are resident for long, and what
the command line needed is not.
"""

import os
import sys
from collections.abc import Callable

import msgspec

from fairlead.base import ErrorSource, FairleadError
from fairlead.runtime._lock import PROXY, InstanceRunningError, acquire
from fairlead.runtime._paths import InstancePaths, PathError, instance_paths, runtime_dirs
from fairlead.runtime._proxy import controller_command, proxy_command
from fairlead.runtime._settings import Settings

__all__ = [
    "DirectoryMissingError",
    "InstancePaths",
    "InstanceRunningError",
    "PathError",
    "Settings",
    "instance_paths",
    "run_controller",
    "run_instance",
    "run_proxy",
    "runtime_dirs",
]

Execute = Callable[[str, list[str]], object]


class DirectoryMissingError(FairleadError):
    """What was given is not a directory."""

    code = "DirectoryNotFound"
    source = ErrorSource.USER


class Supervised(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor is told, as JSON."""

    controller: list[str]
    proxy: list[str]
    proxy_lock: int
    drain_s: float


def run_instance(settings: Settings, execute: Execute = os.execv) -> int:
    """Becomes the supervisor of controller and proxy: this process is replaced. Raises FairleadError."""
    if settings.directory is not None and not settings.directory.is_dir():
        raise DirectoryMissingError(
            f"{settings.directory} is not a directory", hint="name a directory with manifests"
        )
    paths = instance_paths(settings.instance, state_dir=settings.state_dir)
    lock = acquire(paths, PROXY)
    os.set_inheritable(lock.descriptor, True)
    paths.ready_file.unlink(missing_ok=True)
    supervised = Supervised(
        controller=controller_command(settings),
        proxy=proxy_command(settings, paths),
        proxy_lock=lock.descriptor,
        drain_s=settings.drain_deadline_s,
    )
    told = msgspec.json.encode(supervised).decode()
    execute(sys.executable, [sys.executable, "-m", "fairlead.runtime", "run", told])
    return 1


def run_controller(settings: Settings) -> int:
    """Runs the controller alone."""
    from fairlead.runtime._controller import main

    return main(settings)


def run_proxy(settings: Settings, execute: Execute = os.execv) -> int:
    """Becomes the proxy: this process is replaced. Raises FairleadError."""
    paths = instance_paths(settings.instance, state_dir=settings.state_dir)
    lock = acquire(paths, PROXY)
    os.set_inheritable(lock.descriptor, True)
    command = proxy_command(settings, paths)
    execute(command[0], command)
    return 1
