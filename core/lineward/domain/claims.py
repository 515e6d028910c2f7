"""Holds what a DatasetVersion claims against what was signed: else good evidence could be relabelled."""

from __future__ import annotations

from lineward.domain.dataset import DatasetVersion, Integrity
from lineward.domain.digest import Digest
from lineward.domain.provenance import Provenance


def difference(dataset: DatasetVersion, subject: Digest, said: Provenance) -> str:
    """What a DatasetVersion claims other than a statement about `subject` says; empty where they are equal."""
    claims = (
        ("dataset", dataset.dataset, said.name),
        ("version", dataset.version, said.version),
        ("subject", subject, said.integrity.manifest and said.integrity.manifest.digest),
        *_integrity(dataset.integrity, said.integrity),
    )
    for name, there, signed in claims:
        if there != signed:
            return f"{name} is {str(there)[:80]}, but {str(signed)[:80]} was signed"
    return ""


def _integrity(there: Integrity, signed: Integrity) -> tuple[tuple[str, object, object], ...]:
    return (
        ("integrity.root", there.root, signed.root),
        ("integrity.algorithm", there.algorithm, signed.algorithm),
        ("integrity.profile", there.profile, signed.profile),
        ("integrity.chunkBytes", there.chunk_bytes, signed.chunk_bytes),
        ("integrity.files", there.files, signed.files),
        ("integrity.bytes", there.bytes, signed.bytes),
        ("integrity.manifest.size", *_sizes(there, signed)),
    )


def _sizes(there: Integrity, signed: Integrity) -> tuple[int, int]:
    if there.manifest is None or signed.manifest is None:
        return 0, 0
    return there.manifest.size, signed.manifest.size
