"""Keys and certificates of the private Sigstore: made once per state folder, then read."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = timedelta(days=3650)
_BACKDATE = timedelta(minutes=5)
"""Clocks in containers and on the host may differ by a little."""

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Anchors:
    """What a verifier must know: public keys and certificate chains (leaf first), valid from ``start`` on."""

    fulcio_chain: tuple[x509.Certificate, ...]
    tsa_chain: tuple[x509.Certificate, ...]
    rekor: ed25519.Ed25519PublicKey
    ctlog: ec.EllipticCurvePublicKey
    start: datetime


def ensure(folder: Path) -> Anchors:
    """The anchors of the keys in ``folder``, which is made, whole or not at all, when it is missing."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".keys-") as scratch:
            made = Path(scratch) / "keys"
            made.mkdir(mode=0o700)
            _make(made, datetime.now(UTC).replace(microsecond=0) - _BACKDATE)
            made.rename(folder)
    return _read(folder)


def issuer_key(folder: Path) -> rsa.RSAPrivateKey:
    """The key that the test OIDC issuer signs tokens with."""
    key = load_pem_private_key((folder / "issuer.key").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def _make(folder: Path, start: datetime) -> None:
    fulcio, tsa_root, tsa, ctlog = (ec.generate_private_key(ec.SECP256R1()) for _ in range(4))
    rekor = ed25519.Ed25519PrivateKey.generate()
    _write_key(folder / "fulcio.key", fulcio)
    _write_key(folder / "tsa.key", tsa)
    _write_key(folder / "ctlog.key", ctlog, PrivateFormat.TraditionalOpenSSL)
    _write_key(folder / "rekor.key", rekor)
    _write_key(folder / "issuer.key", rsa.generate_private_key(65537, 2048))
    (folder / "ctlog.pub").write_bytes(_public_pem(ctlog.public_key()))
    (folder / "rekor.pub").write_bytes(_public_pem(rekor.public_key()))
    fulcio_root = _authority("fulcio", fulcio, start)
    root = _authority("timestamp root", tsa_root, start)
    (folder / "fulcio.pem").write_bytes(_chain_pem(fulcio_root))
    (folder / "tsa.pem").write_bytes(_chain_pem(_timestamper(tsa.public_key(), root, tsa_root, start), root))


def _read(folder: Path) -> Anchors:
    rekor = load_pem_public_key((folder / "rekor.pub").read_bytes())
    ctlog = load_pem_public_key((folder / "ctlog.pub").read_bytes())
    assert isinstance(rekor, ed25519.Ed25519PublicKey)
    assert isinstance(ctlog, ec.EllipticCurvePublicKey)
    fulcio = x509.load_pem_x509_certificates((folder / "fulcio.pem").read_bytes())
    tsa = x509.load_pem_x509_certificates((folder / "tsa.pem").read_bytes())
    return Anchors(tuple(fulcio), tuple(tsa), rekor, ctlog, fulcio[0].not_valid_before_utc)


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "lineward test"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _builder(
    subject: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, start: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _authority(name: str, key: ec.EllipticCurvePrivateKey, start: datetime) -> x509.Certificate:
    return (
        _builder(name, _name(name), key.public_key(), start)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .sign(key, SHA256())
    )


def _timestamper(
    key: ec.EllipticCurvePublicKey, root: x509.Certificate, root_key: ec.EllipticCurvePrivateKey, start: datetime
) -> x509.Certificate:
    """RFC 3161 section 2.3: one extended key usage, time stamping, and critical."""
    return (
        _builder("timestamp authority", root.subject, key, start)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .sign(root_key, SHA256())
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: PrivateKey, form: PrivateFormat = PrivateFormat.PKCS8) -> None:
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, form, NoEncryption()))


def _public_pem(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _chain_pem(*chain: x509.Certificate) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)
