"""Wires the layers together: the controller's tasks, and the supervisor of controller and proxy.

The only layer that starts tasks and processes.
"""

__all__: list[str] = []
