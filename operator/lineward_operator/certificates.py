"""What the webhook's own certificate authority and leaf should be: values in, values out, no cluster.

The API server trusts the authorities in `caBundle` of the webhook configurations; the webhook serves the leaf.
Replacing an authority therefore takes two steps that must not swap places: first the new one is *published* beside the
old one, then the leaf is switched. `renew` makes one step at a time and says what is to be stored; a crash between any
two writes leaves a state from which it goes on.

Lives: authority one year, leaf 30 days, both renewed at two thirds of their life, as cert-manager does by default
(https://cert-manager.io/docs/usage/certificate/#issuance-behavior-rotation-of-the-private-key).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFE = timedelta(days=365)
LEAF_LIFE = timedelta(days=30)
SKEW = timedelta(minutes=5)
"""How far the clocks of operator and API server may be apart."""
MAX_PREVIOUS = 4
"""Old authorities kept in the bundle at most."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class Chain:
    """All that is stored: `coming` is published but does not sign yet, `previous` signed before, still trusted."""

    current: Pair | None = None
    coming: Pair | None = None
    previous: tuple[str, ...] = ()
    leaf: Pair | None = None

    @property
    def bundle(self) -> str:
        """PEM of all authorities that the API server should trust, newest first, each once."""
        pairs = (self.coming, self.current)
        return "".join(dict.fromkeys([*(pair.certificate for pair in pairs if pair), *self.previous]))


def renew(chain: Chain, names: Sequence[str], published: Collection[str] | None, now: datetime) -> Chain:
    """Return the chain as it should be stored next; equal to `chain` when there is nothing to do.

    `names` are the DNS names of the webhook Service. `published` holds the authorities (PEM) that every webhook
    configuration carries, None while there is no configuration that could break.
    """
    chain = _drop_unusable(chain, names, now)
    if chain.coming is None and (chain.current is None or _due(chain.current.certificate, now)):
        chain = replace(chain, coming=mint_authority(now))
    if chain.coming and (published is None or chain.coming.certificate in published):
        chain = _promote(chain)
    if chain.current and (
        chain.leaf is None
        or _due(chain.leaf.certificate, now)
        or not issued_by(chain.leaf.certificate, chain.current.certificate)
    ):
        chain = replace(chain, leaf=mint_leaf(chain.current, names, now))
    return chain


def mint_authority(now: datetime) -> Pair:
    """Make an ECDSA P-256 authority that may sign leaves only (path length 0, RFC 5280 section 4.2.1.9)."""
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"lineward-webhook-ca-{serial:x}"[:40])])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _builder(name, name, key.public_key(), now, CA_LIFE)
        .serial_number(serial)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _pair(builder.sign(key, hashes.SHA256()), key)


def mint_leaf(authority: Pair, names: Sequence[str], now: datetime) -> Pair:
    """Make an ECDSA P-256 server certificate for `names`, signed by `authority`, never outliving it."""
    issuer = x509.load_pem_x509_certificate(authority.certificate.encode())
    signer = _private_key(authority.key)
    key = ec.generate_private_key(ec.SECP256R1())
    life = min(LEAF_LIFE, issuer.not_valid_after_utc - now)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    builder = (
        _builder(subject, issuer.subject, key.public_key(), now, life)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)  # type: ignore[arg-type]
    )
    return _pair(builder.sign(signer, hashes.SHA256()), key)


def issued_by(certificate: str, authority: str) -> bool:
    """Tell whether the authority's key signed the certificate; False for text that is no certificate."""
    try:
        leaf = x509.load_pem_x509_certificate(certificate.encode())
        leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.encode()))
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def split(bundle: str) -> tuple[str, ...]:
    """Split a PEM bundle into certificates, each re-encoded, so that texts can be compared; () for anything else."""
    try:
        found = x509.load_pem_x509_certificates(bundle.encode())
    except ValueError:
        return ()
    return tuple(_pem(certificate) for certificate in found)


def expiry(certificate: str) -> datetime:
    """When the certificate ends. Raises ValueError for text that is no certificate."""
    return x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc


