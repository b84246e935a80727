"""The objects of the tests, as the API takes them."""

from __future__ import annotations

from tests.e2e.harness.api import Object

ECHO_IMAGE = "fairlead.test/echo:1"
CONTROLLER = "fairlead.dev/gateway-controller"
GATEWAY_GROUP = "gateway.networking.k8s.io/v1"
RECORD_MOUNT = "/record"


def named(api_version: str, kind: str, name: str, **fields: object) -> Object:
    """An object with a name and these top-level fields."""
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **fields}


def deployment(
    name: str,
    replicas: int,
    *,
    drain: str = "2s",
    grace_seconds: int = 15,
    record_dir: str | None = None,
    surge: int | str = 1,
) -> Object:
    """Echo Pods labelled app=NAME; `drain` is how long they serve after SIGTERM (0s: they end at once)."""
    environment = [{"name": "DRAIN", "value": drain}]
    container: Object = {
        "name": "echo",
        "image": ECHO_IMAGE,
        "imagePullPolicy": "Never",
        "env": environment,
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {
            "httpGet": {"path": "/ready", "port": "http"},
            "periodSeconds": 1,
            "failureThreshold": 1,
        },
        "resources": {"requests": {"cpu": "5m", "memory": "8Mi"}},
    }
    pod: Object = {
        "terminationGracePeriodSeconds": grace_seconds,
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "containers": [container],
    }
    if record_dir is not None:
        environment.append({"name": "RECORD", "value": RECORD_MOUNT})
        container["volumeMounts"] = [{"name": "record", "mountPath": RECORD_MOUNT}]
        pod["volumes"] = [{"name": "record", "hostPath": {"path": record_dir, "type": "Directory"}}]
    labels = {"app": name}
    return named(
        "apps/v1",
        "Deployment",
        name,
        spec={
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    )


def service(name: str, app: str | None = None) -> Object:
    """A Service on port 80 in front of the Pods labelled app=APP (default: its name)."""
    return named(
        "v1",
        "Service",
        name,
        spec={
            "selector": {"app": app or name},
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    )


def selectorless_service(name: str) -> Object:
    """A Service whose endpoints the test writes itself."""
    return named("v1", "Service", name, spec={"ports": [{"name": "http", "port": 80, "targetPort": 8080}]})


def endpoint_slice(service_name: str, addresses: list[str], *, part: int = 0) -> Object:
    """A hand-made slice with ready endpoints at port 8080."""
    made = named(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        f"{service_name}-{part}",
        addressType="IPv4",
        ports=[{"name": "http", "port": 8080, "protocol": "TCP"}],
        endpoints=[{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
    )
    made["metadata"]["labels"] = {
        "kubernetes.io/service-name": service_name,
        "endpointslice.kubernetes.io/managed-by": "fairlead-tests",
    }
    return made


def gateway_class() -> Object:
    """The class that Fairlead serves."""
    return named(GATEWAY_GROUP, "GatewayClass", "fairlead", spec={"controllerName": CONTROLLER})


def gateway(name: str = "web", port: int = 8080) -> Object:
    """A Gateway with one HTTP listener called `http`."""
    return named(
        GATEWAY_GROUP,
        "Gateway",
        name,
        spec={
            "gatewayClassName": "fairlead",
            "listeners": [{"name": "http", "protocol": "HTTP", "port": port}],
        },
    )


def http_route(
    name: str, hostname: str, backend: str, *, namespace: str | None = None, gateway_name: str = "web"
) -> Object:
    """Everything at the hostname goes to port 80 of the Service `backend`, of another `namespace` if that is said."""
    reference: Object = {"name": backend, "port": 80}
    if namespace is not None:
        reference["namespace"] = namespace
    return named(
        GATEWAY_GROUP,
        "HTTPRoute",
        name,
        spec={
            "parentRefs": [{"name": gateway_name}],
            "hostnames": [hostname],
            "rules": [{"backendRefs": [reference]}],
        },
    )


def reference_grant(name: str, namespace: str, service_name: str) -> Object:
    """HTTPRoutes of `namespace` may refer to the Service."""
    return named(
        "gateway.networking.k8s.io/v1beta1",
        "ReferenceGrant",
        name,
        spec={
            "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": namespace}],
            "to": [{"group": "", "kind": "Service", "name": service_name}],
        },
    )


def round_robin(service_name: str) -> Object:
    """A BackendPolicy that takes the Service's endpoints in turn."""
    made = named(
        "fairlead.dev/v1alpha1",
        "BackendPolicy",
        f"{service_name}-round-robin",
        spec={
            "targetRefs": [{"group": "", "kind": "Service", "name": service_name}],
            "loadBalancer": {"type": "RoundRobin"},
        },
    )
    made["metadata"]["labels"] = {"gateway.networking.k8s.io/policy": "Direct"}
    return made
