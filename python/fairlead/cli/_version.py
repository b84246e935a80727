"""`fairlead version`: this program, and the instances that run here."""

import os
import platform
import sys
from pathlib import Path

from fairlead import __version__
from fairlead.base import FairleadError
from fairlead.cli._client import Client
from fairlead.cli._discovery import ADDRESS, find_socket, live_sockets
from fairlead.snapshot import SCHEMA


def version(*, address: str | None = None) -> int:
    """Shows the version of this program and of the running instances.

    Parameters
    ----------
    address
        Only the instance at this socket.
    """
    lines = [f"fairlead {__version__} (contract {SCHEMA}, Python {platform.python_version()})"]
    for path in _sockets(address):
        try:
            running = Client(path).version()
        except FairleadError as error:
            lines.append(f"instance {path.stem}: {error.message} ({error.code})")
            continue
        lines.append(
            f"instance {path.stem}: {running.version} (contract {running.contract}, Python {running.python})"
        )
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _sockets(address: str | None) -> list[Path]:
    if address or os.environ.get(ADDRESS):
        return [find_socket(address)]
    return list(live_sockets(os.environ))
