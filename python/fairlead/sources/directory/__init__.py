"""A directory of manifests as a source: the cluster's objects without a cluster.

Laws:
1. User files are read, never written.
2. An object has the defaults that an API server would give it, from the same CRDs, and is refused where the
   CRD's schema refuses it (without CEL). A refused object harms itself only: its last good form stays.
3. While a file has a broken document, objects missing from that file stay; so does all that a folder held which
   cannot be listed. A record in the instance's state keeps it so over a restart.
4. One identity in two files: the first path wins, the other is reported with file and line.
5. A used namespace exists, and so does GatewayClass `fairlead`.
"""

from fairlead.sources.directory._files import ManifestFile, scan
from fairlead.sources.directory._source import DirectorySource
from fairlead.sources.directory._state import DirectoryState

__all__ = ["DirectorySource", "DirectoryState", "ManifestFile", "scan"]
