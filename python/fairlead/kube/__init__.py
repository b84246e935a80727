"""Kubernetes: credentials, a client, reflectors with their stores, and the Lease.

Laws:
1. Decisions (`Reflector`, `Election`, `Outage`) are machines without I/O; shells (`Follower`, `Lease`,
   `ServerHealth`, `Client`) are thin.
2. Importing this package imports no HTTP library.
"""

from fairlead.kube._backoff import Backoff, BackoffSettings
from fairlead.kube._client import Client, ClientSettings
from fairlead.kube._credentials import Credentials, Trust, load_credentials
from fairlead.kube._effects import Deleted, Mended, Put, Readable, StoreChange, Undecodable, Unreadable
from fairlead.kube._election import Election, LeaseSettings, LeaseSpec
from fairlead.kube._errors import (
    AlreadyExists,
    Conflict,
    CredentialsError,
    Disconnected,
    Forbidden,
    Gone,
    Invalid,
    KubeError,
    NotFound,
    ProtocolError,
    Rejected,
    ServerError,
    TLSFailed,
    TooManyRequests,
    Unauthorized,
    Unreachable,
    VersionTooLarge,
)
from fairlead.kube._follow import Api, Follower
from fairlead.kube._health import HealthSettings, ServerHealth
from fairlead.kube._lease import Lease, LeaseApi, lease_name
from fairlead.kube._reflector import Reflector, ReflectorSettings, ReflectorStats
from fairlead.kube._store import Store, ref_of, service_of_slice
from fairlead.kube._versions import compare_versions

__all__ = [
    "AlreadyExists",
    "Api",
    "Backoff",
    "BackoffSettings",
    "Client",
    "ClientSettings",
    "Conflict",
    "Credentials",
    "CredentialsError",
    "Deleted",
    "Disconnected",
    "Election",
    "Follower",
    "Forbidden",
    "Gone",
    "HealthSettings",
    "Invalid",
    "KubeError",
    "Lease",
    "LeaseApi",
    "LeaseSettings",
    "LeaseSpec",
    "Mended",
    "NotFound",
    "ProtocolError",
    "Put",
    "Readable",
    "Reflector",
    "ReflectorSettings",
    "ReflectorStats",
    "Rejected",
    "ServerError",
    "ServerHealth",
    "Store",
    "StoreChange",
    "TLSFailed",
    "TooManyRequests",
    "Trust",
    "Unauthorized",
    "Undecodable",
    "Unreachable",
    "Unreadable",
    "VersionTooLarge",
    "compare_versions",
    "lease_name",
    "load_credentials",
    "ref_of",
    "service_of_slice",
]
