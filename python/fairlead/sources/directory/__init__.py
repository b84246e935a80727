"""A directory of manifests as a source: the cluster's objects without a cluster.

Laws:
1. User files are read, never written.
2. An object has the defaults that an API server would give it, from the same CRDs, and is refused where the
   CRD's schema refuses it (without CEL). A refused object harms itself only: its last good form stays.
3. While a file has a broken document, objects missing from that file stay.
4. One identity in two files: the first path wins, the other is reported with file and line.
5. A used namespace exists, and so does GatewayClass `fairlead`.
"""

from fairlead.sources.directory._files import ManifestFile, scan
from fairlead.sources.directory._source import DirectorySource
from fairlead.sources.directory._state import DirectoryState

__all__ = ["DirectorySource", "DirectoryState", "ManifestFile", "scan"]
