"""The `fairlead` command: cyclopts commands, each in a module that is imported when it is called."""

from fairlead.cli._main import call, main

__all__ = ["call", "main"]
