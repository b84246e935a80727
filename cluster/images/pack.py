"""Packs one static program into an OCI image archive, as `ctr images import` takes it.

    pack.py PROGRAM NAME ARCHITECTURE OUT.tar

The image has one layer with the program as /app. The archive depends on its inputs only (no times, no
order of a file system), so that the same program gives the same digests.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

MEDIA_TYPE = "application/vnd.oci.image."


def tar_of(files: list[tuple[str, bytes, int]]) -> bytes:
    """An uncompressed tar archive of (path, content, mode)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content, mode in files:
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


class Blobs:
    """The content-addressed part of an image layout."""

    def __init__(self) -> None:
        self.files: list[tuple[str, bytes, int]] = []

    def add(self, kind: str, content: bytes) -> dict[str, Any]:
        """Stores a blob; returns the descriptor that refers to it."""
        digest = hashlib.sha256(content).hexdigest()
        self.files.append((f"blobs/sha256/{digest}", content, 0o644))
        return {"mediaType": MEDIA_TYPE + kind, "digest": f"sha256:{digest}", "size": len(content)}

    def add_json(self, kind: str, document: dict[str, Any]) -> dict[str, Any]:
        """Stores a JSON document as a blob; returns its descriptor."""
        return self.add(kind, json.dumps(document, sort_keys=True).encode())


def pack(program: bytes, name: str, architecture: str) -> bytes:
    """The archive's bytes; `name` is the full image name with its tag."""
    platform = {"architecture": architecture, "os": "linux"}
    blobs = Blobs()
    layer = blobs.add(
        "layer.v1.tar",
        tar_of([("app", program, 0o755), ("etc/passwd", b"root:x:0:0:root:/:/app\n", 0o644)]),
    )
    config = blobs.add_json(
        "config.v1+json",
        platform
        | {
            "config": {"Entrypoint": ["/app"], "Env": ["PATH=/"], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        },
    )
    manifest = blobs.add_json(
        "manifest.v1+json",
        {
            "schemaVersion": 2,
            "mediaType": MEDIA_TYPE + "manifest.v1+json",
            "config": config,
            "layers": [layer],
        },
    )
    annotations = {
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
    }
    index = {
        "schemaVersion": 2,
        "mediaType": MEDIA_TYPE + "index.v1+json",
        "manifests": [manifest | {"platform": platform, "annotations": annotations}],
    }
    return tar_of(
        [
            ("oci-layout", b'{"imageLayoutVersion": "1.0.0"}', 0o644),
            ("index.json", json.dumps(index, sort_keys=True).encode(), 0o644),
            *blobs.files,
        ],
    )


def main() -> int:
    if len(sys.argv) != 5:
        print(__doc__, file=sys.stderr)
        return 2
    program, name, architecture, out = sys.argv[1:]
    Path(out).write_bytes(pack(Path(program).read_bytes(), name, architecture))
    return 0


if __name__ == "__main__":
    sys.exit(main())
