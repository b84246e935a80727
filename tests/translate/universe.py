"""A small universe of objects for property tests: few names, so that references meet."""

from typing import TypeVar

from hypothesis import strategies as st

from fairlead import resources as k8s
from fairlead.resources import Object
from fairlead.translate import CONTROLLER_NAME
from tests.translate import harness as make

T = TypeVar("T")

NAMESPACES = ("a", "b")
_GOOD = 6
"""How much likelier the usual value is than each strange one."""
HOSTS = ("x.example.com", "*.example.com", "y.test", "X.Example.com", "not a host")


def mostly(usual: T, *others: T) -> st.SearchStrategy[T]:
    """The usual value most of the time."""
    return st.sampled_from((usual,) * _GOOD + others)


_names = mostly("a", "b")
_maybe_host = mostly(None, *HOSTS)


@st.composite
def listeners(draw: st.DrawFn) -> tuple[k8s.Listener, ...]:
    count = draw(st.integers(1, 3))
    return tuple(
        make.listener(
            draw(st.sampled_from(("l0", "l1", "l2"))),
            draw(st.sampled_from((80, 8080))),
            protocol=draw(mostly("HTTP", "HTTPS", "TCP")),
            hostname=draw(_maybe_host),
            namespaces=draw(mostly("All", None, "Same", "None", "Selector")),
            selector={"team": draw(st.sampled_from(("red", "blue")))},
            kinds=draw(mostly(None, (), ("HTTPRoute",), ("TCPRoute",), ("HTTPRoute", "TCPRoute"))),
        )
        for _ in range(count)
    )


@st.composite
def gateways(draw: st.DrawFn) -> k8s.Gateway:
    return make.gateway(
        draw(st.sampled_from(("g0", "g1"))),
        *draw(listeners()),
        ns=draw(_names),
        class_name=draw(mostly("fairlead", "other")),
        addresses=draw(
            mostly(None, [("IPAddress", "127.9.9.9")], [("Hostname", "h")], [("IPAddress", "192.0.2.1")])
        ),
        generation=draw(st.integers(1, 3)),
    )


@st.composite
def rules(draw: st.DrawFn) -> k8s.HTTPRouteRule:
    refs = draw(
        st.lists(
            st.builds(
                make.backend_ref,
                st.sampled_from(("s0", "s0", "s1", "missing")),
                mostly(80, 81, 99, None),
                namespace=mostly(None, *NAMESPACES),
                weight=st.sampled_from((None, 0, 1, 3)),
                kind=mostly(None, "Service", "Bucket"),
            ),
            max_size=2,
        )
    )
    matches = draw(
        st.lists(
            st.builds(
                make.match,
                st.sampled_from((None, "/", "/a", "/a/", "bad")),
                mostly("PathPrefix", "Exact", "RegularExpression"),
                method=mostly(None, "GET", "BREW"),
            ),
            max_size=2,
        )
    )
    timeouts = draw(mostly(None, k8s.HTTPRouteTimeouts(request="1s"), k8s.HTTPRouteTimeouts(request="x")))
    return make.rule(*refs, matches=matches or None, timeouts=timeouts)


@st.composite
def routes(draw: st.DrawFn) -> k8s.HTTPRoute:
    parents = draw(
        st.lists(
            st.builds(
                make.parent,
                mostly("g0", "g1", "nobody"),
                ns=mostly("a", None, "b"),
                section=mostly(None, "l0", "l1"),
                port=mostly(None, 80),
            ),
            min_size=1,
            max_size=2,
        )
    )
    return make.route(
        draw(st.sampled_from(("r0", "r1", "r2"))),
        *draw(st.lists(rules(), max_size=2)),
        ns=draw(_names),
        parents=parents,
        hostnames=draw(mostly(None, HOSTS[:1], HOSTS[1:2], HOSTS[:3], HOSTS[4:])),
        generation=draw(st.integers(1, 3)),
        created=draw(st.integers(0, 3)),
    )


