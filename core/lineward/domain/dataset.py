"""A DatasetVersion as the API server stores it, parsed once into values.

Nothing in it is trusted: `judge` compares name, version and integrity with what was signed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lineward.domain.digest import Digest
from lineward.domain.fields import Reader
from lineward.domain.manifest import MAX_CHUNK_BYTES, MIN_CHUNK_BYTES, Profile
from lineward.domain.reasons import Reason

MAX_BUNDLE = 512 * 1024
"""Bytes of one inline bundle; an object of etcd holds 1.5 MiB (etcd --max-request-bytes), all attestations together."""
MAX_ATTESTATIONS = 16
MAX_VOLUMES = 64
DNS_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
"""RFC 1123 subdomain, as Kubernetes asks of object names."""
LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
"""RFC 1123 label, as Kubernetes asks of namespaces; those have at most 63 characters."""
IMAGE = r"\S+@sha256:[0-9a-f]{64}"
MAX_IMAGE = 1024
WORD = r"[A-Za-z0-9]([-A-Za-z0-9_.+]*[A-Za-z0-9])?"
"""Names and versions of data sets: what fits into a file name, a label and a URL."""
MAX_WORD = 128
_PART = "([^/.][^/]*|[.][^/.][^/]*|[.][.][^/]+)"
INSIDE = f"{_PART}(/{_PART})*"
"""A path that stays inside: relative, and no part of it empty, `.` or `..`."""


class Lifecycle(StrEnum):
    """Cluster state of a version, set by people; only `ACTIVE` may be trained on."""

    ACTIVE = "active"
    QUARANTINED = "quarantined"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class ManifestRef:
    """Where the manifest is, and the digest (of the manifest's bytes, `size` long) it is trusted by.

    One of `config_map`+`key`, `volume_path`, `image`, or none of them where the manifest is not shipped.
    """

    digest: Digest
    size: int
    config_map: str = ""
    key: str = ""
    volume_path: str = ""
    image: str = ""


@dataclass(frozen=True, slots=True)
class Integrity:
    """What the bytes must be: the Merkle root over the manifest's entries and the parameters it was made with."""

    algorithm: str
    profile: Profile
    chunk_bytes: int
    root: Digest
    files: int
    bytes: int
    manifest: ManifestRef | None = None


@dataclass(frozen=True, slots=True)
class ClaimVolume:
    """A PersistentVolumeClaim in the DatasetVersion's namespace."""

    name: str
    sub_path: str = ""


@dataclass(frozen=True, slots=True)
class ImageVolume:
    """An image volume, by digest."""

    reference: str


@dataclass(frozen=True, slots=True)
class CsiVolume:
    """An inline or persistent CSI volume."""

    driver: str
    volume_handle: str


@dataclass(frozen=True, slots=True)
class NfsVolume:
    """An NFS export."""

    server: str
    path: str


@dataclass(frozen=True, slots=True)
class FetchedVolume:
    """Data that an init container brings into an emptyDir mounted at `mount_path`."""

    mount_path: str


VolumeIdentity = ClaimVolume | ImageVolume | CsiVolume | NfsVolume | FetchedVolume


@dataclass(frozen=True, slots=True)
class Attestation:
    """One attestation: the bundle itself, or where it is. `digest` is of the bundle's bytes, None for `oci`."""

    bundle: bytes = b""
    oci: str = ""
    url: str = ""
    digest: Digest | None = None


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """One immutable state of a family of data, as claimed in the cluster."""

    namespace: str
    name: str
    uid: str
    dataset: str
    version: str
    integrity: Integrity
    volumes: tuple[VolumeIdentity, ...] = ()
    attestations: tuple[Attestation, ...] = ()
    previous_version: str = ""
    lifecycle: Lifecycle = Lifecycle.ACTIVE
    lifecycle_reason: str = ""


def parse(obj: Mapping[str, Any]) -> DatasetVersion:
    """Parse a DatasetVersion object.

    Raises InvalidInputError(DatasetInvalid).
    """
    outer = Reader(obj, "", Reason.DATASET_INVALID)
    meta = outer.object("metadata")
    spec = outer.object("spec")
    lifecycle = spec.object("lifecycle") if spec.has("lifecycle") else None
    parsed = DatasetVersion(
        namespace=meta.text("namespace", "", cap=63),
        name=meta.text("name", cap=253, pattern=DNS_NAME),
        uid=meta.text("uid", "", cap=128),
        dataset=spec.text("dataset", cap=MAX_WORD, pattern=WORD),
        version=spec.text("version", cap=MAX_WORD, pattern=WORD),
        previous_version=spec.text("previousVersion", "", cap=MAX_WORD),
        integrity=integrity(spec.object("integrity"), _manifest),
        volumes=tuple(_volume(item) for item in spec.objects("volumes", cap=MAX_VOLUMES)),
        attestations=tuple(_attestation(item) for item in spec.objects("attestations", cap=MAX_ATTESTATIONS)),
        lifecycle=lifecycle.choice("state", Lifecycle, Lifecycle.ACTIVE) if lifecycle else Lifecycle.ACTIVE,
        lifecycle_reason=lifecycle.text("reason", "", cap=1024) if lifecycle else "",
    )
    if lifecycle:
        lifecycle.done()
    spec.done()
    return parsed


def integrity(raw: Reader, manifest: Callable[[Reader], ManifestRef] | None = None) -> Integrity:
    """Parse an integrity block; `manifest` parses its `manifest` member (the signed one has no location)."""
    read = Integrity(
        algorithm=raw.text("algorithm", pattern="sha256"),
        profile=raw.choice("profile", Profile, Profile.PORTABLE),
        chunk_bytes=raw.whole("chunkBytes", low=MIN_CHUNK_BYTES, high=MAX_CHUNK_BYTES),
        root=raw.digest("root"),
        files=raw.whole("files"),
        bytes=raw.whole("bytes"),
        manifest=(manifest or signed_manifest)(raw.object("manifest")) if raw.has("manifest") else None,
    )
    raw.done()
    return read


def signed_manifest(raw: Reader) -> ManifestRef:
    """Parse a manifest reference that says nothing of where it is."""
    read = ManifestRef(digest=raw.digest("digest"), size=raw.whole("size"))
    raw.done()
    return read


def _manifest(raw: Reader) -> ManifestRef:
    config_map = raw.object("configMap") if raw.has("configMap") else None
    if sum(raw.has(where) for where in ("configMap", "volumePath", "image")) > 1:
        raw.fail("must have at most one of configMap, volumePath, image")
    read = ManifestRef(
        digest=raw.digest("digest"),
        size=raw.whole("size"),
        config_map=config_map.text("name", cap=253, pattern=DNS_NAME) if config_map else "",
        key=config_map.text("key", cap=253, pattern=r"[-._a-zA-Z0-9]+") if config_map else "",
        volume_path=raw.text("volumePath", "", pattern=INSIDE),
        image=_image(raw.object("image")) if raw.has("image") else "",
    )
    if config_map:
        config_map.done()
    raw.done()
    return read


def _image(raw: Reader) -> str:
    reference = raw.text("reference", cap=MAX_IMAGE, pattern=IMAGE)
    raw.done()
    return reference


def _volume(raw: Reader) -> VolumeIdentity:
    kind = raw.one_of("persistentVolumeClaim", "image", "csi", "nfs", "fetched")
    inner = raw.object(kind)
    raw.done()
    return _VOLUMES[kind](inner)


def claim(raw: Reader) -> ClaimVolume:
    """Parse `{name, subPath}`."""
    read = ClaimVolume(raw.text("name", cap=253, pattern=DNS_NAME), raw.text("subPath", ""))
    raw.done()
    return read


def _csi(raw: Reader) -> CsiVolume:
    read = CsiVolume(raw.text("driver", cap=253), raw.text("volumeHandle"))
    raw.done()
    return read


def nfs(raw: Reader) -> NfsVolume:
    """Parse `{server, path}`."""
    read = NfsVolume(raw.text("server", cap=253), raw.text("path"))
    raw.done()
    return read


def _fetched(raw: Reader) -> FetchedVolume:
    read = FetchedVolume(raw.text("mountPath"))
    raw.done()
    return read


_VOLUMES: Mapping[str, Callable[[Reader], VolumeIdentity]] = {
    "persistentVolumeClaim": claim,
    "image": lambda raw: ImageVolume(_image(raw)),
    "csi": _csi,
    "nfs": nfs,
    "fetched": _fetched,
}


def _attestation(raw: Reader) -> Attestation:
    kind = raw.one_of("bundle", "oci", "url")
    if kind == "bundle":
        bundle = raw.text("bundle", cap=MAX_BUNDLE).encode()
        read = Attestation(bundle=bundle, digest=Digest(hashlib.sha256(bundle).digest()))
    elif kind == "oci":
        read = Attestation(oci=raw.text("oci", cap=1024))
    else:
        read = Attestation(url=raw.text("url", cap=2048), digest=raw.digest("sha256"))
    raw.done()
    return read
