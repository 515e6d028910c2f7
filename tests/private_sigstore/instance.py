"""A whole Sigstore in one Python object: signs statements for any identity at any time, with faults on request.

Tests use it in process; `server` puts the same object behind HTTP for real clients. Formats: protobuf-specs (bundle
v0.3, trusted root v0.1), Rekor v2 entries and those of v1, RFC 6962, RFC 3161, C2SP signed-note and tlog-checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.private_sigstore.authorities import Authority, Fulcio, Identity, Timestamping, new_key, spki
from tests.private_sigstore.entries import REKOR_V2, Kind, Signature, b64, body, canonical, inclusion, pae, tree_root

START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2036, 1, 1, tzinfo=UTC)
SIGNED_AT = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
PAYLOAD_TYPE = "application/vnd.in-toto+json"
ORIGIN = "rekor.private"


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
    integrated_at: datetime | None = None
    """The log's clock says this; only entries of Rekor v1 have a time."""
    wrong_promise: bool = False
    other_authority: bool = False
    """Certificate by a Fulcio that the trusted root does not name."""
    embed: bool = True


@dataclass
class Log:
    """A Rekor log: RFC 6962 tree over entry bodies, checkpoints and promises signed with Ed25519."""

    key: ed25519.Ed25519PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)
    leaves: list[bytes] = field(default_factory=lambda: [hashlib.sha256(b"\0%d" % i).digest() for i in range(5)])

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def id(self) -> bytes:
        raw = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return hashlib.sha256(ORIGIN.encode() + b"\n\x01" + raw).digest()

    def add(
        self, encoded: bytes, faults: Faults, kind: Kind = REKOR_V2, promised_at: datetime | None = None
    ) -> dict[str, Any]:
        """Append an entry's body and return it as a TransparencyLogEntry message; with a time, as Rekor v1 does."""
        self.leaves.append(hashlib.sha256(b"\0" + encoded).digest())
        index, size = len(self.leaves) - 1, len(self.leaves)
        root = tree_root(self.leaves[:-1] if faults.stale_proof else self.leaves)
        signer = ed25519.Ed25519PrivateKey.generate() if faults.wrong_checkpoint else self.key
        note = f"{ORIGIN}\n{size}\n{b64(root)}\n"
        signature = b64(self.id[:4] + signer.sign(note.encode()))
        name, version = kind
        return {
            "logIndex": str(index),
            "logId": {"keyId": b64(hashlib.sha256(b"x").digest() if faults.other_log_id else self.id)},
            "kindVersion": {"kind": name, "version": version},
            "inclusionProof": {
                "logIndex": str(index),
                "rootHash": b64(root),
                "treeSize": str(size),
                "hashes": [b64(node) for node in inclusion(self.leaves, index)],
                "checkpoint": {"envelope": f"{note}\n\u2014 {ORIGIN} {signature}\n"},
            },
            "canonicalizedBody": b64(encoded),
            **(self._promise(encoded, index, promised_at, faults) if promised_at else {}),
        }

    def _promise(self, encoded: bytes, index: int, at: datetime, faults: Faults) -> dict[str, Any]:
        """The signed entry timestamp (SET) of Rekor v1 and the time in it."""
        seconds = int(at.timestamp())
        said = {"body": b64(encoded), "integratedTime": seconds, "logID": self.id.hex(), "logIndex": index}
        signer = ed25519.Ed25519PrivateKey.generate() if faults.wrong_promise else self.key
        promise = {"signedEntryTimestamp": b64(signer.sign(canonical(said)))}
        return {"integratedTime": str(seconds), "inclusionPromise": promise}


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
        kind: Kind = REKOR_V2,
    ) -> dict[str, Any]:
        """Sign a payload with a fresh key certified for the identity; returns the bundle as JSON values.

        `kind` is the type of its log entry.
        """
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
        signature = Signature(
            payload_type, payload, key.sign(pae(payload_type, payload), ec.ECDSA(SHA256())), certificate
        )
        material = {
            "certificate": {"rawBytes": signature.verifier(Encoding.DER)},
            "tlogEntries": [self._logged(signature, at, faults, kind)],
            "timestampVerificationData": self._timestamps(signature.raw, at, faults),
        }
        return _bundle(_envelope(payload_type, payload, signature.raw), material)

    def sign_with_key(
        self,
        payload: bytes,
        key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
        at: datetime | None = None,
        faults: Faults = Faults(),
        *,
        logged: bool = False,
        kind: Kind = REKOR_V2,
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
            made = Signature(PAYLOAD_TYPE, payload, signature, key.public_key())
            material["tlogEntries"] = [self._logged(made, at or SIGNED_AT, faults, kind)]
        return _bundle(_envelope(PAYLOAD_TYPE, payload, signature), material)

    def _logged(self, signature: Signature, at: datetime, faults: Faults, kind: Kind) -> dict[str, Any]:
        if faults.entry_of_other_payload:
            signature = replace(signature, payload=signature.payload + b"!")
        promised = None if kind == REKOR_V2 else faults.integrated_at or at + timedelta(seconds=1)
        return self.log.add(canonical(body(kind, signature)), faults, kind, promised)

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
