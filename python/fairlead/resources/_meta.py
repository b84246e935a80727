"""What all Kubernetes objects share."""

from datetime import datetime
from typing import NamedTuple

import msgspec


class KubeStruct(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    """A projection of a Kubernetes type; unknown fields are passed over."""


class ObjectMeta(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    """The part of ObjectMeta that is used."""

    name: str = ""
    namespace: str = ""
    """Empty for cluster-scoped objects."""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    """RFC 3339; see `parse_time`."""
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class Condition(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=False):
    """metav1.Condition."""

    type: str
    status: str
    """`True`, `False` or `Unknown`."""
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""
    observed_generation: int = 0


class LabelSelectorRequirement(
    KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True
):
    key: str
    operator: str
    """In, NotIn, Exists or DoesNotExist."""
    values: tuple[str, ...] | None = None


class LabelSelector(KubeStruct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    """metav1.LabelSelector; all requirements hold, none at all matches everything."""

    match_labels: dict[str, str] | None = None
    match_expressions: tuple[LabelSelectorRequirement, ...] | None = None

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether `labels` meet every requirement; an unknown operator is met by nothing."""
        if any(labels.get(key) != value for key, value in (self.match_labels or {}).items()):
            return False
        return all(_meets(requirement, labels) for requirement in self.match_expressions or ())


def _meets(requirement: LabelSelectorRequirement, labels: dict[str, str]) -> bool:
    values = requirement.values or ()
    match requirement.operator:
        case "In":
            return requirement.key in labels and labels[requirement.key] in values
        case "NotIn":
            return requirement.key not in labels or labels[requirement.key] not in values
        case "Exists":
            return requirement.key in labels
        case "DoesNotExist":
            return requirement.key not in labels
        case _:
            return False


class Ref(NamedTuple):
    """An object's namespace (empty for cluster-scoped ones) and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def parse_time(text: str | None) -> int:
    """RFC 3339 to seconds since the Unix epoch; 0 where there is none or it cannot be read."""
    if not text:
        return 0
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        return 0
