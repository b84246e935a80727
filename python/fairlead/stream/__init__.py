"""Snapshots to proxies, over a Unix socket.

`Store` holds what every proxy should have, `Session` is one proxy's conversation without I/O, `StreamServer`
the thin shell around both. What the sessions learn (acks, rejections, facts, telemetry) comes out as events.
"""

from fairlead.stream._endpoints import BaseUnknownError, EndpointSet
from fairlead.stream._keys import Keys
from fairlead.stream._server import StreamServer, bind_private
from fairlead.stream._session import (
    Adopted,
    Event,
    FactsLearnt,
    Gone,
    Greeted,
    Measured,
    ProtocolError,
    Session,
)
from fairlead.stream._store import Store, Validate

__all__ = [
    "Adopted",
    "BaseUnknownError",
    "EndpointSet",
    "Event",
    "FactsLearnt",
    "Gone",
    "Greeted",
    "Keys",
    "Measured",
    "ProtocolError",
    "Session",
    "Store",
    "StreamServer",
    "Validate",
    "bind_private",
]
