"""What the commands call: the whole instance, or one half of it."""

import os
from collections.abc import Callable

from fairlead.base import ErrorSource, FairleadError, configure_logging
from fairlead.runtime._lock import PROXY, acquire
from fairlead.runtime._paths import instance_paths
from fairlead.runtime._proxy import controller_command, proxy_command
from fairlead.runtime._settings import Settings
from fairlead.runtime._supervision import Half
from fairlead.runtime._supervisor import Supervisor


class DirectoryMissingError(FairleadError):
    """What was given is not a directory."""

    code = "DirectoryNotFound"
    source = ErrorSource.USER


def run_instance(settings: Settings) -> int:
    """Runs controller and proxy until told to stop; returns the exit code. Raises FairleadError."""
    configure_logging(level=settings.log_level)
    if settings.directory is not None and not settings.directory.is_dir():
        raise DirectoryMissingError(
            f"{settings.directory} is not a directory", hint="name a directory with manifests"
        )
    paths = instance_paths(settings.instance, state_dir=settings.state_dir)
    lock = acquire(paths, PROXY)
    paths.ready_file.unlink(missing_ok=True)
    commands = {
        Half.CONTROLLER: controller_command(settings),
        Half.PROXY: proxy_command(settings, paths),
    }
    try:
        return Supervisor(commands, proxy_lock=lock, drain_s=settings.drain_deadline_s).run()
    finally:
        paths.ready_file.unlink(missing_ok=True)


def run_controller(settings: Settings) -> int:
    """Runs the controller alone."""
    from fairlead.runtime._controller import main

    return main(settings)


def run_proxy(settings: Settings, execute: Callable[[str, list[str]], object] = os.execv) -> int:
    """Becomes the proxy: this process is replaced. Raises FairleadError."""
    paths = instance_paths(settings.instance, state_dir=settings.state_dir)
    lock = acquire(paths, PROXY)
    os.set_inheritable(lock.descriptor, True)
    command = proxy_command(settings, paths)
    execute(command[0], command)
    return 1
