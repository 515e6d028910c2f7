"""What a transparency log holds: entries of every type that can be of a DSSE envelope, and the tree over them.

Formats: https://github.com/sigstore/rekor/tree/main/pkg/types (Rekor v1), rekor-tiles (hashedrekord 0.0.2), RFC 6962.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Kind = tuple[str, str]
"""Type and version of an entry; all but Rekor v2's come with a promise and its time."""
REKOR_V2 = ("hashedrekord", "0.0.2")
HASHEDREKORD = ("hashedrekord", "0.0.1")
DSSE = ("dsse", "0.0.1")
INTOTO = ("intoto", "0.0.2")


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def pae(payload_type: str, payload: bytes) -> bytes:
    return b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload), payload)


def canonical(value: object) -> bytes:
    """RFC 8785, for ASCII text and whole numbers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Signature:
    """A signature over an envelope, and whose it is."""

    payload_type: str
    payload: bytes
    raw: bytes
    signer: x509.Certificate | EllipticCurvePublicKey

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(pae(self.payload_type, self.payload)).digest()

    @property
    def payload_hash(self) -> dict[str, str]:
        return {"algorithm": "sha256", "value": hashlib.sha256(self.payload).hexdigest()}

    def verifier(self, encoding: Encoding) -> str:
        if isinstance(self.signer, x509.Certificate):
            return b64(self.signer.public_bytes(encoding))
        return b64(self.signer.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo))


def body(kind: Kind, signature: Signature) -> dict[str, Any]:
    """The body of an entry, to be encoded by `canonical`."""
    name, version = kind
    return {"apiVersion": version, "kind": name, "spec": _SPECS[kind](signature)}


def _rekor_v2(signature: Signature) -> dict[str, Any]:
    member = "x509Certificate" if isinstance(signature.signer, x509.Certificate) else "publicKey"
    verifier = {
        member: {"rawBytes": signature.verifier(Encoding.DER)},
        "keyDetails": "PKIX_ECDSA_P256_SHA_256",
    }
    return {
        "hashedRekordV002": {
            "data": {"algorithm": "SHA2_256", "digest": b64(signature.digest)},
            "signature": {"content": b64(signature.raw), "verifier": verifier},
        }
    }


def _hashedrekord(signature: Signature) -> dict[str, Any]:
    return {
        "data": {"hash": {"algorithm": "sha256", "value": signature.digest.hex()}},
        "signature": {"content": b64(signature.raw), "publicKey": {"content": signature.verifier(Encoding.PEM)}},
    }


def _dsse(signature: Signature) -> dict[str, Any]:
    return {
        "envelopeHash": {"algorithm": "sha256", "value": "0" * 64},
        "payloadHash": signature.payload_hash,
        "signatures": [{"signature": b64(signature.raw), "verifier": signature.verifier(Encoding.PEM)}],
    }


def _intoto(signature: Signature) -> dict[str, Any]:
    signed = {"publicKey": signature.verifier(Encoding.PEM), "sig": b64(b64(signature.raw).encode())}
    envelope = {"payloadType": signature.payload_type, "signatures": [signed]}
    return {"content": {"envelope": envelope, "payloadHash": signature.payload_hash}}


_SPECS: Mapping[Kind, Callable[[Signature], dict[str, Any]]] = {
    REKOR_V2: _rekor_v2,
    HASHEDREKORD: _hashedrekord,
    DSSE: _dsse,
    INTOTO: _intoto,
}


def tree_root(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + tree_root(leaves[:half]) + tree_root(leaves[half:])).digest()


def inclusion(leaves: list[bytes], index: int) -> list[bytes]:
    if len(leaves) == 1:
        return []
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if index < half:
        return [*inclusion(leaves[:half], index), tree_root(leaves[half:])]
    return [*inclusion(leaves[half:], index - half), tree_root(leaves[:half])]
