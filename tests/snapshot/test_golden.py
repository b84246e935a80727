"""Golden frames: the bytes of the contract, as this side writes them.

The Rust side reads the same files (`crates/snapshot/tests/golden.rs`). After a wanted change of the contract,
`python tests/snapshot/test_golden.py` writes them anew.
"""

from pathlib import Path

import pytest

from fairlead import snapshot as s

GOLDEN = Path(__file__).parent.parent / "golden"


def _upsert(kind: s.Kind, name: str, resource: s.Resource) -> s.Upsert:
    body = s.encode_resource(resource)
    return s.Upsert(kind=kind, name=name, hash=s.content_hash(body), body=body)


_APP = s.backend_key("shop", "app", 80)
_CANARY = s.backend_key("shop", "app-canary", 80)
_STICKY = s.backend_key("shop", "app-sticky", 80)
_NEAR = s.backend_key("shop", "app-near", 80)
_POSITION = s.Position(epoch=1_790_000_000_123, generation=7)

_PLAIN = s.Endpoint(id="11111111-aaaa|10.1.2.3|8080|TCP", address="10.1.2.3", port=8080)
_RICH = s.Endpoint(
    id="22222222-bbbb|fd00::1|8080|TCP",
    address="fd00::1",
    port=8080,
    ready=False,
    serving=True,
    terminating=True,
    weight=250,
    pod="shop/app-1",
    node="node-a",
    zone="zone-ä",
    subsets=("v1", "v2"),
    drain_deadline_s=1_790_000_060,
)

_RESOURCES = (
    _upsert(s.Kind.BIND, "127.0.0.2:8080", s.Bind(address="127.0.0.2", port=8080)),
    _upsert(s.Kind.BIND, "[::1]:8080", s.Bind(address="::1", port=8080)),
    _upsert(
        s.Kind.LISTENER,
        "infra/edge/http",
        s.Listener(
            bind="127.0.0.2:8080", gateway_namespace="infra", gateway="edge", listener="http", port=80
        ),
    ),
    _upsert(
        s.Kind.LISTENER,
        "infra/edge/wild",
        s.Listener(
            bind="[::1]:8080",
            gateway_namespace="infra",
            gateway="edge",
            listener="wild",
            port=80,
            hostname="*.example.com",
        ),
    ),
    _upsert(s.Kind.ENDPOINTS, _APP, s.Endpoints(endpoints=(_PLAIN, _RICH))),
    _upsert(s.Kind.ENDPOINTS, _CANARY, s.Endpoints(endpoints=())),
    _upsert(s.Kind.BACKEND, _APP, s.Backend(namespace="shop", service="app", port=80)),
    _upsert(
        s.Kind.BACKEND,
        _CANARY,
        s.Backend(
            namespace="shop",
            service="app-canary",
            port=80,
            policy=s.Policy(
                load_balancer=s.LoadBalancer.ROUND_ROBIN,
                max_connections_per_endpoint=20,
                retry_attempts=0,
                origins={"load_balancer": "BackendPolicy/shop/turns"},
            ),
        ),
    ),
    _upsert(
        s.Kind.BACKEND,
        _STICKY,
        s.Backend(
            namespace="shop",
            service="app-sticky",
            port=80,
            policy=s.Policy(
                load_balancer=s.LoadBalancer.CONSISTENT_HASH,
                consistent_hash=s.ConsistentHash(
                    type=s.HashKey.HEADER, header="X-Session", table_size=655_373
                ),
            ),
        ),
    ),
    _upsert(
        s.Kind.BACKEND,
        _NEAR,
        s.Backend(
            namespace="shop",
            service="app-near",
            port=80,
            policy=s.Policy(
                load_balancer=s.LoadBalancer.CONSISTENT_HASH,
                consistent_hash=s.ConsistentHash(type=s.HashKey.SOURCE_IP),
            ),
        ),
    ),
    _upsert(
        s.Kind.ROUTE,
        "HTTPRoute/shop/app",
        s.Route(
            namespace="shop",
            name="app",
            created_s=1_780_000_000,
            attachments=(
                s.Attachment(listener="infra/edge/http"),
                s.Attachment(listener="infra/edge/wild", hostnames=("app.example.com", "*.shop.example.com")),
            ),
            rules=(
                s.Rule(matches=(s.RouteMatch(),), targets=(s.Target(weight=1, backend=_APP),)),
                s.Rule(
                    name="canary",
                    matches=(
                        s.RouteMatch(
                            path=s.PathMatch(type=s.PathMatchType.EXACT, value="/cart"),
                            method="POST",
                            headers=(s.FieldMatch(name="X-Canary", value="yes"),),
                            query=(s.FieldMatch(name="debug", value="1"),),
                        ),
                        s.RouteMatch(path=s.PathMatch(type=s.PathMatchType.PREFIX, value="/api")),
                    ),
                    targets=(
                        s.Target(weight=90, backend=_APP),
                        s.Target(weight=10, backend=_CANARY),
                        s.Target(weight=0, error=s.TargetError.REF_NOT_PERMITTED),
                    ),
                    timeouts=s.Timeouts(request_ms=10_000, backend_request_ms=0),
                ),
            ),
        ),
    ),
)

