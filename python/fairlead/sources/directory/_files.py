"""Finding and reading the manifest files below a directory.

Laws:
1. Names that start with a dot are passed over: in a mounted ConfigMap they are the versions behind the symbolic
   links, which are followed.
2. What cannot be listed is told, and is never taken for empty.
3. At most `MAX_FILES` files are read. Beyond, those that were read before come first, so that no new file takes the
   place of one that is in use.
"""

import os
import stat
from collections.abc import Set as AbstractSet
from pathlib import Path

import msgspec

SUFFIXES = (".yaml", ".yml", ".json")
MAX_FILE_BYTES = 16 << 20
MAX_FILES = 10_000
MAX_NAMES = 10 * MAX_FILES
"""After so many files the listing ends."""

_MAX_DEPTH = 16
"""Folders in folders; what is deeper comes, as a rule, of a link to its own parent. The first is told."""

Fingerprint = tuple[tuple[str | int | None, ...], ...]


class ManifestFile(msgspec.Struct, frozen=True):
    """One file, or a folder with something wrong: its path relative to the directory, its text or why there is none."""

    path: str
    """Empty for the directory itself."""
    text: str = ""
    error: str | None = None
    code: str = "Unreadable"
    """What kind of error."""
    partial: bool = False
    """A folder that was not listed whole: files below it that are not there may only not have been seen."""


class _Listing(msgspec.Struct):
    """What a walk over the directory finds."""

    names: list[str] = []
    """Relative paths of the manifest files."""
    problems: list[ManifestFile] = []


def fingerprint(root: Path, known: AbstractSet[str] = frozenset()) -> Fingerprint:
    """What changes when a manifest does: path, inode, size and times of each file, and what cannot be listed."""
    found = _listing(root, known)
    marks: list[tuple[str | int | None, ...]] = [(each.path, each.error) for each in found.problems]
    for name in found.names:
        try:
            now = (root / name).stat()
        except OSError as error:
            marks.append((name, error.errno))
        else:
            # ctime too: it alone tells that a file may be read now.
            marks.append((name, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns))
    return tuple(marks)


def scan(root: Path, known: AbstractSet[str] = frozenset()) -> list[ManifestFile]:
    """All manifest files below `root`, sorted by relative path. What cannot be read or listed carries the reason.

    `known`: paths that were read before (law 3).
    """
    found = _listing(root, known)
    files = [*(_read(root, name) for name in found.names), *found.problems]
    return sorted(files, key=lambda file: file.path)


def _listing(root: Path, known: AbstractSet[str]) -> _Listing:
    found = _walk(root)
    if len(found.names) <= MAX_FILES:
        return found
    cut = len(found.names) > MAX_NAMES
    names = set(found.names)
    # Those that a listing which was cut does not show are still in use.
    used = len(known) if cut else len(known & names)
    new = sorted(names - known)[: max(0, MAX_FILES - used)]
    message = f"more than {MAX_FILES} manifest files: those beyond are not read"
    problem = ManifestFile("", error=message, code="TooManyFiles", partial=cut)
    return _Listing(names=sorted([*(known & names), *new]), problems=[*found.problems, problem])


def _walk(root: Path) -> _Listing:
    found = _Listing(names=[], problems=[])
    folders = [""]
    too_deep = ""
    while folders and len(found.names) <= MAX_NAMES:
        folder = folders.pop()
        try:
            with os.scandir(root / folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            found.problems.append(_unlisted(folder, error))
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = f"{folder}/{entry.name}" if folder else entry.name
            try:
                is_folder = _is_folder(entry)
            except OSError as error:
                found.problems.append(_unlisted(path, error))
                continue
            if not is_folder and entry.name.endswith(SUFFIXES):
                found.names.append(path)
            elif is_folder and path.count("/") < _MAX_DEPTH:
                folders.append(path)
            elif is_folder:
                too_deep = too_deep or path
    if too_deep:
        message = f"more than {_MAX_DEPTH} folders deep, as others may be: not read"
        found.problems.append(ManifestFile(too_deep, error=message, code="TooDeep", partial=True))
    return found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Raises OSError where it may be a folder that cannot be looked into: a link that leads nowhere, say."""
    try:
        if entry.is_dir():
            return True
        if entry.is_symlink() and not entry.name.endswith(SUFFIXES):
            Path(entry.path).stat()
    except OSError:
        if not entry.name.endswith(SUFFIXES):
            raise  # what has a manifest's name is told when it is read
    return False


def _unlisted(folder: str, error: OSError) -> ManifestFile:
    reason = f"cannot be listed, what it held stays: {error.strerror or error}"
    return ManifestFile(folder, error=reason, partial=True)


def _read(root: Path, name: str) -> ManifestFile:
    try:
        # A named pipe would have us wait for whoever writes into it.
        with os.fdopen(os.open(root / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return ManifestFile(name, error="not a regular file")
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        return ManifestFile(name, error=error.strerror or str(error))
    if len(data) > MAX_FILE_BYTES:
        return ManifestFile(name, error=f"larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        return ManifestFile(name, text=data.decode())
    except UnicodeDecodeError as error:
        return ManifestFile(name, error=f"not UTF-8 at byte {error.start}")
