"""The `fairlead` command."""

__all__: list[str] = []
