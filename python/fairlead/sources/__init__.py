"""Where objects come from: a cluster or a directory, as one stream of changes.

Laws:
1. A source tells the state of each kind: `Synced` once it has listed it, `Unavailable` while it cannot.
   Nothing that derives from a kind is removed while that kind is unavailable.
2. Changes of one object come in order; a removal carries the last object known.
3. A source never raises for one bad object: it reports a `Finding` and goes on.
"""

from fairlead.sources._changes import Change, Finding, Removed, Sink, Source, Synced, Unavailable, Upserted
from fairlead.sources._cluster import ClusterSettings, ClusterSource

__all__ = [
    "Change",
    "ClusterSettings",
    "ClusterSource",
    "Finding",
    "Removed",
    "Sink",
    "Source",
    "Synced",
    "Unavailable",
    "Upserted",
]
