"""How an instance is set up: one Struct for both halves and their supervisor."""

from pathlib import Path
from typing import Literal

import msgspec

ForwardedPolicy = Literal["overwrite", "append"]
"""What becomes of `X-Forwarded-For` from a peer that is not trusted; what else it says of a client is deleted."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the command line and the environment say. Travels to the children as JSON."""

    instance: str = "default"
    directory: Path | None = None
    """Manifests instead of a cluster."""
    kubeconfig: Path | None = None
    context: str | None = None
    controller_name: str | None = None
    """Whose GatewayClasses are ours; absent: Fairlead's own name."""
    write_status: bool = True
    identity: str = ""
    """Whose the Lease is while this instance holds it (see `new_identity`); empty: the controller makes one up."""
    address_pool: str = "127.0.0.0/8"
    """Where Gateways get their addresses from; any CIDR that is local to this host."""
    zone: str = ""
    node: str = ""
    workers: int | None = None
    health_address: str = "127.0.0.1:0"
    access_log: bool = True
    state_dir: Path | None = None
    log_level: str = "info"
    drain_grace_s: int = 5
    drain_deadline_s: int = 30
    forwarded: ForwardedPolicy = "overwrite"
    trusted_proxies: tuple[str, ...] = ()
    """CIDRs of proxies in front of this one, which are believed."""
    max_connections: int | None = None
    """Client connections; absent: as many as the process has descriptors for, at most 100,000."""
    max_connections_per_listener: int | None = None
    """Client connections to one address and port, which several Listeners may share."""
    max_request_body: int | None = None
    """Bytes of a request's body; absent: no limit."""

    @property
    def source(self) -> str:
        """Where objects come from, for people."""
        return str(self.directory) if self.directory is not None else "cluster"


def to_json(settings: Settings) -> str:
    """The settings as one argument of a command line."""
    return msgspec.json.encode(settings, enc_hook=str).decode()


def from_json(text: str) -> Settings:
    """The settings in `text`. Raises msgspec.ValidationError."""
    return msgspec.json.decode(text, type=Settings, dec_hook=lambda kind, value: kind(value))
