"""Checks RFC 3161 timestamps of key bundles; those of certificates are checked by the sigstore library."""

from __future__ import annotations

from datetime import datetime

from cryptography.x509 import load_der_x509_certificate
from rfc3161_client import TimeStampResponse, VerificationError, VerifierBuilder, decode_timestamp_response
from sigstore_models.trustroot.v1 import CertificateAuthority

from lineward.adapters.anchors import Anchors
from lineward.domain.errors import RefusedError
from lineward.domain.reasons import Reason


def verify(stamp: bytes, message: bytes, anchors: Anchors) -> datetime:
    """Return the time that a timestamping authority of the trust root signed for the message.

    Raises RefusedError(EvidenceInvalid) where none did, or did outside its window.
    """
    try:
        response = decode_timestamp_response(stamp)
    except ValueError as error:
        raise RefusedError(Reason.EVIDENCE_INVALID, "the bundle has a malformed timestamp") from error
    if not any(_by(authority, response, message) for authority in anchors.timestamping):
        raise RefusedError(Reason.EVIDENCE_INVALID, "the bundle has a timestamp by no authority of the trust root")
    return response.tst_info.gen_time


def _by(authority: CertificateAuthority, response: TimeStampResponse, message: bytes) -> bool:
    time, window = response.tst_info.gen_time, authority.valid_for
    if time < window.start or (window.end is not None and time >= window.end):
        return False
    chain = [load_der_x509_certificate(certificate.raw_bytes) for certificate in authority.cert_chain.certificates]
    if len(chain) < 2:
        return False
    builder = VerifierBuilder(tsa_certificate=chain[0], intermediates=chain[1:-1], roots=chain[-1:])
    try:
        return builder.build().verify_message(response, message)
    except VerificationError:
        return False
