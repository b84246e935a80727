"""Where an instance lives in the file system.

    RUNTIME_DIR/NAME.sock            the admin API
    RUNTIME_DIR/NAME.stream.sock     controller to proxy
    RUNTIME_DIR/NAME.{controller,proxy}.lock
    RUNTIME_DIR/NAME.ready.json      what the proxy listens on for health and metrics
    STATE_DIR/NAME/last-good         the proxy's last good configuration
    STATE_DIR/NAME/addresses.json    the Gateways' addresses (of a directory)
    STATE_DIR/NAME/objects.jsonl     what was in force of a directory

RUNTIME_DIR is $XDG_RUNTIME_DIR/fairlead, else /run/fairlead, else a per-user folder of the temporary directory;
STATE_DIR is --state-dir, else $XDG_STATE_HOME/fairlead, else /var/lib/fairlead, else such a folder. System folders
are passed over where they cannot be written.
"""

import os
import re
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from fairlead.base import ErrorSource, FairleadError

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
_SOCKET_PATH_BYTES = 107
"""What fits into sockaddr_un.sun_path."""


class PathError(FairleadError):
    """The instance has no place to live."""

    code = "InvalidPath"
    source = ErrorSource.USER


class InstancePaths(msgspec.Struct, frozen=True, kw_only=True):
    """The files of one instance."""

    name: str
    runtime_dir: Path
    state_dir: Path

    @property
    def admin_socket(self) -> Path:
        return self.runtime_dir / f"{self.name}.sock"

    @property
    def stream_socket(self) -> Path:
        return self.runtime_dir / f"{self.name}.stream.sock"

    @property
    def ready_file(self) -> Path:
        return self.runtime_dir / f"{self.name}.ready.json"

    @property
    def last_good(self) -> Path:
        return self.state_dir / "last-good"

    @property
    def addresses(self) -> Path:
        return self.state_dir / "addresses.json"

    @property
    def objects(self) -> Path:
        return self.state_dir / "objects.jsonl"

    def lock(self, half: str) -> Path:
        """The file that a running half keeps locked."""
        return self.runtime_dir / f"{self.name}.{half}.lock"


def instance_paths(
    name: str, *, state_dir: Path | None = None, env: Mapping[str, str] | None = None
) -> InstancePaths:
    """The paths of instance `name`, with their folders made. Raises PathError."""
    env = os.environ if env is None else env
    if not _NAME.fullmatch(name):
        raise PathError(
            f'"{name}" is not an instance name',
            code="InvalidInstanceName",
            hint="use at most 40 of a-z, 0-9 and -",
        )
    runtime = _first_usable(runtime_dirs(env))
    state = _usable(state_dir) if state_dir is not None else _first_usable(_state_dirs(env))
    if state is None or runtime is None:
        raise PathError(
            "no folder can be written for sockets or state", hint="set XDG_RUNTIME_DIR, --state-dir"
        )
    paths = InstancePaths(name=name, runtime_dir=runtime, state_dir=state / name)
    _private(paths.state_dir)
    if len(os.fsencode(paths.stream_socket)) > _SOCKET_PATH_BYTES:
        raise PathError(
            f"{paths.stream_socket} is too long for a socket", hint="set a shorter XDG_RUNTIME_DIR"
        )
    return paths


def runtime_dirs(env: Mapping[str, str]) -> list[Path]:
    """Where sockets may be, in the order of preference."""
    xdg = env.get("XDG_RUNTIME_DIR")
    return [
        *([Path(xdg) / "fairlead"] if xdg else []),
        Path("/run/fairlead"),
        Path(tempfile.gettempdir()) / f"fairlead-{os.getuid()}",
    ]


def _state_dirs(env: Mapping[str, str]) -> list[Path]:
    xdg = env.get("XDG_STATE_HOME")
    return [
        *([Path(xdg) / "fairlead"] if xdg else []),
        Path("/var/lib/fairlead"),
        Path(tempfile.gettempdir()) / f"fairlead-{os.getuid()}" / "state",
    ]


def _first_usable(candidates: list[Path]) -> Path | None:
    return next((path for path in map(_usable, candidates) if path is not None), None)


def _usable(path: Path) -> Path | None:
    try:
        _private(path)
    except OSError:
        return None
    return path if os.access(path, os.W_OK | os.X_OK) else None


def _private(path: Path) -> None:
    """Makes a folder that only we can enter; one that somebody else made in the temporary directory is no good."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode) or found.st_uid not in {os.getuid(), 0}:
        raise PermissionError(f"{path} belongs to somebody else")
