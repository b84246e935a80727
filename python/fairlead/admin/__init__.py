"""The admin API: what the instance knows, for `fairlead get` and its like.

`Inventory` collects what is known, `TelemetryBook` adds up what proxies measured, `Looking` subscribes to it
while somebody looks, `AdminServer` answers on a Unix socket.
"""

from fairlead.admin._app import AdminServer
from fairlead.admin._inventory import Inventory, StatusReader
from fairlead.admin._looking import Looking
from fairlead.admin._telemetry import Measure, TelemetryBook

__all__ = ["AdminServer", "Inventory", "Looking", "Measure", "StatusReader", "TelemetryBook"]
