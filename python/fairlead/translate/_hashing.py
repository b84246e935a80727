"""Consistent hashing in a BackendPolicy: what is wrong with it, and how it travels.

Law: what has no problem here is valid for a proxy (`crates/snapshot/src/validate.rs`).
"""

import re
from functools import lru_cache
from math import isqrt

from fairlead import snapshot
from fairlead.resources import ConsistentHashSpec, LoadBalancerSpec

MAX_TABLE_SIZE = 5_000_011

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,256}")
"""A token of RFC 9110 section 5.6.2, as long as the Gateway API lets header names be."""


def hashing_problem(balancer: LoadBalancerSpec) -> str:
    """What is wrong with `consistentHash`, its absence included; empty if nothing is."""
    spec = balancer.consistent_hash
    if balancer.type != snapshot.LoadBalancer.CONSISTENT_HASH:
        return "" if spec is None else "loadBalancer.consistentHash is of use to the type ConsistentHash only"
    if spec is None:
        return "loadBalancer.consistentHash is missing, which says what requests are hashed by"
    size = spec.table_size
    if size is not None and not _is_table_size(size):
        return f"loadBalancer.consistentHash.tableSize is not a prime of at most {MAX_TABLE_SIZE}: {size}"
    return _key_problem(spec)


def consistent_hash(balancer: LoadBalancerSpec | None) -> snapshot.ConsistentHash | None:
    """Consistent hashing as a proxy is told. Precondition: there is no problem with it."""
    spec = balancer.consistent_hash if balancer is not None else None
    if spec is None or spec.type is None:
        return None
    default = snapshot.ConsistentHash(type=snapshot.HashKey(spec.type))
    return snapshot.ConsistentHash(
        type=default.type,
        header=spec.header.name if spec.header is not None else None,
        table_size=default.table_size if spec.table_size is None else spec.table_size,
    )


def _key_problem(spec: ConsistentHashSpec) -> str:
    match spec.type:
        case snapshot.HashKey.HEADER:
            if spec.header is None:
                return "loadBalancer.consistentHash.header is missing"
            if _HEADER_NAME.fullmatch(spec.header.name) is None:
                return f"loadBalancer.consistentHash.header.name is not a header name: {spec.header.name!r}"
        case snapshot.HashKey.SOURCE_IP:
            if spec.header is not None:
                return "loadBalancer.consistentHash.header is of use to the type Header only"
        case _:
            return f"loadBalancer.consistentHash.type {spec.type!r} is not known"
    return ""


@lru_cache(maxsize=64)
def _is_table_size(number: int) -> bool:
    is_within = 2 <= number <= MAX_TABLE_SIZE
    return is_within and all(number % divisor for divisor in range(2, isqrt(number) + 1))
