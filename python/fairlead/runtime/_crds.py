"""The versions of the Gateway API's CRDs in a cluster, for the SupportedVersion of our GatewayClasses.

They change with an upgrade of the cluster and not else, so they are asked for now and then, as metadata alone.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from fairlead import kube
from fairlead.base import UNDECODABLE
from fairlead.translate import GatewayAPI

GROUP = "gateway.networking.k8s.io"
CRDS = tuple(
    f"{plural}.{GROUP}" for plural in ("gatewayclasses", "gateways", "httproutes", "referencegrants")
)
PINNED = GatewayAPI(bundles=dict.fromkeys(CRDS, "v1.6.3"))
"""Those that we bring along: the schema of manifests in a directory."""

_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_BUNDLE = f"{GROUP}/bundle-version"
_EVERY_S = 300.0
_RETRY_S = 30.0


class MetadataApi(Protocol):
    """The part of `kube.Client` that is used."""

    async def metadata(self, path: str) -> bytes: ...


class _Meta(msgspec.Struct):
    annotations: dict[str, str] | None = None


class _Object(msgspec.Struct):
    metadata: _Meta


class CRDVersions:
    """Reads them."""

    def __init__(self, client: MetadataApi) -> None:
        self._client = client

    async def run(self, told: Callable[[GatewayAPI], None]) -> None:
        """Tells what is known, and when it changes, until cancelled."""
        last: GatewayAPI | None = None
        while True:
            now = await self.read()
            if now != last:
                last = now
                told(now)
            await asyncio.sleep(_RETRY_S if now.problem else _EVERY_S)

    async def read(self) -> GatewayAPI:
        """The versions of those that are installed."""
        bundles: dict[str, str] = {}
        for name in CRDS:
            try:
                body = await self._client.metadata(f"{_PATH}/{name}")
                crd = msgspec.json.decode(body, type=_Object)
            except kube.NotFound:
                continue
            except kube.Forbidden as error:
                hint = "allow get of customresourcedefinitions in apiextensions.k8s.io"
                return GatewayAPI(
                    problem=f"the versions of the CRDs cannot be read: {error.message} ({hint})"
                )
            except (kube.KubeError, *UNDECODABLE) as error:
                return GatewayAPI(problem=f"the versions of the CRDs cannot be read: {error}")
            bundles[name] = (crd.metadata.annotations or {}).get(_BUNDLE, "")
        return GatewayAPI(bundles=bundles)
