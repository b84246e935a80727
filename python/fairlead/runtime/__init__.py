"""Wires the layers together: the controller's tasks, and the supervisor of controller and proxy.

The only layer that starts tasks and processes. Importing it imports nothing: the supervisor lives in this package
too, and is resident for as long as an instance runs. `fairlead.runtime.instance` is for the command line.
"""

__all__: list[str] = []
