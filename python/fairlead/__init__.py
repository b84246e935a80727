"""Fairlead: a Kubernetes gateway that sends every request straight to the right Pod.

Importing this package imports nothing else: the layers below it are loaded when they are used.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
