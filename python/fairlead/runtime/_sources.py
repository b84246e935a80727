"""The source that the settings name, with what goes with it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from fairlead.base import Clock
from fairlead.runtime._crds import CRDVersions
from fairlead.runtime._identity import new_identity
from fairlead.runtime._paths import InstancePaths
from fairlead.runtime._settings import Settings
from fairlead.runtime._stats import Reflectors
from fairlead.runtime._writing import Writing
from fairlead.sources import ClusterSource, Source
from fairlead.translate import CONTROLLER_NAME

GATEWAY_CLASS = "fairlead"


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """A source, and how an instance behaves with it."""

    source: Source
    gateway_class: str | None = None
    """The GatewayClass that is ours even without an object."""
    loopback_endpoints: bool = False
    keeps_addresses: bool = False
    """Whether the instance itself records addresses: there is no API that does."""
    crds: CRDVersions | None = None
    """Where the versions of the CRDs come from; None: they are those that we bring along."""
    writing: Writing | None = None
    """Who writes status, where there is somewhere to write it."""
    reflectors: Reflectors | None = None
    """Counters of what follows an API server, where one is followed."""


@asynccontextmanager
async def attach(settings: Settings, paths: InstancePaths, clock: Clock) -> AsyncIterator[Attached]:
    """Opens the source. Raises FairleadError."""
    controller_name = settings.controller_name or CONTROLLER_NAME
    if settings.directory is not None:
        # What reads manifests is big, and a cluster does not need it.
        from fairlead.sources.directory import DirectorySource

        yield Attached(
            source=DirectorySource(
                settings.directory, controller_name=controller_name, record=paths.objects, clock=clock
            ),
            gateway_class=GATEWAY_CLASS,
            loopback_endpoints=True,
            keeps_addresses=True,
        )
        return
    from fairlead import kube

    kubeconfig = str(settings.kubeconfig) if settings.kubeconfig is not None else None
    credentials = kube.load_credentials(kubeconfig=kubeconfig, context=settings.context, clock=clock)
    async with kube.Client(credentials, clock=clock) as client:
        identity = settings.identity or new_identity()
        writing = (
            Writing(client, controller_name=controller_name, identity=identity, clock=clock)
            if settings.write_status
            else None
        )
        source = ClusterSource(client, clock=clock)
        yield Attached(source=source, writing=writing, crds=CRDVersions(client), reflectors=source.stats)
