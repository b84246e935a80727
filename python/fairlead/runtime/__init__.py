"""Wires the layers together: the controller's tasks, and the supervisor of controller and proxy.

The only layer that starts tasks and processes. Importing it imports neither Kubernetes nor HTTP: the supervisor
lives in this package too.
"""

from fairlead.runtime._lock import InstanceRunningError
from fairlead.runtime._paths import InstancePaths, PathError, instance_paths, runtime_dirs
from fairlead.runtime._run import DirectoryMissingError, run_controller, run_instance, run_proxy
from fairlead.runtime._settings import Settings

__all__ = [
    "DirectoryMissingError",
    "InstancePaths",
    "InstanceRunningError",
    "PathError",
    "Settings",
    "instance_paths",
    "run_controller",
    "run_instance",
    "run_proxy",
    "runtime_dirs",
]
