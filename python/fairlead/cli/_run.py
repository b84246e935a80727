"""`fairlead run`, and its halves by themselves."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cyclopts import Parameter

from fairlead.runtime.instance import ForwardedPolicy, Settings, run_controller, run_instance, run_proxy

LogLevel = Literal["debug", "info", "warning", "error"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Common:
    """What both halves need to know.

    Parameters
    ----------
    instance
        The instance's name, by which commands find it.
    state_dir
        Where state is kept; else $XDG_STATE_HOME/fairlead, else /var/lib/fairlead.
    log_level
        debug, info, warning or error.
    """

    instance: str = "default"
    state_dir: Path | None = None
    log_level: LogLevel = "info"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ForController:
    """What the controller needs to know.

    Parameters
    ----------
    controller_name
        GatewayClasses with this controllerName are ours.
    status
        Whether to write status into the cluster.
    address_pool
        Where Gateways get their addresses from: any CIDR that is local to this host.
    zone
        The zone that this instance runs in, for topology hints.
    node
        The node that this instance runs on, for topology hints.
    kubeconfig
        The kubeconfig file; else KUBECONFIG, else the usual place, else the Pod's own account.
    context
        The context in the kubeconfig.
    """

    controller_name: str | None = None
    status: bool = True
    address_pool: str = "127.0.0.0/8"
    zone: str = ""
    node: str = ""
    kubeconfig: Path | None = None
    context: str | None = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ForProxy:
    """What the proxy needs to know.

    Parameters
    ----------
    workers
        Worker threads; else the cores that this process may use, at most 2.
    health_address
        Where /livez, /readyz and /metrics are served; port 0 takes a free one.
    access_log
        Whether requests are logged to standard output.
    drain_grace
        Seconds after SIGTERM in which connections are still accepted.
    drain_deadline
        Seconds after SIGTERM until the proxy exits whatever is still open.
    forwarded
        X-Forwarded-For of a client that is not a trusted proxy: overwrite, or append to it. Whatever else such a
        client says about itself (X-Forwarded-*, Forwarded, X-Real-IP, X-Envoy-*) is deleted.
    trusted_proxies
        CIDRs, with commas between them, of proxies in front of this one: their X-Forwarded-* are kept, and
        X-Forwarded-For is appended to.
    max_connections
        Client connections; else as many as the process has descriptors for, at most 100,000. One more is refused at
        once.
    max_connections_per_listener
        Client connections to one address and port.
    max_request_body
        Bytes of a request's body; a larger one is refused with 413. Else no limit.
    """

    workers: int | None = None
    health_address: str = "127.0.0.1:0"
    access_log: bool = True
    drain_grace: int = 5
    drain_deadline: int = 30
    forwarded: ForwardedPolicy = "overwrite"
    trusted_proxies: str = ""
    max_connections: int | None = None
    max_connections_per_listener: int | None = None
    max_request_body: int | None = None


_COMMON, _CONTROLLER, _PROXY = Common(), ForController(), ForProxy()


def run(  # noqa: D417 - the shared options describe themselves
    directory: Path | None = None,
    /,
    *,
    common: Common = _COMMON,
    controller: ForController = _CONTROLLER,
    proxy: ForProxy = _PROXY,
) -> int:
    """Runs a gateway: for the manifests in DIRECTORY, else for a cluster.

    Parameters
    ----------
    directory
        A directory of manifests, followed as it changes; without it, the cluster of the kubeconfig or of this Pod.
    """
    return run_instance(_settings(directory, common, controller, proxy))


def controller(  # noqa: D417 - the shared options describe themselves
    directory: Path | None = None,
    /,
    *,
    common: Common = _COMMON,
    controller: ForController = _CONTROLLER,
) -> int:
    """Runs the controller alone: what `run` starts as its first half.

    Parameters
    ----------
    directory
        A directory of manifests; without it, the cluster of the kubeconfig or of this Pod.
    """
    return run_controller(_settings(directory, common, controller, _PROXY))


def proxy(*, common: Common = _COMMON, proxy: ForProxy = _PROXY) -> int:
    """Runs the proxy alone: what `run` starts as its second half."""
    return run_proxy(_settings(None, common, _CONTROLLER, proxy))


def _settings(directory: Path | None, common: Common, controller: ForController, proxy: ForProxy) -> Settings:
    return Settings(
        instance=common.instance,
        state_dir=common.state_dir.absolute() if common.state_dir else None,
        log_level=common.log_level,
        directory=directory.absolute() if directory else None,
        controller_name=controller.controller_name,
        write_status=controller.status,
        address_pool=controller.address_pool,
        zone=controller.zone,
        node=controller.node,
        kubeconfig=controller.kubeconfig.absolute() if controller.kubeconfig else None,
        context=controller.context,
        workers=proxy.workers,
        health_address=proxy.health_address,
        access_log=proxy.access_log,
        drain_grace_s=proxy.drain_grace,
        drain_deadline_s=proxy.drain_deadline,
        forwarded=proxy.forwarded,
        trusted_proxies=tuple(text.strip() for text in proxy.trusted_proxies.split(",") if text.strip()),
        max_connections=proxy.max_connections,
        max_connections_per_listener=proxy.max_connections_per_listener,
        max_request_body=proxy.max_request_body,
    )