@st.composite
def services(draw: st.DrawFn) -> k8s.Service:
    protocols = mostly("TCP", "UDP")
    return make.service(
        draw(st.sampled_from(("s0", "s1"))),
        k8s.ServicePort(port=80, name="http", protocol=draw(protocols)),
        k8s.ServicePort(
            port=81, name="other", app_protocol=draw(st.sampled_from((None, "kubernetes.io/h2c", "http")))
        ),
        ns=draw(_names),
        kind=draw(mostly("ClusterIP", "ExternalName")),
        families=draw(st.sampled_from((None, ("IPv4",), ("IPv6", "IPv4")))),
    )


@st.composite
def slices(draw: st.DrawFn) -> k8s.EndpointSlice:
    family = draw(mostly("IPv4", "IPv6", "IPv6", "FQDN"))
    pool = {
        "IPv4": ("10.0.0.1", "10.0.0.2", "127.0.0.1", "bad"),
        "IPv6": ("fd00::1", "fe80::1"),
        "FQDN": ("h",),
    }
    flags = st.sampled_from((None, True, False))
    members = draw(
        st.lists(
            st.builds(
                make.endpoint,
                st.sampled_from(pool[family]),
                pod=st.sampled_from((None, "p0", "p1")),
                ready=flags,
                serving=flags,
                terminating=flags,
                for_zones=st.sampled_from((None, ("z0",), ("z0", "z1"))),
            ),
            max_size=4,
        )
    )
    return make.slice_(
        draw(st.sampled_from(("e0", "e1", "e2"))),
        *members,
        of=draw(st.sampled_from(("s0", "s1"))),
        ns=draw(_names),
        port=draw(mostly(8080, 8081, None)),
        port_name=draw(mostly("http", "other", None)),
        family=family,
    )


START: tuple[Object, ...] = (
    make.gateway_class(),
    *(make.namespace(name, team="red") for name in NAMESPACES),
    make.gateway("g0", make.listener("l0", 80, namespaces="All"), ns="a"),
    make.service("s0", k8s.ServicePort(port=80, name="http"), k8s.ServicePort(port=81, name="other"), ns="a"),
    make.slice_("e0", make.endpoint(), of="s0", ns="a"),
    make.route("r0", make.rule(make.backend_ref("s0")), ns="a", parents=(make.parent("g0"),)),
    make.route(
        "r1", make.rule(make.backend_ref("s0", namespace="a")), ns="b", parents=(make.parent("g0", ns="a"),)
    ),
    make.policy("q0", ("s0", None), ns="a"),
)
"""A world in which things work, to begin with."""

objects: st.SearchStrategy[Object] = st.one_of(
    gateways(),
    routes(),
    routes(),
    services(),
    slices(),
    st.builds(make.namespace, _names, team=st.sampled_from(("red", "blue"))),
    st.builds(make.gateway_class, st.just("fairlead"), mostly(CONTROLLER_NAME, "example.com/x")),
    st.builds(
        make.grant,
        st.sampled_from(("t0", "t1")),
        _names,
        _names,
        to=st.sampled_from((None, "s0", "s1")),
        kind=st.sampled_from(("HTTPRoute", "GRPCRoute")),
    ),
    st.builds(
        make.policy,
        st.sampled_from(("q0", "q1")),
        st.tuples(st.sampled_from(("s0", "s1", "missing")), st.sampled_from((None, "http", "nowhere"))),
        lb=st.sampled_from((None, "RoundRobin", "PeakEWMA", "ConsistentHash", "Wrong")),
        hashing=st.sampled_from(
            (
                None,
                k8s.ConsistentHashSpec(type="SourceIP"),
                k8s.ConsistentHashSpec(type="Header", header=k8s.HashHeaderSpec(name="x"), table_size=101),
                k8s.ConsistentHashSpec(type="Header", table_size=100),
            )
        ),
        max_connections=st.sampled_from((None, 0, 1, 20)),
        attempts=st.sampled_from((None, 0, 1, 2)),
        ns=_names,
        created=st.integers(0, 2),
    ),
)
"""Any object."""
