"""Extensions of a certificate are exactly one UTF8String, so that no two readers see two identities."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from tests.private_sigstore.instance import SIGNED_AT

from lineward.adapters import certificate as certificates
from lineward.domain.errors import RefusedError

ISSUER = "https://issuer.example"
LONG = "https://" + "a" * 200


def certificate(issuer: bytes) -> x509.Certificate:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, SIGNED_AT, SIGNED_AT)
    oid = x509.ObjectIdentifier(certificates.ISSUER_V2)
    builder = builder.add_extension(x509.UnrecognizedExtension(oid, issuer), critical=False)
    names = x509.SubjectAlternativeName([x509.RFC822Name("a@example.org")])
    return builder.add_extension(names, critical=False).sign(key, SHA256())


@pytest.mark.parametrize(
    ("der", "text"),
    [
        (b"\x0c\x16" + ISSUER.encode(), ISSUER),
        (b"\x0c\x81\xd0" + LONG.encode(), LONG),
        (b"\x0c\x82\x01\x98" + LONG.encode() + b"b" * 200, LONG + "b" * 200),
    ],
)
def test_a_text_is_read(der: bytes, text: str) -> None:
    assert certificates.signer(certificate(der)).issuer == text


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x0c",
        ISSUER.encode(),
        b"\x13\x16" + ISSUER.encode(),
        b"\x0c\x16" + ISSUER.encode() + b".evil",
        b"\x0c\x15" + ISSUER.encode(),
        b"\x0c\x17" + ISSUER.encode(),
        b"\x0c\x80" + ISSUER.encode() + b"\0\0",
        b"\x0c\x83\x00\x00\x16" + ISSUER.encode(),
        b"\x0c\x02\xff\xfe",
    ],
)
def test_what_is_no_text_alone_is_refused(der: bytes) -> None:
    with pytest.raises(RefusedError, match="is no UTF"):
        certificates.signer(certificate(der))
