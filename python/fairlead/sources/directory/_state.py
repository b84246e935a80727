"""Files in, changes out: what the directory's objects are now, and how that differs from before. No I/O."""

from collections.abc import Iterable
from typing import Any

import msgspec

from fairlead.resources import Kind, Object, Ref
from fairlead.sources._changes import Change, Finding, Removed, Synced, Upserted
from fairlead.sources.directory._documents import documents
from fairlead.sources.directory._files import ManifestFile
from fairlead.sources.directory._objects import (
    Identity,
    Parsed,
    RefusedDocumentError,
    build,
    identify,
    implied,
    parse,
)

IMPLIED = "(implied)"
GATEWAY_CLASS = "fairlead"


class _Held(msgspec.Struct):
    """An object in force and where it comes from."""

    path: str
    parsed: Parsed
    object: Object


class _Read(msgspec.Struct):
    """What one file says now."""

    objects: dict[Identity, tuple[Parsed, int]] = {}
    refused: set[Identity] = set()
    """Identities whose document was refused: their last good form stays."""
    broken: bool = False
    """Some document cannot be told which object it is: nothing of this file may vanish."""


class DirectoryState:
    """The objects of a directory. `update` takes all files, whether they changed or not."""

    def __init__(self) -> None:
        self._held: dict[Identity, _Held] = {}
        self._texts: dict[str, ManifestFile] = {}
        self._reads: dict[str, _Read] = {}
        self._file_findings: dict[str, dict[tuple[str, str], Finding]] = {}
        self._findings: dict[tuple[str, str], Finding] = {}
        self._generations: dict[Identity, tuple[int, object]] = {}
        self._resource_version = 0
        self._synced = False

    def update(self, files: Iterable[ManifestFile], at: float) -> list[Change]:
        """The changes that lead to what `files` say; `at` is when they were read, in monotonic seconds."""
        current = {file.path: file for file in sorted(files, key=lambda file: file.path)}
        for path, file in current.items():
            if self._texts.get(path) != file:
                self._read(file)
        for path in self._texts.keys() - current.keys():
            self._reads.pop(path, None)
            self._file_findings.pop(path, None)
        self._texts = current

        wanted, findings = self._merge()
        changes: list[Change] = []
        for identity, (path, parsed) in wanted.items():
            changes.extend(self._put(identity, path, parsed, at))
        for identity in sorted(self._held.keys() - wanted.keys()):
            gone = self._held.pop(identity)
            changes.append(Removed(identity.kind, gone.object, at))
        changes.extend(self._tell(findings))
        if not self._synced:
            self._synced = True
            changes.extend(Synced(kind) for kind in Kind)
        return changes

    def _read(self, file: ManifestFile) -> None:
        read = _Read(objects={}, refused=set())
        findings: dict[tuple[str, str], Finding] = {}

        def tell(code: str, message: str, line: int) -> None:
            where = f"{file.path}:{line}"
            findings[code, where] = Finding(code, message, where)

        if file.error is not None:
            read.broken = True
            tell("Unreadable", file.error, 1)
        for document in documents(file.text):
            if document.value is None:
                read.broken = True
                tell("BrokenDocument", document.error or "cannot be read", document.line)
                continue
            try:
                identity = identify(document.value)
            except RefusedDocumentError as refusal:
                read.broken = True
                tell(refusal.code, str(refusal), document.line)
                continue
            if identity is None:
                kind = f"{document.value.get('apiVersion')} {document.value.get('kind')}"
                tell("KindNotUsed", f"{kind} is not a kind that Fairlead reads", document.line)
            elif identity in read.objects or identity in read.refused:
                tell(
                    "Duplicate", f"{identity} stands twice in this file; the first one is used", document.line
                )
            else:
                try:
                    read.objects[identity] = (parse(document.value, identity), document.line)
                except RefusedDocumentError as refusal:
                    read.refused.add(identity)
                    tell(refusal.code, f"{identity}: {refusal}", document.line)
        self._reads[file.path] = read
        self._file_findings[file.path] = findings

    def _merge(self) -> tuple[dict[Identity, tuple[str, Parsed]], dict[tuple[str, str], Finding]]:
        wanted: dict[Identity, tuple[str, Parsed]] = {}
        findings: dict[tuple[str, str], Finding] = {}
        for path in sorted(self._reads):
            read = self._reads[path]
            findings.update(self._file_findings[path])
            # What this file held before stays while its document is refused or cannot be told.
            kept = {
                identity: held.parsed
                for identity, held in self._held.items()
                if held.path == path
                and identity not in read.objects
                and (identity in read.refused or read.broken)
            }
            mine = {identity: parsed for identity, (parsed, _) in read.objects.items()} | kept
            for identity, parsed in mine.items():
                if identity not in wanted:
                    wanted[identity] = (path, parsed)
                    continue
                line = read.objects[identity][1] if identity in read.objects else 1
                where = f"{path}:{line}"
                message = f"{identity} is also in {wanted[identity][0]}, which is used"
                findings["Duplicate", where] = Finding("Duplicate", message, where)
        self._imply(wanted)
        return wanted, findings

    @staticmethod
    def _imply(wanted: dict[Identity, tuple[str, Parsed]]) -> None:
        namespaces = {identity.ref.namespace for identity in wanted if identity.ref.namespace} | {"default"}
        needed = [implied(Kind.NAMESPACE, name) for name in sorted(namespaces)]
        needed.append(implied(Kind.GATEWAY_CLASS, GATEWAY_CLASS))
        for parsed in needed:
            wanted.setdefault(parsed.identity, (IMPLIED, parsed))

    def _put(self, identity: Identity, path: str, parsed: Parsed, at: float) -> Iterable[Change]:
        held = self._held.get(identity)
        if held is not None and held.parsed.content == parsed.content:
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

    def path_of(self, kind: Kind, ref: Ref) -> str | None:
        """The file that an object in force comes from; None for an unknown or implied one."""
        held = self._held.get(Identity(kind, ref))
        return held.path if held and held.path != IMPLIED else None


def _spec(content: dict[str, Any]) -> object:
    return {key: value for key, value in content.items() if key not in ("metadata", "apiVersion", "kind")}
