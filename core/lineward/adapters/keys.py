"""Checks bundles that a key signed, which sigstore-python does not.

A signature by a listed key is enough; a transparency log entry and timestamps are optional, but what is there must be
right. Without a verified time the key's own window counts at each decision, and only where the trust root gives the
key an end and requires no time: an endless key without time is never believed (CVE-2026-54787). Whoever passes a bundle
on can take its times away, which only a key that requires one is safe from.

Algorithms are those of the Sigstore algorithm registry: ECDSA P-256, P-384 and P-521 with the SHA-2 of their size, and
Ed25519.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from sigstore.hashes import Hashed
from sigstore_models.rekor.v1 import TransparencyLogEntry as EntryMessage

from lineward.adapters import timestamps
from lineward.adapters.anchors import Anchors, require_log_window
from lineward.adapters.bundle import RawBundle, Signed, octets
from lineward.domain import strictjson
from lineward.domain.errors import InvalidInputError, RefusedError
from lineward.domain.evidence import KeyAnchor, Signer, SigningTime
from lineward.domain.fields import Reader
from lineward.domain.reasons import Reason
from lineward.domain.trustroot import der_of, key_digest

PublicKey = EllipticCurvePublicKey | Ed25519PublicKey
HASHES: Mapping[str, HashAlgorithm] = {
    SECP256R1.name: SHA256(),
    SECP384R1.name: SHA384(),
    SECP521R1.name: SHA512(),
}
MAX_BODY = 512 * 1024
"""Bytes of a log entry's body, which may embed key, certificate and signature but no payload."""


def load(pem: str) -> PublicKey:
    """Load a PEM public key.

    Raises InvalidInputError(TrustRootInvalid) for other kinds than P-256, P-384, P-521 and Ed25519.
    """
    try:
        key = load_der_public_key(der_of(pem))
    except Exception as error:
        raise InvalidInputError(Reason.TRUST_ROOT_INVALID, f"not a public key: {error}"[:300]) from error
    if isinstance(key, Ed25519PublicKey) or (isinstance(key, EllipticCurvePublicKey) and key.curve.name in HASHES):
        return key
    raise InvalidInputError(Reason.TRUST_ROOT_INVALID, "only P-256, P-384, P-521 and Ed25519 keys are accepted")


@lru_cache(maxsize=16)
def load_all(anchors: tuple[KeyAnchor, ...]) -> tuple[PublicKey, ...]:
    """Load the keys of a trust root, in its order; one that cannot be used makes it unusable, wherever it stands.

    Raises InvalidInputError(TrustRootInvalid), also where two are the same key, differently encoded.
    """
    loaded = []
    for anchor in anchors:
        try:
            loaded.append(load(anchor.pem))
        except InvalidInputError as error:
            raise InvalidInputError(error.reason, f"key {anchor.name[:100]}: {error.message}"[:300]) from error
    if len({_der(key) for key in loaded}) != len(loaded):
        raise InvalidInputError(Reason.TRUST_ROOT_INVALID, "the trust root has one key under two names")
    return tuple(loaded)


def check(raw: RawBundle, keys: tuple[KeyAnchor, ...], anchors: Anchors | None, artifact: Hashed | None) -> Signed:
    """Check a bundle that a key signed, against the keys of a trust root.

    Raises RefusedError(EvidenceInvalid, WrongIdentity or OutsideValidity) or InvalidInputError.
    """
    content = _Content(raw, artifact)
    pairs = zip(keys, load_all(keys), strict=True)
    anchor, key = next(((anchor, key) for anchor, key in pairs if content.signed_by(key)), (None, None))
    if anchor is None or key is None:
        raise RefusedError(Reason.WRONG_IDENTITY, "no key of the trust root made the signature")
    times = _times(raw, content, key, anchors)
    signer = Signer(key=anchor.name, key_digest=key_digest(anchor.pem))
    if times:
        _require_window(anchor, times)
        return Signed(content.payload_type, content.payload, signer, min(times))
    _allow_no_time(anchor)
    return Signed(content.payload_type, content.payload, signer, None, anchor.not_before, anchor.not_after)


