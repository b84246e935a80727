"""Which running instance a command speaks to.

`--address`, then FAIRLEAD_ADDRESS, then the only live socket; with several, the command lists them and ends, with
none it says how to start one.
"""

import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from fairlead.base import ErrorSource, FairleadError
from fairlead.runtime.instance import runtime_dirs

ADDRESS = "FAIRLEAD_ADDRESS"
_STREAM_SUFFIX = ".stream.sock"
_CONNECT_S = 1.0


class NoInstanceError(FairleadError):
    """Nothing runs here."""

    code = "NoInstance"
    source = ErrorSource.USER


class SeveralInstancesError(FairleadError):
    """The command does not say which of several instances it means."""

    code = "SeveralInstances"
    source = ErrorSource.USER


def find_socket(address: str | None, env: Mapping[str, str] | None = None) -> Path:
    """The admin socket to use. Raises NoInstanceError, SeveralInstancesError."""
    env = os.environ if env is None else env
    given = address or env.get(ADDRESS)
    if given:
        path = Path(given.removeprefix("unix://").removeprefix("unix:"))
        if not _is_live(path):
            raise NoInstanceError(f"no instance answers at {path}", hint="start one with: fairlead run DIR")
        return path
    live = list(live_sockets(env))
    if not live:
        closed = [
            str(folder) for folder in runtime_dirs(env) if folder.exists() and not os.access(folder, os.R_OK)
        ]
        hint = "start one with: fairlead run DIR"
        if closed:
            hint += f" (or ask as the user who may read {', '.join(closed)})"
        raise NoInstanceError("no instance of Fairlead is running here", hint=hint)
    if len(live) > 1:
        names = ", ".join(str(path) for path in live)
        raise SeveralInstancesError(
            f"several instances are running: {names}", hint=f"choose one with --address or {ADDRESS}"
        )
    return live[0]


def live_sockets(env: Mapping[str, str]) -> Iterator[Path]:
    """The admin sockets that somebody serves, by name."""
    for folder in dict.fromkeys(runtime_dirs(env)):
        try:
            found = sorted(folder.glob("*.sock"))
        except OSError:
            continue
        yield from (path for path in found if not path.name.endswith(_STREAM_SUFFIX) and _is_live(path))


def _is_live(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_CONNECT_S)
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return False
        return True