def read(authority: Mapping[str, str], leaf: Mapping[str, str]) -> Chain:
    """Read a chain from the decoded data of the two Secrets; what is missing or damaged is left out.

    Where the authorities' Secret is lost, those in the leaf's `ca.crt` are kept as previous ones: the API server may
    still trust only them.
    """
    current = _read_pair(authority.get("ca.crt", ""), authority.get("ca.key", ""))
    coming = _read_pair(authority.get("coming.crt", ""), authority.get("coming.key", ""))
    known = {pair.certificate for pair in (current, coming) if pair}
    old = [*split(authority.get("previous.crt", "")), *split(leaf.get("ca.crt", ""))]
    return Chain(
        current=current,
        coming=coming,
        previous=tuple(dict.fromkeys(certificate for certificate in old if certificate not in known))[:MAX_PREVIOUS],
        leaf=_read_pair(leaf.get("tls.crt", ""), leaf.get("tls.key", "")),
    )


def authority_data(chain: Chain) -> dict[str, str]:
    """Data of the Secret that holds the authorities' keys; only the operator reads it."""
    data = {"previous.crt": "".join(chain.previous)}
    if chain.current:
        data |= {"ca.crt": chain.current.certificate, "ca.key": chain.current.key}
    if chain.coming:
        data |= {"coming.crt": chain.coming.certificate, "coming.key": chain.coming.key}
    return {name: text for name, text in data.items() if text}


def leaf_data(chain: Chain) -> dict[str, str]:
    """Data of the Secret that the webhook mounts."""
    if chain.leaf is None:
        return {}
    return {"tls.crt": chain.leaf.certificate, "tls.key": chain.leaf.key, "ca.crt": chain.bundle}


def _promote(chain: Chain) -> Chain:
    old = [chain.current.certificate] if chain.current else []
    previous = tuple(dict.fromkeys([*old, *chain.previous]))[:MAX_PREVIOUS]
    return replace(chain, current=chain.coming, coming=None, previous=previous)


def _drop_unusable(chain: Chain, names: Sequence[str], now: datetime) -> Chain:
    current = chain.current if chain.current and _alive(chain.current.certificate, now) else None
    coming = chain.coming if chain.coming and not _due(chain.coming.certificate, now) else None
    leaf = chain.leaf
    trusted = [*(pair.certificate for pair in (current, coming) if pair), *chain.previous]
    if leaf and not (
        _alive(leaf.certificate, now)
        and _names(leaf.certificate) == frozenset(names)
        and any(issued_by(leaf.certificate, authority) for authority in trusted)
    ):
        leaf = None
    previous = tuple(certificate for certificate in chain.previous if _alive(certificate, now))
    return Chain(current=current, coming=coming, previous=previous, leaf=leaf)


def _alive(certificate: str, now: datetime) -> bool:
    parsed = x509.load_pem_x509_certificate(certificate.encode())
    return parsed.not_valid_before_utc <= now + SKEW and now < parsed.not_valid_after_utc


def _due(certificate: str, now: datetime) -> bool:
    parsed = x509.load_pem_x509_certificate(certificate.encode())
    life = parsed.not_valid_after_utc - parsed.not_valid_before_utc
    return now >= parsed.not_valid_before_utc + life * 2 / 3


def _names(certificate: str) -> frozenset[str]:
    parsed = x509.load_pem_x509_certificate(certificate.encode())
    try:
        extension = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(extension.value.get_values_for_type(x509.DNSName))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    start = now.astimezone(UTC).replace(microsecond=0) - SKEW
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .not_valid_before(start)
        .not_valid_after(start + life)
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return Pair(_pem(certificate), text)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _private_key(pem: str) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic curve key")
    return key


def _read_pair(certificate: str, key: str) -> Pair | None:
    try:
        parsed = x509.load_pem_x509_certificate(certificate.encode())
        if _private_key(key).public_key() != parsed.public_key():
            return None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return Pair(_pem(parsed), key)
