"""Log entries of type intoto 0.0.2, which npm and older SLSA builders made and sigstore-python does not know.

Format: https://github.com/sigstore/rekor/tree/main/pkg/types/intoto/v0.0.2. Rekor encodes payload and signatures in
base64 once more than the envelope does.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode

from cryptography.x509 import Certificate, load_pem_x509_certificate

from lineward.adapters.bundle import octets
from lineward.domain import strictjson
from lineward.domain.errors import RefusedError
from lineward.domain.fields import Reader
from lineward.domain.reasons import Reason

KIND = ("intoto", "0.0.2")
MAX_BODY = 1024 * 1024
"""Bytes of an entry's body: it holds the payload, in base64 twice, but the bundle's own cap bounds it first."""


def require_same(body: bytes, payload_type: str, payload: bytes, signature: bytes, certificate: Certificate) -> None:
    """Refuse an entry that is of another statement, signature or signer (CVE-2022-36056, CVE-2026-22703).

    Raises RefusedError or InvalidInputError(EvidenceInvalid).
    """
    outer = Reader(strictjson.parse(body, cap=MAX_BODY, what="the log entry's body"), "", Reason.EVIDENCE_INVALID)
    content = outer.object("spec").object("content")
    envelope, digest = content.object("envelope"), content.object("payloadHash")
    signatures = envelope.objects("signatures", cap=1)
    same = (
        (outer.text("kind"), outer.text("apiVersion")) == KIND
        and envelope.text("payloadType") == payload_type
        and digest.text("algorithm") == "sha256"
        and digest.text("value") == hashlib.sha256(payload).hexdigest()
        and len(signatures) == 1
        and b64decode(octets(signatures[0], "sig"), validate=True) == signature
        and load_pem_x509_certificate(octets(signatures[0], "publicKey")) == certificate
    )
    if not same:
        raise RefusedError(Reason.EVIDENCE_INVALID, "the log entry is of another statement, signature or signer")
