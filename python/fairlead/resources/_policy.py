"""Fairlead's own kind: BackendPolicy, a Direct policy (GEP-713) on Services of its namespace."""

from fairlead.resources._gateway import StatusEntry
from fairlead.resources._meta import KubeStruct, ObjectMeta


class PolicyTargetRef(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    """A Service, or with `section_name` one of its ports by name."""

    group: str
    kind: str
    name: str
    section_name: str | None = None


class HashHeaderSpec(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    name: str


class ConsistentHashSpec(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    type: str | None = None
    """SourceIP or Header."""
    header: HashHeaderSpec | None = None
    """With Header, and only then."""
    table_size: int | None = None
    """A prime of at most 5,000,011; 65,537 if absent."""


class LoadBalancerSpec(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    type: str | None = None
    """PeakEWMA (the default), RoundRobin or ConsistentHash."""
    consistent_hash: ConsistentHashSpec | None = None
    """With ConsistentHash, and only then."""


class PerEndpointSpec(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    max_connections: int | None = None
    """Connections of one proxy to one endpoint, at least 1; without a limit if absent."""


class CircuitBreakerSpec(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    per_endpoint: PerEndpointSpec | None = None


class RetrySpec(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    attempts: int | None = None
    """Repeats of a request that was sent: 0, or 1 (the default)."""


class BackendPolicySpec(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    target_refs: tuple[PolicyTargetRef, ...] = ()
    load_balancer: LoadBalancerSpec | None = None
    circuit_breaker: CircuitBreakerSpec | None = None
    retry: RetrySpec | None = None


class BackendPolicyStatus(
    KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True
):
    """Only whose entries it has: ours must go when no ancestor of ours is left."""

    ancestors: tuple[StatusEntry, ...] | None = None


class BackendPolicy(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    metadata: ObjectMeta
    spec: BackendPolicySpec = BackendPolicySpec()
    status: BackendPolicyStatus | None = None

    def has_entry_of(self, controller_name: str) -> bool:
        """Whether its status has an entry of this controller."""
        ancestors = (self.status and self.status.ancestors) or ()
        return any(entry.controller_name == controller_name for entry in ancestors)
