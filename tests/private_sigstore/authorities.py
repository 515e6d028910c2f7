"""Certificate authorities of the private Sigstore: Fulcio with its CT log, and a timestamping authority."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.private_sigstore import der

LEGACY_ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
"""Raw text, deprecated; model_signing reads it and we do not."""
SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_usage(*, sign: bool, certify: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certify,
        crl_sign=certify,
        encipher_only=False,
        decipher_only=False,
    )


@dataclass
class Authority:
    """A self-signed root."""

    name: str
    start: datetime
    end: datetime
    key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    certificate: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "private"),
                x509.NameAttribute(NameOID.COMMON_NAME, self.name),
            ]
        )
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.start)
            .not_valid_after(self.end)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(key_usage(sign=False, certify=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .sign(self.key, SHA256())
        )

    def leaf(
        self, public_key: ec.EllipticCurvePublicKey, start: datetime, end: datetime, name: x509.Name | None = None
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name or x509.Name([]))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(key_usage(sign=True, certify=False), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )


class Timestamping:
    """A timestamping authority with a root of its own."""

    def __init__(self, start: datetime, end: datetime) -> None:
        self.root = Authority("tsa root", start, end)
        self.key = new_key()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tsa")])
        self.certificate = (
            self.root.leaf(self.key.public_key(), start, end, name)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
            .sign(self.root.key, SHA256())
        )

    def stamp(self, message: bytes, at: datetime, *, embed: bool = True) -> bytes:
        return self.stamp_digest(hashlib.sha256(message).digest(), at, embed=embed)

    def stamp_digest(self, digest: bytes, at: datetime, *, embed: bool = True) -> bytes:
        return der.timestamp_response(digest, at, self.certificate, self.key, embed=embed)


@dataclass(frozen=True)
class Identity:
    """What a token says, as Fulcio would put it into a certificate."""

    subject: str = "data-team@example.org"
    issuer: str = "https://issuer.example"
    claims: tuple[tuple[str, str], ...] = ()
    names: tuple[x509.GeneralName, ...] | None = None
    """Subject alternative names in place of the subject."""

    def alternative_names(self) -> list[x509.GeneralName]:
        if self.names is not None:
            return list(self.names)
        if "://" in self.subject:
            return [x509.UniformResourceIdentifier(self.subject)]
        return [x509.RFC822Name(self.subject)]


class Fulcio:
    """Issues certificates for identities, each logged in a CT log (its SCT embedded)."""

    def __init__(self, start: datetime, end: datetime) -> None:
        self.root = Authority("fulcio", start, end)
        self.ct_key = new_key()

    @property
    def ct_id(self) -> bytes:
        return hashlib.sha256(spki(self.ct_key)).digest()

    def issue(
        self,
        public_key: ec.EllipticCurvePublicKey,
        identity: Identity,
        at: datetime,
        *,
        ct_key: ec.EllipticCurvePrivateKey | None = None,
        sct_at: datetime | None = None,
        scts: int = 1,
        lifetime: timedelta = timedelta(minutes=10),
    ) -> x509.Certificate:
        """A certificate from `at` on. `ct_key` signs the SCT in place of the CT log's."""
        builder = self.root.leaf(public_key, at, at + lifetime)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        names = identity.alternative_names()
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        if identity.issuer:
            legacy = x509.UnrecognizedExtension(LEGACY_ISSUER, identity.issuer.encode())
            builder = builder.add_extension(legacy, critical=False)
        claims = [("1.3.6.1.4.1.57264.1.8", identity.issuer), *identity.claims]
        for dotted, text in claims:
            if text:
                value = x509.UnrecognizedExtension(x509.ObjectIdentifier(dotted), der.utf8(text))
                builder = builder.add_extension(value, critical=False)
        tbs = builder.sign(self.root.key, SHA256()).tbs_certificate_bytes
        one = self._sct(tbs, sct_at or at, ct_key or self.ct_key)
        if scts:
            listed = struct.pack("!H", len(one) * scts) + one * scts
            builder = builder.add_extension(
                x509.UnrecognizedExtension(SCT_LIST, der.octet_string(listed)), critical=False
            )
        return builder.sign(self.root.key, SHA256())

    def _sct(self, tbs: bytes, at: datetime, key: ec.EllipticCurvePrivateKey) -> bytes:
        """SerializedSCT of RFC 6962 section 3.3 for a precertificate, its length in front."""
        milliseconds = int(at.timestamp() * 1000)
        issuer = hashlib.sha256(spki(self.root.key)).digest()
        signed = struct.pack("!BBQH", 0, 0, milliseconds, 1) + issuer + len(tbs).to_bytes(3) + tbs + b"\0\0"
        signature = key.sign(signed, ec.ECDSA(SHA256()))
        sct = b"\0" + self.ct_id + struct.pack("!QH", milliseconds, 0) + b"\4\3"
        sct += struct.pack("!H", len(signature)) + signature
        return struct.pack("!H", len(sct)) + sct
