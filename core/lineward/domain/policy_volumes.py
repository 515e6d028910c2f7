"""What a ProvenancePolicy says of volumes: what pods may write, and which places outside the cluster they may mount.

All of it is compared exactly, as it is written. What lies below a listed path may be a tenant's to write, and a listed
path is trusted whole.
"""

from __future__ import annotations

from dataclasses import dataclass

from lineward.domain.dataset import ClaimVolume, NfsVolume, claim, nfs
from lineward.domain.fields import Reader


@dataclass(frozen=True, slots=True)
class VolumeLists:
    """Claims that may be written, paths of the node that may be mounted, and NFS exports that may be data."""

    outputs: tuple[ClaimVolume, ...] = ()
    host_paths: tuple[str, ...] = ()
    nfs: tuple[NfsVolume, ...] = ()


NO_VOLUMES = VolumeLists()


def parse(raw: Reader) -> VolumeLists:
    """Parse `spec.volumes`. Raises InvalidInputError with the reader's reason."""
    read = VolumeLists(
        outputs=tuple(_output(item) for item in raw.objects("outputs")),
        host_paths=raw.texts("hostPaths"),
        nfs=tuple(nfs(item) for item in raw.objects("nfs")),
    )
    raw.done()
    return read


def _output(raw: Reader) -> ClaimVolume:
    read = claim(raw.object("persistentVolumeClaim"))
    raw.done()
    return read
