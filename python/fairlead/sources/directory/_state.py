"""Files in, changes out: what the directory's objects are now, and how that differs from before. No I/O.

Laws:
1. An object goes only when its file, read and whole, says it no more, or is known to be gone. What could not be read
   or listed says nothing.
2. So it is after a restart: what the objects were is recorded, and a file that is broken at the first look keeps
   what it held by the record.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from fairlead.resources import Kind, Object, Ref
from fairlead.sources._changes import Change, Finding, Removed, Synced, Upserted
from fairlead.sources.directory._files import ManifestFile
from fairlead.sources.directory._objects import (
    CONTROLLER_NAME,
    Identity,
    Parsed,
    RefusedDocumentError,
    build,
    identify,
    implied,
    parse,
)
from fairlead.sources.directory._readings import Reading, read
from fairlead.sources.directory._record import Recorded

IMPLIED = "(implied)"
GATEWAY_CLASS = "fairlead"

_NOT_SEEN = "was not seen yet"


class _Held(msgspec.Struct):
    """An object in force and where it comes from."""

    path: str
    parsed: Parsed
    object: Object


class DirectoryState:
    """The objects of a directory. `update` takes all files, whether they changed or not."""

    def __init__(self, controller_name: str = CONTROLLER_NAME, recorded: Iterable[Recorded] = ()) -> None:
        """`controller_name`: whose the implied GatewayClass is. `recorded`: see `record`."""
        self._controller_name = controller_name
        self._held: dict[Identity, _Held] = {}
        self._files: dict[str, ManifestFile] = {}
        self._readings: dict[str, Reading] = {}
        self._in_force: dict[str, dict[Identity, Parsed]] = {}
        """What is in force of each file."""
        self._findings: dict[tuple[str, str], Finding] = {}
        self._generations: dict[Identity, tuple[int, object]] = {}
        self._resource_version = 0
        self._synced = False
        self._recorded: dict[str, list[dict[str, Any]]] = {}
        """What was in force of each file before the restart, until the first look."""
        for item in recorded:
            self._recorded.setdefault(item.path, []).append(item.content)

    @property
    def paths(self) -> AbstractSet[str]:
        """The files that are known, or were before the restart."""
        return self._recorded.keys() | self._files.keys()

    def update(self, files: Iterable[ManifestFile], at: float) -> list[Change]:
        """The changes that lead to what `files` say; `at` is when they were read, in monotonic seconds."""
        current = self._with_unseen({file.path: file for file in files})
        for path, file in current.items():
            if self._files.get(path) != file:
                self._readings[path] = Reading(broken=True) if file.error == _NOT_SEEN else read(file)
        for path in self._files.keys() - current.keys():
            del self._readings[path]
        self._files = current

        wanted, findings = self._merge()
        changes: list[Change] = []
        for identity, (path, parsed) in wanted.items():
            changes.extend(self._put(identity, path, parsed, at))
        for identity in sorted(self._held.keys() - wanted.keys()):
            gone = self._held.pop(identity)
            changes.append(Removed(identity.kind, gone.object, at))
        changes.extend(self._tell(findings))
        if not self._synced and self._seen:
            self._synced = True
            changes.extend(Synced(kind) for kind in Kind)
        return changes

    def record(self) -> list[Recorded]:
        """All that is in force by the files' word, to be given to the state after a restart."""
        return [
            Recorded(path, parsed.content)
            for path, objects in self._in_force.items()
            for parsed in objects.values()
        ]

    def path_of(self, kind: Kind, ref: Ref) -> str | None:
        """The file that an object in force comes from; None for an unknown or implied one."""
        held = self._held.get(Identity(kind, ref))
        return held.path if held and held.path != IMPLIED else None

    @property
    def _seen(self) -> bool:
        """Whether there is anything to go by: a directory that was never listed is not known to be empty."""
        top = self._files.get("")
        return top is None or not top.partial or len(self._files) > 1

    def _with_unseen(self, seen: dict[str, ManifestFile]) -> dict[str, ManifestFile]:
        """`seen`, and what is known of folders that could not be listed."""
        partial = [f"{file.path}/" if file.path else "" for file in seen.values() if file.partial]
        if partial:
            for path in self.paths - seen.keys():
                if path and path.startswith(tuple(partial)):
                    seen[path] = self._files.get(path) or ManifestFile(path, error=_NOT_SEEN)
        return seen

    def _merge(self) -> tuple[dict[Identity, tuple[str, Parsed]], dict[tuple[str, str], Finding]]:
        wanted: dict[Identity, tuple[str, Parsed]] = {}
        findings: dict[tuple[str, str], Finding] = {}
        in_force: dict[str, dict[Identity, Parsed]] = {}
        for path in sorted(self._readings):
            reading = self._readings[path]
            findings.update(reading.findings)
            mine = {identity: parsed for identity, (parsed, _) in reading.objects.items()}
            if reading.broken or reading.refused:
                mine |= self._kept(path, reading)
            used = in_force[path] = {}
            for identity, parsed in mine.items():
                if identity not in wanted:
                    wanted[identity] = (path, parsed)
                    used[identity] = parsed
                    continue
                line = reading.objects[identity][1] if identity in reading.objects else 1
                where = f"{path}:{line}"
                message = f"{identity} is also in {wanted[identity][0]}, which is used"
                findings["Duplicate", where] = Finding("Duplicate", message, where)
        self._in_force = in_force
        self._recorded = {}
        self._imply(wanted)
        return wanted, findings

    def _kept(self, path: str, reading: Reading) -> dict[Identity, Parsed]:
        """What the file held before, and keeps while a document is refused or cannot be told."""
        before = self._in_force.get(path) or dict(self._recall(path))
        return {identity: parsed for identity, parsed in before.items() if reading.keeps(identity)}

    def _recall(self, path: str) -> Iterator[tuple[Identity, Parsed]]:
        """What is recorded of the file, as far as this version still takes it."""
        for content in self._recorded.get(path, ()):
            try:
                identity = identify(content)
                if identity is not None:
                    yield identity, parse(content, identity)
            except RefusedDocumentError:
                continue

    def _imply(self, wanted: dict[Identity, tuple[str, Parsed]]) -> None:
        namespaces = {identity.ref.namespace for identity in wanted if identity.ref.namespace} | {"default"}
        needed = [implied(Kind.NAMESPACE, name) for name in sorted(namespaces)]
        needed.append(implied(Kind.GATEWAY_CLASS, GATEWAY_CLASS, controller_name=self._controller_name))
        for parsed in needed:
            wanted.setdefault(parsed.identity, (IMPLIED, parsed))

    def _put(self, identity: Identity, path: str, parsed: Parsed, at: float) -> Iterable[Change]:
        held = self._held.get(identity)
        if held is not None and (held.parsed is parsed or held.parsed.content == parsed.content):
            held.path = path
            return
        spec = _spec(parsed.content)
        generation, before = self._generations.get(identity, (0, None))
        if generation == 0 or spec != before:
            generation += 1
            self._generations[identity] = (generation, spec)
        self._resource_version += 1
        obj = build(parsed, generation=generation, resource_version=str(self._resource_version))
        self._held[identity] = _Held(path, parsed, obj)
        yield Upserted(identity.kind, obj, at)

    def _tell(self, findings: dict[tuple[str, str], Finding]) -> Iterable[Change]:
        for key in sorted(self._findings.keys() - findings.keys()):
            old = self._findings[key]
            yield Finding(old.code, old.message, old.where, resolved=True)
        for key, finding in findings.items():
            if self._findings.get(key) != finding:
                yield finding
        self._findings = findings


def _spec(content: dict[str, Any]) -> object:
    return {key: value for key, value in content.items() if key not in ("metadata", "apiVersion", "kind")}
