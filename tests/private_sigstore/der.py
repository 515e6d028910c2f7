"""Just enough DER (X.690) to write what no library writes: RFC 3161 responses with any time in them."""

from __future__ import annotations

import hashlib
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding


def tlv(tag: int, *content: bytes) -> bytes:
    body = b"".join(content)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(size)]) + size + body


def sequence(*content: bytes) -> bytes:
    return tlv(0x30, *content)


def integer(value: int) -> bytes:
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1))


def octet_string(value: bytes) -> bytes:
    return tlv(0x04, value)


def oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    return tlv(0x06, bytes([40 * first + second]), *map(_base128, rest))


def utf8(text: str) -> bytes:
    return tlv(0x0C, text.encode())


def _base128(value: int) -> bytes:
    made = [value & 0x7F]
    while value := value >> 7:
        made.insert(0, 0x80 | (value & 0x7F))
    return bytes(made)


SHA256_ID = sequence(oid("2.16.840.1.101.3.4.2.1"))
ECDSA_SHA256_ID = sequence(oid("1.2.840.10045.4.3.2"))
TST_INFO = oid("1.2.840.113549.1.9.16.1.4")


def timestamp_response(
    digest: bytes, time: datetime, certificate: x509.Certificate, key: EllipticCurvePrivateKey, *, embed: bool = True
) -> bytes:
    """A granted TimeStampResp (RFC 3161 section 2.4.2) for a SHA-256 digest, at any time one likes."""
    info = sequence(
        integer(1),
        oid("1.3.6.1.4.1.57264.2"),
        sequence(SHA256_ID, octet_string(digest)),
        integer(x509.random_serial_number()),
        tlv(0x18, time.strftime("%Y%m%d%H%M%SZ").encode()),
    )
    der = certificate.public_bytes(Encoding.DER)
    attributes = sorted(
        [
            _attribute("1.2.840.113549.1.9.3", TST_INFO),
            _attribute("1.2.840.113549.1.9.4", octet_string(hashlib.sha256(info).digest())),
            _attribute(
                "1.2.840.113549.1.9.16.2.47",
                sequence(sequence(sequence(octet_string(hashlib.sha256(der).digest())))),
            ),
        ]
    )
    signer = sequence(
        integer(1),
        sequence(certificate.issuer.public_bytes(), integer(certificate.serial_number)),
        SHA256_ID,
        tlv(0xA0, *attributes),
        ECDSA_SHA256_ID,
        octet_string(key.sign(tlv(0x31, *attributes), ECDSA(SHA256()))),
    )
    signed = sequence(
        integer(3),
        tlv(0x31, SHA256_ID),
        sequence(TST_INFO, tlv(0xA0, octet_string(info))),
        tlv(0xA0, der) if embed else b"",
        tlv(0x31, signer),
    )
    return sequence(sequence(integer(0)), sequence(oid("1.2.840.113549.1.7.2"), tlv(0xA0, signed)))


def _attribute(kind: str, value: bytes) -> bytes:
    return sequence(oid(kind), tlv(0x31, value))
