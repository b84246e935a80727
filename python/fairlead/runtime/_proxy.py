"""The proxy as a process: its configuration and its command line."""

import sys

import msgspec

from fairlead.runtime._paths import InstancePaths
from fairlead.runtime._settings import Settings, to_json


class DrainConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A graceful stop, in seconds from SIGTERM on."""

    grace_s: int
    deadline_s: int


class ProxyConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The part of `crates/proxy/src/config.rs` that is set from here; the rest has its defaults there."""

    instance: str
    stream_socket: str
    state_file: str
    health_address: str
    ready_file: str
    access_log: bool
    drain: DrainConfig
    workers: int | None = None


def proxy_config(settings: Settings, paths: InstancePaths) -> ProxyConfig:
    """The proxy's configuration for an instance."""
    return ProxyConfig(
        instance=settings.instance,
        stream_socket=str(paths.stream_socket),
        state_file=str(paths.last_good),
        health_address=settings.health_address,
        ready_file=str(paths.ready_file),
        access_log=settings.access_log,
        workers=settings.workers,
        drain=DrainConfig(grace_s=settings.drain_grace_s, deadline_s=settings.drain_deadline_s),
    )


def proxy_command(settings: Settings, paths: InstancePaths) -> list[str]:
    """What to execute: a bare interpreter that enters the core and nothing else."""
    config = msgspec.json.encode(proxy_config(settings, paths)).decode()
    return [sys.executable, "-m", "fairlead.proxy", "--config", config]


def controller_command(settings: Settings) -> list[str]:
    """What to execute for the controller."""
    return [sys.executable, "-m", "fairlead.runtime", "controller", to_json(settings)]
