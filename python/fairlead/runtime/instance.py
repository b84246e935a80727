"""What the commands call: the whole instance, or one half of it.

The supervisor and the proxy replace the process that read the command line: they are resident for long, and what
the command line needed is not.
"""

import os
import socket
import sys
from collections.abc import Callable
from ipaddress import IPv6Network, ip_address, ip_network

import msgspec

from fairlead.base import ErrorSource, FairleadError
from fairlead.runtime._identity import new_identity
from fairlead.runtime._lock import PROXY, InstanceLock, InstanceRunningError, acquire
from fairlead.runtime._paths import InstancePaths, PathError, instance_paths, runtime_dirs
from fairlead.runtime._proxy import controller_command, proxy_command
from fairlead.runtime._settings import ForwardedPolicy, Settings

__all__ = [
    "DirectoryMissingError",
    "ForwardedPolicy",
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
_MAX_CONNECTIONS = 2**32 - 1
_MAX_BYTES = 2**63 - 1
_MAX_TRUSTED = 256
"""Networks of --trusted-proxies: each request looks at all of them."""

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
    _check_trusted(settings.trusted_proxies)
    for option, value, most in (
        ("--max-connections", settings.max_connections, _MAX_CONNECTIONS),
        ("--max-connections-per-listener", settings.max_connections_per_listener, _MAX_CONNECTIONS),
        ("--max-request-body", settings.max_request_body, _MAX_BYTES),
    ):
        if value is not None and not 1 <= value <= most:
            raise InvalidSettingError(f"{option}: {value} is not within 1 and {most}")


def _check_trusted(networks: tuple[str, ...]) -> None:
    """Finds what the proxy would not read, or would read as something else. Raises InvalidSettingError."""
    hint = "write it like 10.0.0.0/8,192.0.2.7"
    if len(networks) > _MAX_TRUSTED:
        raise InvalidSettingError(f"--trusted-proxies: {len(networks)} networks, at most {_MAX_TRUSTED}")
    for text in networks:
        _, slash, prefix = text.partition("/")
        try:
            network = ip_network(text)
            # A netmask in place of a prefix, and a zone, are not CIDR notation.
            plain = "%" not in text and (not slash or prefix.isdecimal())
        except ValueError as error:
            raise InvalidSettingError(f"--trusted-proxies: {error}", hint=hint) from None
        if not plain:
            raise InvalidSettingError(f"--trusted-proxies: {text!r} is not in CIDR notation", hint=hint)
        if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
            raise InvalidSettingError(
                f"--trusted-proxies: {text} is IPv4 inside IPv6", hint="write it as IPv4"
            )


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
