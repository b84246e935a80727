"""EndpointSlices in files: what the API server would refuse is refused (validateEndpoints), and nothing else."""

from typing import Any

import pytest

from fairlead.resources import EndpointSlice
from fairlead.sources.directory._objects import RefusedDocumentError, build, identify, parse


def document(*, ports: int = 1, zones: int = 0, nodes: int = 0) -> dict[str, Any]:
    hints = {
        "forZones": [{"name": f"z{n}"} for n in range(zones)],
        "forNodes": [{"name": f"n{n}"} for n in range(nodes)],
    }
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"], "hints": hints}],
        "ports": [{"name": f"p{n}", "port": 1 + n} for n in range(ports)],
    }


def read(written: dict[str, Any]) -> EndpointSlice:
    found = identify(written)
    assert found is not None
    obj = build(parse(written, found), generation=1, resource_version="1")
    assert isinstance(obj, EndpointSlice)
    return obj


def test_a_slice_with_all_that_is_allowed_is_read() -> None:
    """Reference: endpoints 1.1, "Limits at reading"."""
    obj = read(document(ports=20_000, zones=8, nodes=8))
    assert obj.ports is not None
    assert obj.endpoints is not None
    hints = obj.endpoints[0].hints
    assert hints is not None
    assert (len(obj.ports), len(hints.for_zones or ()), len(hints.for_nodes or ())) == (20_000, 8, 8)


@pytest.mark.parametrize(
    ("limits", "where"), [({"ports": 20_001}, "ports"), ({"zones": 9}, "hints"), ({"nodes": 9}, "hints")]
)
def test_a_slice_with_more_is_refused(limits: dict[str, int], where: str) -> None:
    with pytest.raises(RefusedDocumentError, match=where):
        read(document(**limits))


def test_v1_endpoints_are_not_used() -> None:
    """Reference: endpoints 1.1, "Mirrored Endpoints"."""
    assert identify({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "web"}}) is None
