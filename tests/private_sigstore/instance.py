"""A whole Sigstore in one Python object: signs statements for any identity at any time, with faults on request.

Tests use it in process; `server` puts the same object behind HTTP for real clients. Formats: protobuf-specs (bundle
v0.3, trusted root v0.1), Rekor v2 entries, RFC 6962, RFC 3161, C2SP signed-note and tlog-checkpoint.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.private_sigstore.authorities import Authority, Fulcio, Identity, Timestamping, new_key, spki

START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2036, 1, 1, tzinfo=UTC)
SIGNED_AT = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
PAYLOAD_TYPE = "application/vnd.in-toto+json"
ORIGIN = "rekor.private"


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def pae(payload_type: str, payload: bytes) -> bytes:
    return b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload), payload)


@dataclass(frozen=True)
class Faults:
    """What goes wrong while signing; the default is nothing."""

    wrong_sct: bool = False
    scts: int = 1
    sct_at: datetime | None = None
    wrong_checkpoint: bool = False
    stale_proof: bool = False
    other_log_id: bool = False
    timestamp_at: datetime | None = None
    """The timestamping authority's clock says this."""
    foreign_timestamp: bool = False
    """By an authority that the trusted root does not name."""
    timestamps: int = 1
    entry_of_other_payload: bool = False
    other_authority: bool = False
    """Certificate by a Fulcio that the trusted root does not name."""
    embed: bool = True


@dataclass
class Log:
    """A Rekor v2 log: RFC 6962 tree over entry bodies, checkpoints signed with Ed25519."""

    key: ed25519.Ed25519PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)
    leaves: list[bytes] = field(default_factory=lambda: [hashlib.sha256(b"\0%d" % i).digest() for i in range(5)])

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def id(self) -> bytes:
        raw = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return hashlib.sha256(ORIGIN.encode() + b"\n\x01" + raw).digest()

    def add(self, body: bytes, faults: Faults) -> dict[str, Any]:
        """Append an entry and return it as a TransparencyLogEntry message."""
        self.leaves.append(hashlib.sha256(b"\0" + body).digest())
        index, size = len(self.leaves) - 1, len(self.leaves)
        root = _root(self.leaves)
        if faults.stale_proof:
            root = _root(self.leaves[:-1])
        signer = ed25519.Ed25519PrivateKey.generate() if faults.wrong_checkpoint else self.key
        note = f"{ORIGIN}\n{size}\n{b64(root)}\n"
        signature = b64(self.id[:4] + signer.sign(note.encode()))
        return {
            "logIndex": str(index),
            "logId": {"keyId": b64(hashlib.sha256(b"x").digest() if faults.other_log_id else self.id)},
            "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
            "inclusionProof": {
                "logIndex": str(index),
                "rootHash": b64(root),
                "treeSize": str(size),
                "hashes": [b64(node) for node in _proof(self.leaves, index)],
                "checkpoint": {"envelope": f"{note}\n\u2014 {ORIGIN} {signature}\n"},
            },
            "canonicalizedBody": b64(body),
        }


