"""The binding's validation: the proxy's own code, called from the controller."""

import msgspec
import pytest

from fairlead import _core
from fairlead import snapshot as s

_encode = msgspec.msgpack.encode


def _route(**match: object) -> bytes:
    target = {"weight": 1, "backend": "Service/a/b/80"}
    return _encode(
        {
            "namespace": "a",
            "name": "r",
            "created_s": 0,
            "attachments": [{"listener": "a/g/http"}],
            "rules": [{"matches": [match], "targets": [target]}],
        }
    )


def _rule(**rule: object) -> bytes:
    body = msgspec.msgpack.decode(_route())
    body["rules"][0] |= rule
    return _encode(body)


def _endpoints(**change: object) -> bytes:
    return _encode({"endpoints": [{"id": "u|10.0.0.1|80|TCP", "address": "10.0.0.1", "port": 80, **change}]})


def _policy(**policy: object) -> bytes:
    return _encode({"namespace": "a", "service": "b", "port": 80, "policy": policy})


def _hashing(**hashing: object) -> bytes:
    return _policy(load_balancer="ConsistentHash", consistent_hash=hashing)


_BIND = {"address": "127.0.0.1", "port": 80}
_LISTENER = {
    "bind": "127.0.0.1:80",
    "gateway_namespace": "a",
    "gateway": "g",
    "listener": "http",
    "port": 80,
}


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        ("certificate", b"", "UnknownKind"),
        ("route", b"", "Malformed"),
        ("route", _encode([]), "Malformed"),
        ("bind", _encode({**_BIND, "address": "localhost"}), "InvalidAddress"),
        ("bind", _encode({**_BIND, "port": 0}), "InvalidPort"),
        ("bind", _encode({**_BIND, "port": 65536}), "InvalidPort"),
        ("bind", _encode({**_BIND, "protocol": "HTTPS"}), "UnsupportedValue"),
        ("listener", _encode({**_LISTENER, "bind": "somewhere"}), "InvalidAddress"),
        ("listener", _encode({**_LISTENER, "hostname": "a.*.com"}), "InvalidHostname"),
        ("listener", _encode({**_LISTENER, "hostname": "UPPER.com"}), "InvalidHostname"),
        ("listener", _encode({**_LISTENER, "gateway": ""}), "InvalidName"),
        ("backend", _encode({"namespace": "a", "service": "b", "port": -1}), "InvalidPort"),
        ("backend", _policy(load_balancer="Fastest"), "UnsupportedValue"),
        ("backend", _policy(max_connections_per_endpoint=0), "InvalidPolicy"),
        ("backend", _policy(max_connections_per_endpoint=2**31), "InvalidPolicy"),
        ("backend", _policy(retry_attempts=2), "InvalidPolicy"),
        ("backend", _policy(retry_attempts=-1), "InvalidPolicy"),
        ("backend", _policy(load_balancer="ConsistentHash"), "InvalidPolicy"),
        ("backend", _policy(consistent_hash={"type": "SourceIP"}), "InvalidPolicy"),
        ("backend", _hashing(type="Cookie"), "UnsupportedValue"),
        ("backend", _hashing(type="Header"), "InvalidPolicy"),
        ("backend", _hashing(type="Header", header="a b"), "InvalidPolicy"),
        ("backend", _hashing(type="SourceIP", header="a"), "InvalidPolicy"),
        ("backend", _hashing(type="SourceIP", table_size=65_536), "InvalidPolicy"),
        ("backend", _hashing(type="SourceIP", table_size=5_000_077), "InvalidPolicy"),
        ("backend", _hashing(type="SourceIP", table_size=2**32 + 65_537), "InvalidPolicy"),
        ("endpoints", _endpoints(weight=1_000_001), "InvalidWeight"),
        ("endpoints", _endpoints(weight=-1), "InvalidWeight"),
        ("endpoints", _endpoints(address="0.0.0.0"), "InvalidAddress"),
        ("endpoints", _endpoints(id=""), "InvalidName"),
        (
            "endpoints",
            _encode({"endpoints": [{"id": "u", "address": "10.0.0.1", "port": 80}] * 2}),
            "Duplicate",
        ),
        ("route", _route(path={"type": "PathPrefix", "value": "no-slash"}), "InvalidPath"),
        ("route", _route(path={"type": "Exact", "value": "/a%2fb"}), "InvalidPath"),
        ("route", _route(path={"type": "RegularExpression", "value": "/.*"}), "UnsupportedValue"),
        ("route", _route(headers=[{"name": "a b", "value": "x"}]), "InvalidMatch"),
        ("route", _route(headers=[{"name": "a", "value": "x\r\ny"}]), "InvalidMatch"),
        ("route", _route(headers=[{"name": "a", "value": "x", "type": "Fuzzy"}]), "UnsupportedValue"),
        ("route", _route(method="GE T"), "InvalidMatch"),
        ("route", _rule(targets=[{"weight": 1}]), "InvalidTarget"),
        ("route", _rule(targets=[{"weight": 1, "backend": "x", "error": "InvalidKind"}]), "InvalidTarget"),
        ("route", _rule(targets=[{"weight": 1, "error": "Whatever"}]), "UnsupportedValue"),
        ("route", _rule(matches=[{}] * 1025), "TooLarge"),
        ("route", b"\x91" * 100_000, "Malformed"),
    ],
)
def test_what_a_proxy_would_refuse_has_a_code(kind: str, body: bytes, code: str) -> None:
    verdict = _core.validate_resource(kind, body)
    assert verdict is not None
    assert verdict[0] == code, verdict
    assert verdict[1]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("bind", _encode({**_BIND, "address": "::1"})),
        ("bind", _encode({**_BIND, "something_new": {"deep": [1, 2, 3]}})),
        ("listener", _encode({**_LISTENER, "hostname": "*.example.com"})),
        ("endpoints", _encode({"endpoints": []})),
        ("endpoints", _endpoints(weight=0)),
        ("route", _route()),
        ("route", _rule(targets=[])),
        ("route", _route(path={"type": "PathPrefix", "value": "/a/"}, method="GET")),
    ],
)
def test_what_is_valid_or_unknown_and_optional_is_taken(kind: str, body: bytes) -> None:
    assert _core.validate_resource(kind, body) is None


