"""The proxy as a process: its configuration and its command line."""

import sys

import msgspec

from fairlead.runtime._paths import InstancePaths
from fairlead.runtime._settings import ForwardedPolicy, Settings, to_json


class DrainConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A graceful stop, in seconds from SIGTERM on."""

    grace_s: int
    deadline_s: int


class ForwardedConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is believed of `X-Forwarded-*` that a peer sends."""

    policy: ForwardedPolicy = "overwrite"
    trusted: tuple[str, ...] = ()


class LimitsConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is above a limit is refused and counted; None leaves the proxy's own."""

    connections: int | None = None
    connections_per_bind: int | None = None
    request_body_bytes: int | None = None


class ProxyConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The part of `crates/proxy/src/config.rs` that is set from here; the rest has its defaults there."""

    instance: str
    stream_socket: str
    state_file: str
    health_address: str
    ready_file: str
    access_log: bool
    drain: DrainConfig
    forwarded: ForwardedConfig
    limits: LimitsConfig
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
        forwarded=ForwardedConfig(policy=settings.forwarded, trusted=settings.trusted_proxies),
        limits=LimitsConfig(
            connections=settings.max_connections,
            connections_per_bind=settings.max_connections_per_listener,
            request_body_bytes=settings.max_request_body,
        ),
    )


def proxy_command(settings: Settings, paths: InstancePaths) -> list[str]:
    """What to execute: a bare interpreter that enters the core and nothing else."""
    config = msgspec.json.encode(proxy_config(settings, paths)).decode()
    return [sys.executable, "-m", "fairlead.proxy", "--config", config]


def controller_command(settings: Settings) -> list[str]:
    """What to execute for the controller."""
    return [sys.executable, "-m", "fairlead.runtime", "controller", to_json(settings)]