class PrivateSigstore:
    """Fulcio, CT log, Rekor and a timestamping authority, valid from START to END."""

    def __init__(self, start: datetime = START, end: datetime = END) -> None:
        self.start, self.end = start, end
        self.fulcio = Fulcio(start, end)
        self.log = Log()
        self.tsa = Timestamping(start, end)

    def sign(
        self,
        payload: bytes,
        identity: Identity = Identity(),  # noqa: B008 - a frozen value
        at: datetime = SIGNED_AT,
        faults: Faults = Faults(),
        payload_type: str = PAYLOAD_TYPE,
    ) -> dict[str, Any]:
        """Sign a payload with a fresh key certified for the identity; returns the bundle as JSON values."""
        key = new_key()
        fulcio = Fulcio(self.start, self.end) if faults.other_authority else self.fulcio
        certificate = fulcio.issue(
            key.public_key(),
            identity,
            at,
            ct_key=new_key() if faults.wrong_sct else self.fulcio.ct_key if faults.other_authority else None,
            sct_at=faults.sct_at,
            scts=faults.scts,
        )
        der = certificate.public_bytes(Encoding.DER)
        verifier = {"x509Certificate": {"rawBytes": b64(der)}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
        message = pae(payload_type, payload)
        signature = key.sign(message, ec.ECDSA(SHA256()))
        logged = message + b"!" if faults.entry_of_other_payload else message
        material = {
            "certificate": {"rawBytes": b64(der)},
            "tlogEntries": [self.log.add(_body(logged, signature, verifier), faults)],
            "timestampVerificationData": self._timestamps(signature, at, faults),
        }
        return _bundle(_envelope(payload_type, payload, signature), material)

    def sign_with_key(
        self,
        payload: bytes,
        key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
        at: datetime | None = None,
        faults: Faults = Faults(),
        *,
        logged: bool = False,
    ) -> dict[str, Any]:
        """Sign with a key; with a time the signature is timestamped, and `logged` puts it into the log too."""
        message = pae(PAYLOAD_TYPE, payload)
        if isinstance(key, ed25519.Ed25519PrivateKey):
            signature = key.sign(message)
        else:
            signature = key.sign(message, ec.ECDSA(_hash_of(key)))
        material: dict[str, Any] = {"publicKey": {"hint": "any"}, "tlogEntries": []}
        if at is not None:
            material["timestampVerificationData"] = self._timestamps(signature, at, faults)
        if logged:
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            verifier = {"publicKey": {"rawBytes": b64(spki(key))}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
            material["tlogEntries"] = [self.log.add(_body(message, signature, verifier), faults)]
        return _bundle(_envelope(PAYLOAD_TYPE, payload, signature), material)

    def _timestamps(self, signature: bytes, at: datetime, faults: Faults) -> dict[str, Any]:
        tsa = Timestamping(self.start, self.end) if faults.foreign_timestamp else self.tsa
        time = faults.timestamp_at or at + timedelta(seconds=1)
        stamps = [tsa.stamp(signature, time, embed=faults.embed) for _ in range(faults.timestamps)]
        return {"rfc3161Timestamps": [{"signedTimestamp": b64(stamp)} for stamp in stamps]}

    def trusted_root(self, **windows: tuple[datetime, datetime]) -> dict[str, Any]:
        """The trusted root; `fulcio`, `ct`, `rekor` and `tsa` may have other windows than START to END."""

        def window(name: str) -> dict[str, str]:
            start, end = windows.get(name, (self.start, self.end))
            return {"start": rfc3339(start), "end": rfc3339(end)}

        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [
                _log_instance("https://" + ORIGIN, self.log.public, "PKIX_ED25519", self.log.id, window("rekor"))
            ],
            "ctlogs": [
                _log_instance(
                    "https://ct.private",
                    spki(self.fulcio.ct_key),
                    "PKIX_ECDSA_P256_SHA_256",
                    self.fulcio.ct_id,
                    window("ct"),
                )
            ],
            "certificateAuthorities": [_authority([self.fulcio.root], window("fulcio"))],
            "timestampAuthorities": [_authority([self.tsa, self.tsa.root], window("tsa"))],
        }

    def trust_config(self, base_url: str) -> dict[str, Any]:
        """A client trust config for this Sigstore served at `base_url`."""

        def service(path: str, version: int = 1) -> list[dict[str, Any]]:
            start = rfc3339(self.start)
            return [
                {
                    "url": base_url + path,
                    "majorApiVersion": version,
                    "operator": "private",
                    "validFor": {"start": start},
                }
            ]

        return {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": self.trusted_root(),
            "signingConfig": {
                "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                "caUrls": service(""),
                "oidcUrls": service("/oidc"),
                "rekorTlogUrls": service("", 2),
                "tsaUrls": service("/api/v1/timestamp"),
                "rekorTlogConfig": {"selector": "ANY"},
                "tsaConfig": {"selector": "ANY"},
            },
        }


def rfc3339(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def dumps(value: object) -> bytes:
    return json.dumps(value).encode()


def _hash_of(key: ec.EllipticCurvePrivateKey) -> HashAlgorithm:
    return {256: SHA256(), 384: SHA384(), 521: SHA512()}[key.key_size]


def _envelope(payload_type: str, payload: bytes, signature: bytes) -> dict[str, Any]:
    return {"payload": b64(payload), "payloadType": payload_type, "signatures": [{"sig": b64(signature)}]}


def _bundle(envelope: dict[str, Any], material: dict[str, Any]) -> dict[str, Any]:
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": material,
        "dsseEnvelope": envelope,
    }


def _body(message: bytes, signature: bytes, verifier: dict[str, Any]) -> bytes:
    body = {
        "apiVersion": "0.0.2",
        "kind": "hashedrekord",
        "spec": {
            "hashedRekordV002": {
                "data": {"algorithm": "SHA2_256", "digest": b64(hashlib.sha256(message).digest())},
                "signature": {"content": b64(signature), "verifier": verifier},
            }
        },
    }
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def _log_instance(url: str, key: bytes, details: str, key_id: bytes, window: dict[str, str]) -> dict[str, Any]:
    return {
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {"rawBytes": b64(key), "keyDetails": details, "validFor": window},
        "logId": {"keyId": b64(key_id)},
    }


def _authority(chain: list[Authority | Timestamping], window: dict[str, str]) -> dict[str, Any]:
    certificates = [{"rawBytes": b64(link.certificate.public_bytes(Encoding.DER))} for link in chain]
    return {
        "subject": {"organization": "private", "commonName": "private"},
        "uri": "https://private",
        "certChain": {"certificates": certificates},
        "validFor": window,
    }


def _root(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + _root(leaves[:half]) + _root(leaves[half:])).digest()


def _proof(leaves: list[bytes], index: int) -> list[bytes]:
    if len(leaves) == 1:
        return []
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if index < half:
        return [*_proof(leaves[:half], index), _root(leaves[half:])]
    return [*_proof(leaves[half:], index - half), _root(leaves[:half])]
