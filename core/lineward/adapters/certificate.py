"""Who a Fulcio certificate says signed: exactly one name, the issuer, and the claims of its token.

Profile: https://github.com/sigstore/fulcio/blob/main/docs/certificate-specification.md and oid-info.md.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.x509.certificate_transparency import SignedCertificateTimestamp

from lineward.domain.errors import RefusedError
from lineward.domain.evidence import Signer
from lineward.domain.reasons import Reason

FULCIO_ARC = "1.3.6.1.4.1.57264.1."
ISSUER_V2 = FULCIO_ARC + "8"
USERNAME = x509.ObjectIdentifier(FULCIO_ARC + "7")
"""otherName type of Fulcio's `username` identities."""
_UTF8_STRING = 0x0C


def signer(certificate: x509.Certificate) -> Signer:
    """Read the signer.

    Raises RefusedError(EvidenceInvalid) unless there is exactly one subject alternative name and the V2 issuer.
    """
    claims = {
        extension.oid.dotted_string: _utf8(extension.value.value)
        for extension in certificate.extensions
        if isinstance(extension.value, x509.UnrecognizedExtension) and _is_claim(extension.oid.dotted_string)
    }
    if ISSUER_V2 not in claims:
        raise RefusedError(Reason.EVIDENCE_INVALID, f"the certificate has no issuer extension {ISSUER_V2}")
    return Signer(issuer=claims[ISSUER_V2], subject=_subject(certificate), claims=claims)


def sct(certificate: x509.Certificate) -> SignedCertificateTimestamp:
    """The one embedded signed certificate timestamp. Raises RefusedError(EvidenceInvalid) for none or several."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
    except x509.ExtensionNotFound:
        found = None
    if found is None or len(found) != 1:
        raise RefusedError(Reason.EVIDENCE_INVALID, "the certificate has not exactly one certificate timestamp")
    timestamp: SignedCertificateTimestamp = found[0]
    return timestamp


def sct_time(timestamp: SignedCertificateTimestamp) -> datetime:
    """When the certificate transparency log took the certificate, in UTC."""
    return timestamp.timestamp.replace(tzinfo=UTC)


def _is_claim(oid: str) -> bool:
    """Extensions up to 7 are deprecated raw strings, or none."""
    number = oid.removeprefix(FULCIO_ARC)
    return number != oid and number.isdigit() and int(number) >= 8


def _subject(certificate: x509.Certificate) -> str:
    try:
        names = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        names = []
    if len(names) != 1:
        raise RefusedError(Reason.EVIDENCE_INVALID, f"the certificate names {len(names)} subjects, not exactly one")
    name = names[0]
    if isinstance(name, x509.RFC822Name | x509.UniformResourceIdentifier):
        return name.value
    if isinstance(name, x509.OtherName) and name.type_id == USERNAME:
        return _utf8(name.value)
    raise RefusedError(Reason.EVIDENCE_INVALID, "the certificate's subject is no e-mail address, URI or username")


def _utf8(der: bytes) -> str:
    """Decode a DER UTF8String (X.690), definite length, nothing after it."""
    short = der[1] < 0x80 if len(der) > 1 else False
    octets = 0 if short else der[1] & 0x7F if len(der) > 1 else 5
    length = der[1] if short else int.from_bytes(der[2 : 2 + octets])
    body = der[2 + octets :]
    if not der or der[0] != _UTF8_STRING or octets > 2 or len(body) != length:
        raise RefusedError(Reason.EVIDENCE_INVALID, "a certificate extension is no UTF8String")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise RefusedError(Reason.EVIDENCE_INVALID, "a certificate extension is no UTF-8") from error
