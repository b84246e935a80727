"""Reading the manifest files below a directory.

Names that start with a dot are passed over: in a mounted ConfigMap they are the versions behind the
symbolic links, which are followed.
"""

import os
from pathlib import Path

import msgspec

SUFFIXES = (".yaml", ".yml", ".json")
MAX_FILE_BYTES = 16 << 20
MAX_FILES = 10_000


class ManifestFile(msgspec.Struct, frozen=True):
    """One file: its path relative to the directory, and its text or why there is none."""

    path: str
    text: str = ""
    error: str | None = None


def fingerprint(root: Path) -> tuple[tuple[str, int, int, int], ...]:
    """What changes when a manifest does: path, device-independent inode, size and time of each file."""
    found = []
    for path in _manifests(root):
        try:
            stat = path.stat()
        except OSError:
            continue
        found.append((str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return tuple(found)


def scan(root: Path) -> list[ManifestFile]:
    """All manifest files below `root`, sorted by relative path. A file that cannot be read carries the reason."""
    return [_read(root, path) for path in _manifests(root)]


def _manifests(root: Path) -> list[Path]:
    found: list[Path] = []
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if len(Path(folder).relative_to(root).parts) > 16:  # a link to its own parent
            folders.clear()
        found.extend(
            Path(folder, name) for name in names if not name.startswith(".") and name.endswith(SUFFIXES)
        )
        if len(found) > MAX_FILES:
            break
    return sorted(found)[:MAX_FILES]


def _read(root: Path, path: Path) -> ManifestFile:
    name = str(path.relative_to(root))
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        return ManifestFile(name, error=error.strerror or str(error))
    if len(data) > MAX_FILE_BYTES:
        return ManifestFile(name, error=f"larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        return ManifestFile(name, text=data.decode())
    except UnicodeDecodeError as error:
        return ManifestFile(name, error=f"not UTF-8 at byte {error.start}")
