"""Tells what each volume of a pod is: data to vouch for, scratch space, or something that nobody can vouch for.

An allow-list over the raw keys of the volume: a source that this version does not know, or two sources in one volume,
is refused, since Kubernetes gains volume types faster than any list of forbidden ones is mended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lineward.domain.dataset import ClaimVolume, ImageVolume, NfsVolume, VolumeIdentity
from lineward.domain.fields import Reader


class Kind(StrEnum):
    """What a volume means to the gate."""

    DATA = "data"
    SCRATCH = "scratch"
    HOST_PATH = "hostPath"
    UNSUPPORTED = "unsupported"
    UNKNOWN = "unknown"


_KINDS: Mapping[str, Kind] = {
    "persistentVolumeClaim": Kind.DATA,
    "image": Kind.DATA,
    "nfs": Kind.DATA,
    **dict.fromkeys(("emptyDir", "configMap", "secret", "downwardAPI", "projected"), Kind.SCRATCH),
    "hostPath": Kind.HOST_PATH,
    **dict.fromkeys(
        (
            "awsElasticBlockStore",
            "azureDisk",
            "azureFile",
            "cephfs",
            "cinder",
            "csi",
            "ephemeral",
            "fc",
            "flexVolume",
            "flocker",
            "gcePersistentDisk",
            "gitRepo",
            "glusterfs",
            "iscsi",
            "photonPersistentDisk",
            "portworxVolume",
            "quobyte",
            "rbd",
            "scaleIO",
            "storageos",
            "vsphereVolume",
        ),
        Kind.UNSUPPORTED,
    ),
}
"""Every source of core/v1 Volume (Kubernetes 1.35). An inline `csi` volume has no handle that evidence could name."""

_SOURCE_READ_ONLY = frozenset({"persistentVolumeClaim", "nfs"})
"""Data sources with a `readOnly` field; an image volume is read-only by nature."""


@dataclass(frozen=True, slots=True)
class Volume:
    """One entry of `spec.volumes`. `source` is its raw key, or all of them joined where there is not exactly one."""

    name: str
    kind: Kind
    source: str
    identity: VolumeIdentity | None = None
    """What a DatasetVersion must name to vouch for it; None for what is no data."""
    read_only: bool = False
    host_path: str = ""
    audiences: tuple[str, ...] = ()
    """Audiences of the tokens that a projected volume holds."""

    @property
    def claim(self) -> str:
        """Name of the PersistentVolumeClaim, empty for other volumes."""
        return self.identity.name if isinstance(self.identity, ClaimVolume) else ""

    @property
    def source_takes_read_only(self) -> bool:
        """Tell whether the source itself can be marked read-only."""
        return self.source in _SOURCE_READ_ONLY


def parse(raw: Mapping[str, Any], reader: Reader) -> Volume:
    """Read one volume; `reader` reads the same object.

    Raises InvalidInputError with the reader's reason.
    """
    name = reader.text("name", cap=63)
    sources = sorted(str(key) for key in raw if key != "name")
    if len(sources) != 1 or sources[0] not in _KINDS:
        return Volume(name, Kind.UNKNOWN, ", ".join(sources)[:100])
    source = sources[0]
    inner = reader.object(source)
    return Volume(
        name=name,
        kind=_KINDS[source],
        source=source,
        identity=_identity(source, inner),
        read_only=source == "image" or (source in _SOURCE_READ_ONLY and inner.flag("readOnly") is True),
        host_path=inner.text("path", "") if source == "hostPath" else "",
        audiences=_audiences(inner) if source == "projected" else (),
    )


def _identity(source: str, inner: Reader) -> VolumeIdentity | None:
    if source == "persistentVolumeClaim":
        return ClaimVolume(inner.text("claimName", cap=253))
    if source == "image":
        return ImageVolume(inner.text("reference", "", cap=1024))
    if source == "nfs":
        return NfsVolume(inner.text("server", cap=253), inner.text("path"))
    return None


def _audiences(inner: Reader) -> tuple[str, ...]:
    tokens = (s.object("serviceAccountToken") for s in inner.objects("sources") if s.has("serviceAccountToken"))
    return tuple(token.text("audience", "") for token in tokens)
