"""Status: what users read of their objects, and how it gets there.

Laws:
1. Translation says what the configuration is; this layer says what is true: `Programmed` waits for the proxy's
   acknowledgement, a refused resource and a socket that could not be bound turn conditions False.
2. Only changes are written, and the entries of other controllers are kept byte for byte.
3. Only the Lease holder writes. A directory has no API to write to: there status lives here.
"""

from fairlead.status._book import Statement, StatusBook
from fairlead.status._keeper import StatusKeeper
from fairlead.status._merge import (
    merge_ancestors,
    merge_class,
    merge_conditions,
    merge_gateway,
    merge_parents,
)
from fairlead.status._render import render
from fairlead.status._writer import Live, StatusApi, StatusConflictError, StatusGoneError, StatusWriter

__all__ = [
    "Live",
    "Statement",
    "StatusApi",
    "StatusBook",
    "StatusConflictError",
    "StatusGoneError",
    "StatusKeeper",
    "StatusWriter",
    "merge_ancestors",
    "merge_class",
    "merge_conditions",
    "merge_gateway",
    "merge_parents",
    "render",
]