class _Content:
    """What was signed and the signature over it: a DSSE envelope, or an artifact's digest."""

    def __init__(self, raw: RawBundle, artifact: Hashed | None) -> None:
        self.payload_type, self.payload = "", b""
        self.artifact: bytes | None = None
        if raw.envelope is not None:
            envelope = Reader(raw.envelope, "dsseEnvelope", Reason.EVIDENCE_INVALID)
            self.payload_type = envelope.text("payloadType", cap=256)
            self.payload = octets(envelope, "payload")
            self.signature = octets(envelope.objects("signatures")[0], "sig", cap=4096)
            self.message = pae(self.payload_type, self.payload)
            return
        if artifact is None or raw.message is None:
            raise RefusedError(Reason.EVIDENCE_INVALID, "the bundle signs an artifact, not a statement")
        message = Reader(raw.message, "messageSignature", Reason.EVIDENCE_INVALID)
        self.signature = octets(message, "signature", cap=4096)
        self.message = b""
        self.artifact = artifact.digest
        if message.has("messageDigest") and octets(message.object("messageDigest"), "digest") != artifact.digest:
            raise RefusedError(Reason.EVIDENCE_INVALID, "the bundle is of another artifact")

    def signed_by(self, key: PublicKey) -> bool:
        try:
            if isinstance(key, Ed25519PublicKey):
                if self.artifact is not None:
                    return False
                key.verify(self.signature, self.message)
            elif self.artifact is None:
                key.verify(self.signature, self.message, ECDSA(HASHES[key.curve.name]))
            else:
                key.verify(self.signature, self.artifact, ECDSA(Prehashed(SHA256())))
        except InvalidSignature:
            return False
        return True

    def digest(self, algorithm: str) -> bytes:
        """Digest of what was signed, by a name of hashlib; an artifact is known by SHA-256 only."""
        if self.artifact is None:
            return hashlib.new(algorithm, self.message).digest()
        return self.artifact if algorithm == "sha256" else b""


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE v1 pre-authentication encoding (https://github.com/secure-systems-lab/dsse/blob/v1.0.2/protocol.md)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _require_window(anchor: KeyAnchor, times: Sequence[datetime]) -> None:
    for time in times:
        begun = anchor.not_before is None or anchor.not_before <= time
        if not begun or (anchor.not_after is not None and time > anchor.not_after):
            raise RefusedError(Reason.OUTSIDE_VALIDITY, f"key {anchor.name} was not valid at the time of signing")


def _allow_no_time(anchor: KeyAnchor) -> None:
    name = anchor.name[:100]
    if anchor.signing_time is SigningTime.REQUIRED:
        why = f"which the trust root requires of key {name}: lineward attest --trust-config has it time-stamped"
    elif anchor.not_after is None:
        why = f"and the trust root gives key {name} no notAfter: lineward trust-root from-key writes one that does"
    else:
        return
    raise RefusedError(Reason.OUTSIDE_VALIDITY, f"the bundle has no verified signing time, {why}")


def _times(raw: RawBundle, content: _Content, key: PublicKey, anchors: Anchors | None) -> list[datetime]:
    """Verified times of timestamps and log entry; everything that is there must verify."""
    if not raw.timestamps and not raw.log_entries:
        return []
    if anchors is None:
        raise RefusedError(
            Reason.EVIDENCE_INVALID,
            "the bundle has timestamps or a log entry, but the trust root no trustedRoot to check them by: add it",
        )
    times = [timestamps.verify(stamp, content.signature, anchors) for stamp in raw.timestamps]
    if len(set(raw.timestamps)) != len(raw.timestamps):
        raise RefusedError(Reason.EVIDENCE_INVALID, "the bundle has the same timestamp twice")
    for entry in raw.log_entries:
        times = _logged(entry, content, key, anchors, times)
    return times


def _logged(
    raw: Mapping[str, Any], content: _Content, key: PublicKey, anchors: Anchors, times: list[datetime]
) -> list[datetime]:
    entry = EntryMessage.from_json(json.dumps(raw))
    log = anchors.log(entry.log_id.key_id)
    anchors.narrowed(log).verify_entry(entry)
    if entry.integrated_time and entry.inclusion_promise:
        times = [*times, datetime.fromtimestamp(entry.integrated_time, tz=UTC)]
    require_log_window(log, times, "transparency log")
    kind = f"{entry.kind_version.kind}/{entry.kind_version.version}"
    if kind not in _BODIES:
        raise RefusedError(Reason.EVIDENCE_INVALID, f"log entries of type {kind[:60]} are not accepted")
    body = strictjson.parse(entry.canonicalized_body, cap=MAX_BODY, what="the log entry's body")
    outer = Reader(body, "canonicalizedBody", Reason.EVIDENCE_INVALID)
    if f"{outer.text('kind')}/{outer.text('apiVersion')}" != kind:
        outer.fail(f"is of another type than {kind}")
    if not _BODIES[kind](outer.object("spec"), content, key):
        raise RefusedError(Reason.EVIDENCE_INVALID, "the log entry is of another signature, key or content")
    return times


def _hashedrekord_v1(spec: Reader, content: _Content, key: PublicKey) -> bool:
    digest = spec.object("data").object("hash")
    signature = spec.object("signature")
    logged = octets(signature.object("publicKey"), "content", cap=8192).decode()
    return (
        digest.text("value") == content.digest(digest.text("algorithm", cap=16)).hex()
        and octets(signature, "content", cap=4096) == content.signature
        and der_of(logged) == _der(key)
    )


def _dsse_v1(spec: Reader, content: _Content, key: PublicKey) -> bool:
    signatures = spec.objects("signatures", cap=1)
    payload = spec.object("payloadHash")
    logged = octets(signatures[0], "verifier", cap=8192).decode() if signatures else ""
    return (
        bool(signatures)
        and payload.text("algorithm") == "sha256"
        and payload.text("value") == hashlib.sha256(content.payload).hexdigest()
        and signatures[0].text("signature") == b64encode(content.signature).decode()
        and der_of(logged) == _der(key)
    )


def _hashedrekord_v2(spec: Reader, content: _Content, key: PublicKey) -> bool:
    record = spec.object("hashedRekordV002")
    data, signature = record.object("data"), record.object("signature")
    algorithm = {"SHA2_256": "sha256", "SHA2_384": "sha384", "SHA2_512": "sha512"}.get(data.text("algorithm"))
    return (
        algorithm is not None
        and octets(data, "digest") == content.digest(algorithm)
        and octets(signature, "content", cap=4096) == content.signature
        and octets(signature.object("verifier").object("publicKey"), "rawBytes", cap=8192) == _der(key)
    )


_BODIES: Mapping[str, Callable[[Reader, _Content, PublicKey], bool]] = {
    "hashedrekord/0.0.1": _hashedrekord_v1,
    "dsse/0.0.1": _dsse_v1,
    "hashedrekord/0.0.2": _hashedrekord_v2,
}


def _der(key: PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
