"""Reads a Sigstore bundle strictly, before any library sees it: size, duplicate keys and counts first.

Format: https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_bundle.proto (JSON encoding). What an
attacker may multiply is counted here, since a library's own limit comes after it has parsed everything.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lineward.domain import strictjson
from lineward.domain.dataset import MAX_BUNDLE
from lineward.domain.errors import InvalidInputError
from lineward.domain.evidence import Signer
from lineward.domain.fields import MAX_WHOLE, Reader
from lineward.domain.reasons import Reason

MEDIA_TYPES = frozenset(
    {
        "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "application/vnd.dev.sigstore.bundle+json;version=0.2",
        "application/vnd.dev.sigstore.bundle+json;version=0.3",
        "application/vnd.dev.sigstore.bundle.v0.3+json",
    }
)
MAX_TIMESTAMPS = 8
"""sigstore-go takes 32; each costs two signature checks, and no signer uses more than a few."""
MAX_CERTIFICATES = 8
MAX_PROOF_HASHES = 64
"""A Merkle tree of 2^64 leaves has proofs of 64 hashes (RFC 6962)."""
MAX_CHECKPOINT = 16 * 1024
_Shape = Mapping[str, "_Shape | None"]
_CERTIFICATE: _Shape = {"rawBytes": None}
_SHAPE: _Shape = {
    "mediaType": None,
    "verificationMaterial": {
        "publicKey": {"hint": None},
        "certificate": _CERTIFICATE,
        "x509CertificateChain": {"certificates": _CERTIFICATE},
        "tlogEntries": {
            "logIndex": None,
            "logId": {"keyId": None},
            "kindVersion": {"kind": None, "version": None},
            "integratedTime": None,
            "inclusionPromise": {"signedEntryTimestamp": None},
            "inclusionProof": {
                "logIndex": None,
                "rootHash": None,
                "treeSize": None,
                "hashes": None,
                "checkpoint": {"envelope": None},
            },
            "canonicalizedBody": None,
        },
        "timestampVerificationData": {"rfc3161Timestamps": {"signedTimestamp": None}},
    },
    "dsseEnvelope": {"payload": None, "payloadType": None, "signatures": {"sig": None, "keyid": None}},
    "messageSignature": {"messageDigest": {"algorithm": None, "digest": None}, "signature": None},
}
"""Members by their JSON names, of objects and of objects in lists; None where there is nothing to look into.

Parsers of protobuf JSON also take `tlog_entries` for `tlogEntries`, which no signer writes: what only some readers see
would escape the counts and checks here.
"""


@dataclass(frozen=True, slots=True)
class RawBundle:
    """A bundle within its caps; signatures are not checked. `envelope` is DSSE, `message` a signature over a digest.

    Exactly one of `envelope` and `message` is there. `key_hint` is None where a certificate signed.
    """

    raw: bytes
    envelope: Mapping[str, Any] | None
    message: Mapping[str, Any] | None
    key_hint: str | None
    log_entries: tuple[Mapping[str, Any], ...]
    timestamps: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Signed:
    """What a checked bundle holds; type and payload are empty where an artifact's digest was signed.

    `signed_at` is the earliest verified time: whoever holds an old signature can have it time-stamped anew. Without
    one (a key without time source), the signature counts only between `not_before` and `not_after`.
    """

    payload_type: str
    payload: bytes
    signer: Signer
    signed_at: datetime | None
    not_before: datetime | None = None
    not_after: datetime | None = None


def parse(raw: bytes, cap: int = MAX_BUNDLE) -> RawBundle:
    """Parse a bundle of at most `cap` bytes.

    Raises InvalidInputError(EvidenceTooLarge or EvidenceInvalid).
    """
    value = strictjson.parse(raw, cap=cap, what="the bundle")
    outer = Reader(value, "", Reason.EVIDENCE_INVALID)
    _require_known(value, _SHAPE)
    if outer.text("mediaType", cap=128) not in MEDIA_TYPES:
        outer.fail("is not a Sigstore bundle of version 0.1 to 0.3", "mediaType")
    material = outer.object("verificationMaterial")
    key = material.one_of("publicKey", "certificate", "x509CertificateChain") == "publicKey"
    if material.has("x509CertificateChain"):
        material.object("x509CertificateChain").objects("certificates", cap=MAX_CERTIFICATES)
    content = outer.one_of("dsseEnvelope", "messageSignature")
    return RawBundle(
        raw=raw,
        envelope=_envelope(outer) if content == "dsseEnvelope" else None,
        message=outer.value("messageSignature") if content == "messageSignature" else None,
        key_hint=material.object("publicKey").text("hint", "") if key else None,
        log_entries=tuple(_entry(entry) for entry in material.objects("tlogEntries", cap=1)),
        timestamps=_timestamps(material),
    )


def _require_known(value: object, shape: _Shape) -> None:
    for node in value if isinstance(value, list) else [value]:
        if not isinstance(node, dict):
            continue
        if not node.keys() <= shape.keys():
            problem = f"the bundle has unknown members: {', '.join(sorted(node.keys() - shape.keys()))}"
            raise InvalidInputError(Reason.EVIDENCE_INVALID, problem[:200])
        for name, child in node.items():
            if (inner := shape[name]) is not None:
                _require_known(child, inner)


def _envelope(outer: Reader) -> Mapping[str, Any]:
    signatures = outer.object("dsseEnvelope").objects("signatures", cap=1)
    if len(signatures) != 1:
        outer.fail("must have exactly one signature", "dsseEnvelope")
    envelope: Mapping[str, Any] = outer.value("dsseEnvelope")
    return envelope


def _entry(entry: Reader) -> Mapping[str, Any]:
    if entry.has("inclusionProof"):
        proof = entry.object("inclusionProof")
        proof.texts("hashes", cap=MAX_PROOF_HASHES, length=128)
        if proof.has("checkpoint"):
            proof.object("checkpoint").text("envelope", cap=MAX_CHECKPOINT)
    return entry.raw


def _timestamps(material: Reader) -> tuple[bytes, ...]:
    if not material.has("timestampVerificationData"):
        return ()
    stamps = material.object("timestampVerificationData").objects("rfc3161Timestamps", cap=MAX_TIMESTAMPS)
    return tuple(octets(stamp, "signedTimestamp") for stamp in stamps)


def octets(raw: Reader, name: str, *, cap: int = MAX_WHOLE) -> bytes:
    """Read a base64 member (RFC 4648 section 4, no stray characters) of at most `cap` characters.

    Raises InvalidInputError(EvidenceInvalid).
    """
    try:
        return base64.b64decode(raw.text(name, cap=cap), validate=True)
    except (binascii.Error, ValueError):
        raw.fail("is not base64", name)
