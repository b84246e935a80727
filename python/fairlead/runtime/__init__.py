"""Wires the layers together: the controller's tasks, and the supervisor of controller and proxy.

The only layer that starts tasks and processes.
"""

from fairlead.runtime._status_book import CONTROLLER, StatusBook

__all__ = ["CONTROLLER", "StatusBook"]