FRAMES: dict[str, s.ToProxy | s.FromProxy] = {
    "to-proxy-full": s.Update(position=_POSITION, full=True, upserts=_RESOURCES),
    "to-proxy-keep": s.Update(
        position=_POSITION,
        full=True,
        more=True,
        upserts=(s.Upsert(kind=s.Kind.BIND, name="127.0.0.2:8080", hash="0011223344556677"),),
    ),
    "to-proxy-endpoints": s.Update(
        position=s.Position(epoch=1_790_000_000_123, generation=8),
        endpoints=(
            s.EndpointsDelta(
                name=_APP,
                base="0011223344556677",
                hash="8899aabbccddeeff",
                upserts=(_RICH,),
                removals=(_PLAIN.id,),
            ),
        ),
        removals=(s.Removal(kind=s.Kind.ROUTE, name="HTTPRoute/shop/old"),),
        event_ms=1_790_000_000_456,
    ),
    "to-proxy-subscribe": s.Subscribe(period_ms=500, backends=(_APP,)),
    "to-proxy-subscribe-all": s.Subscribe(period_ms=1_000),
    "to-proxy-stats": s.Stats(
        reflectors=(
            s.ReflectorStats(
                kind="EndpointSlice",
                relists=3,
                watch_events=70_000,
                last_sync_age_ms=1_500,
                errors={"Disconnected": 2, "Gone": 1},
            ),
            s.ReflectorStats(kind="BackendPolicy", relists=12, watch_events=0, errors={"NotFound": 12}),
        ),
    ),
    "to-proxy-stats-none": s.Stats(),
    "from-proxy-hello": s.Hello(
        schema=s.SCHEMA,
        instance="edge-1",
        scope="infra/edge",
        position=_POSITION,
        have={f"backend/{_APP}": "0011223344556677", "bind/127.0.0.2:8080": "8899aabbccddeeff"},
    ),
    "from-proxy-hello-empty": s.Hello(schema=s.SCHEMA, instance="edge-1"),
    "from-proxy-ack": s.Ack(position=_POSITION),
    "from-proxy-ack-rejected": s.Ack(
        position=_POSITION,
        rejected=(
            s.Rejection(
                kind=s.Kind.ROUTE,
                name="HTTPRoute/shop/bad",
                reason="UnsupportedValue",
                message="unsupported value",
            ),
        ),
    ),
    "from-proxy-facts": s.Facts(
        binds=(
            s.BindFact(name="127.0.0.2:8080", listening=True),
            s.BindFact(name="[::1]:8080", listening=False, message="Address already in use (os error 98)"),
        )
    ),
    "from-proxy-telemetry": s.Telemetry(
        at_ms=1_790_000_001_000,
        endpoints=(
            s.EndpointStats(
                id=_PLAIN.id,
                backend=_APP,
                state="ready",
                in_flight=3,
                connections=5,
                requests=70_000,
                success=69_990,
                failures=10,
                latency_ewma_us=1_250,
                latency_p50_us=900,
                latency_p99_us=12_000,
                last_failure="UC 3.2s ago",
            ),
            s.EndpointStats(
                id=_RICH.id,
                backend=_APP,
                state="fallback",
                in_flight=0,
                connections=0,
                requests=0,
                success=0,
                failures=0,
                latency_ewma_us=0,
            ),
        ),
    ),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_is_written_as_ever(name: str) -> None:
    assert s.encode_frame(FRAMES[name]) == (GOLDEN / f"{name}.bin").read_bytes()


@pytest.mark.parametrize("name", [name for name in FRAMES if name.startswith("from-proxy")])
def test_what_a_proxy_writes_is_read_back(name: str) -> None:
    assert s.decode_from_proxy((GOLDEN / f"{name}.bin").read_bytes()[4:]) == FRAMES[name]


def test_every_golden_file_has_its_frame() -> None:
    assert {path.stem for path in GOLDEN.glob("*.bin")} == set(FRAMES)


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name, frame in FRAMES.items():
        (GOLDEN / f"{name}.bin").write_bytes(s.encode_frame(frame))
