"""What the commands call: the whole instance, or one half of it.

The supervisor and the proxy replace the process that read the command line: they are resident for long, and what
the command line needed is not.
"""

import os
import socket
import sys
from collections.abc import Callable
from ipaddress import ip_address, ip_network

import msgspec

from fairlead.base import ErrorSource, FairleadError
from fairlead.runtime._identity import new_identity
from fairlead.runtime._lock import PROXY, InstanceLock, InstanceRunningError, acquire
from fairlead.runtime._paths import InstancePaths, PathError, instance_paths, runtime_dirs
from fairlead.runtime._proxy import controller_command, proxy_command
from fairlead.runtime._settings import Settings

__all__ = [
    "DirectoryMissingError",
    "HealthAddressError",
    "InstancePaths",
    "InstanceRunningError",
    "InvalidSettingError",
    "PathError",
    "Settings",
    "instance_paths",
    "run_controller",
    "run_instance",
    "run_proxy",
    "runtime_dirs",
]

_MAX_PORT = 65535
_MAX_WORKERS = 256

Execute = Callable[[str, list[str]], object]


class InvalidSettingError(FairleadError):
    """A setting has a value that cannot work."""

    code = "InvalidSetting"
    source = ErrorSource.USER


class DirectoryMissingError(FairleadError):
    """What was given is not a directory."""

    code = "DirectoryNotFound"
    source = ErrorSource.USER


class HealthAddressError(FairleadError):
    """Nothing can listen on the health address."""

    code = "HealthAddressUnavailable"
    source = ErrorSource.USER


class Supervised(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor is told, as JSON."""

    controller: list[str]
    proxy: list[str]
    proxy_lock: int
    drain_s: float


def check(settings: Settings) -> None:
    """Finds what would make a half end at each start. Raises InvalidSettingError, DirectoryMissingError."""
    if settings.directory is not None and not settings.directory.is_dir():
        raise DirectoryMissingError(
            f"{settings.directory} is not a directory", hint="name a directory with manifests"
        )
    try:
        ip_network(settings.address_pool, strict=False)
    except ValueError as error:
        raise InvalidSettingError(f"--address-pool: {error}", hint="write it like 10.0.0.0/24") from None
    host, _, port = settings.health_address.rpartition(":")
    try:
        ip_address(host.removeprefix("[").removesuffix("]"))
        in_range = 0 <= int(port) <= _MAX_PORT
    except ValueError:
        in_range = False
    if not in_range:
        raise InvalidSettingError(
            f'--health-address: "{settings.health_address}" is not an address with a port',
            hint="write it like 127.0.0.1:9100",
        )
    if settings.workers is not None and not 1 <= settings.workers <= _MAX_WORKERS:
        raise InvalidSettingError(f"--workers: {settings.workers} is not within 1 and {_MAX_WORKERS}")
    if not 0 <= settings.drain_grace_s <= settings.drain_deadline_s:
        raise InvalidSettingError("--drain-grace must be at least 0 and at most --drain-deadline")


def check_health_address(settings: Settings) -> None:
    """Finds out whether the proxy will be able to listen for health checks. Raises HealthAddressError."""
    host, _, port = settings.health_address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError as error:
            raise HealthAddressError(
                f"--health-address: {settings.health_address} cannot be listened on: {error.strerror}",
                hint="choose another one, or port 0 for any that is free",
            ) from None


def run_instance(settings: Settings, execute: Execute = os.execv) -> int:
    """Becomes the supervisor of controller and proxy: this process is replaced. Raises FairleadError."""
    check(settings)
    paths, lock = _own_proxy(settings)
    paths.ready_file.unlink(missing_ok=True)
    supervised = Supervised(
        controller=controller_command(msgspec.structs.replace(settings, identity=new_identity())),
        proxy=proxy_command(settings, paths),
        proxy_lock=lock.descriptor,
        drain_s=settings.drain_deadline_s,
    )
    told = msgspec.json.encode(supervised).decode()
    execute(sys.executable, [sys.executable, "-m", "fairlead.runtime", "run", told])
    return 1


def run_controller(settings: Settings) -> int:
    """Runs the controller alone. Raises FairleadError."""
    check(settings)
    from fairlead.runtime._controller import main

    return main(settings)


def run_proxy(settings: Settings, execute: Execute = os.execv) -> int:
    """Becomes the proxy: this process is replaced. Raises FairleadError."""
    check(settings)
    paths, _ = _own_proxy(settings)
    command = proxy_command(settings, paths)
    execute(command[0], command)
    return 1


def _own_proxy(settings: Settings) -> tuple[InstancePaths, InstanceLock]:
    """The instance's paths and the proxy's lock, for the process that this one becomes. Raises FairleadError."""
    paths = instance_paths(settings.instance, state_dir=settings.state_dir)
    lock = acquire(paths, PROXY)
    try:
        check_health_address(settings)  # not before: the last proxy of this instance had it
    except HealthAddressError:
        lock.release()
        raise
    os.set_inheritable(lock.descriptor, True)
    return paths, lock
