"""The demo's manifests: a Gateway, a route and a Service, as a user would write them."""

from pathlib import Path

from fairlead.lab._deployment import write_atomically

GATEWAY_PORT = 8080
HOST = "echo.example.com"
SERVICE = "echo"

_GATEWAY = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "Gateway",
    "metadata": {"name": "demo"},
    "spec": {
        "gatewayClassName": "fairlead",
        "listeners": [{"name": "http", "port": GATEWAY_PORT, "protocol": "HTTP"}],
    },
}
_ROUTE = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "HTTPRoute",
    "metadata": {"name": SERVICE},
    "spec": {
        "parentRefs": [{"name": "demo"}],
        "hostnames": [HOST],
        "rules": [{"backendRefs": [{"name": SERVICE, "port": 80}]}],
    },
}
_SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": SERVICE},
    "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
}


def write_manifests(folder: Path) -> Path:
    """Makes `folder` and writes everything but the EndpointSlice, which the Deployment keeps."""
    folder.mkdir()
    write_atomically(folder / "gateway.yaml", [_GATEWAY])
    write_atomically(folder / "echo.yaml", [_ROUTE, _SERVICE])
    return folder