def test_everything_that_this_side_writes_is_valid() -> None:
    resources: list[tuple[s.Kind, s.Resource]] = [
        (s.Kind.BIND, s.Bind(address="127.0.0.1", port=80)),
        (s.Kind.BACKEND, s.Backend(namespace="a", service="b", port=80)),
        (
            s.Kind.BACKEND,
            s.Backend(
                namespace="a",
                service="b",
                port=80,
                policy=s.Policy(
                    load_balancer=s.LoadBalancer.ROUND_ROBIN,
                    max_connections_per_endpoint=2**31 - 1,
                    retry_attempts=0,
                ),
            ),
        ),
        *[
            (
                s.Kind.BACKEND,
                s.Backend(
                    namespace="a",
                    service="b",
                    port=80,
                    policy=s.Policy(
                        load_balancer=s.LoadBalancer.CONSISTENT_HASH,
                        consistent_hash=s.ConsistentHash(type=key, header=header, table_size=size),
                    ),
                ),
            )
            for key, header in ((s.HashKey.HEADER, "X-User"), (s.HashKey.SOURCE_IP, None))
            for size in (2, 65_537, 5_000_011)
        ],
        *[
            (
                s.Kind.ROUTE,
                s.Route(
                    namespace="a",
                    name="r",
                    created_s=0,
                    attachments=(),
                    rules=(s.Rule(matches=(), targets=(s.Target(weight=1, error=error),)),),
                ),
            )
            for error in s.TargetError
        ],
    ]
    for kind, resource in resources:
        assert _core.validate_resource(kind, s.encode_resource(resource)) is None
