"""What one file says: a file's text in, objects and findings out. No I/O, no state."""

import msgspec

from fairlead.sources._changes import Finding
from fairlead.sources.directory._documents import documents
from fairlead.sources.directory._files import ManifestFile
from fairlead.sources.directory._objects import Identity, Parsed, RefusedDocumentError, identify, parse


class Reading(msgspec.Struct):
    """What one file says now."""

    objects: dict[Identity, tuple[Parsed, int]] = {}
    """Each with the line of its document."""
    refused: set[Identity] = set()
    """Identities whose document was refused: their last good form stays."""
    broken: bool = False
    """Some document cannot be told which object it is: nothing of this file may vanish."""
    findings: dict[tuple[str, str], Finding] = {}
    """By code and place."""

    def keeps(self, identity: Identity) -> bool:
        """Whether an object that the file held before stays, though the file does not say it now."""
        return identity not in self.objects and (self.broken or identity in self.refused)


def read(file: ManifestFile) -> Reading:
    """Reads all documents of a file."""
    reading = Reading()

    def tell(code: str, message: str, where: str) -> None:
        reading.findings[code, where] = Finding(code, message, where)

    if file.error is not None:
        reading.broken = True
        tell(file.code, file.error, f"{file.path}:1" if file.path and not file.partial else file.path or ".")
    for document in documents(file.text):
        where = f"{file.path}:{document.line}"
        if document.value is None:
            reading.broken = True
            tell("BrokenDocument", document.error or "cannot be read", where)
            continue
        try:
            identity = identify(document.value)
        except RefusedDocumentError as refusal:
            reading.broken = True
            tell(refusal.code, str(refusal), where)
            continue
        if identity is None:
            kind = f"{document.value.get('apiVersion')} {document.value.get('kind')}"
            tell("KindNotUsed", f"{kind} is not a kind that Fairlead reads", where)
        elif identity in reading.objects or identity in reading.refused:
            tell("Duplicate", f"{identity} stands twice in this file; the first one is used", where)
        else:
            try:
                reading.objects[identity] = (parse(document.value, identity), document.line)
            except RefusedDocumentError as refusal:
                reading.refused.add(identity)
                tell(refusal.code, f"{identity}: {refusal}", where)
    return reading
