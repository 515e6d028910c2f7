"""All that we use of the sigstore library beyond its public API; no other module may use such things.

Public are `Bundle.from_json`, `Verifier`, its policies and signing. Not public are: the fields of a bundle's log entry,
checking one entry, its body or one envelope alone, the JSON of a trusted root, keyrings that are built once, and the
step in which times become known. pyproject.toml pins the library to one release for these, and
tests/unit/evidence/test_library.py names whatever a new release has changed.
"""

from __future__ import annotations

# ruff: noqa: SLF001 - the one place for it
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.x509 import Certificate
from sigstore import dsse
from sigstore._internal.timestamp import TimestampSource, TimestampVerificationResult
from sigstore._internal.trust import CertificateAuthority, CTKeyring, Keyring, KeyringPurpose, RekorKeyring
from sigstore.errors import VerificationError
from sigstore.models import (
    Bundle,
    ClientTrustConfig,
    TimestampVerificationData,
    TransparencyLogEntry,
    TrustedRoot,
    VerificationMaterial,
)
from sigstore.verify import Verifier, verifier
from sigstore.verify.policy import VerificationPolicy
from sigstore_models.rekor.v1 import TransparencyLogEntry as EntryMessage
from sigstore_models.trustroot.v1 import TrustedRoot as RootMessage


class CachedRoot(TrustedRoot):
    """A trusted root of the library's kind that parses its keys and certificates once instead of at each use.

    All keys are there whatever the time is: enforcing their windows is the business of who uses it.
    """

    def __init__(self, message: RootMessage) -> None:
        super().__init__(message)
        self._rekor = RekorKeyring(Keyring([log.public_key for log in message.tlogs]))
        self._ct = CTKeyring(Keyring([log.public_key for log in message.ctlogs]))
        self._tsas = super().get_timestamp_authorities()
        self._fulcio = super().get_fulcio_certs()

    def rekor_keyring(self, purpose: KeyringPurpose) -> RekorKeyring:  # noqa: ARG002 - the library's signature
        """Keys of the logs."""
        return self._rekor

    def ct_keyring(self, purpose: KeyringPurpose) -> CTKeyring:  # noqa: ARG002 - the library's signature
        """Keys of the certificate transparency logs."""
        return self._ct

    def get_timestamp_authorities(self) -> list[CertificateAuthority]:
        """Timestamping authorities, each with its window."""
        return self._tsas

    def get_fulcio_certs(self) -> list[Certificate]:
        """Certificates of all authorities."""
        return self._fulcio

    def verify_entry(self, message: EntryMessage) -> None:
        """Check a log entry's proof, checkpoint and promise. Raises sigstore.errors.VerificationError."""
        TransparencyLogEntry(message)._verify(self._rekor)


class CachedBundle(Bundle):
    """A bundle of the library's kind that decodes its timestamps and envelope once instead of three times."""

    @cached_property
    def verification_material(self) -> VerificationMaterial:
        """The verification material."""
        return _CachedMaterial(self._inner.verification_material)

    @cached_property
    def _dsse_envelope(self) -> dsse.Envelope | None:
        return super()._dsse_envelope


class _CachedMaterial(VerificationMaterial):
    @cached_property
    def timestamp_verification_data(self) -> TimestampVerificationData | None:
        return super().timestamp_verification_data


class OpenVerifier(Verifier):
    """The library's verifier with one step open: a subclass says which times count, and who could certify then.

    Were the step renamed, `times` would stay empty, which the caller must refuse.
    """

    def __init__(self, root: CachedRoot) -> None:
        super().__init__(trusted_root=root)
        self.times: list[datetime] = []

    def established(self, bundle: Bundle) -> list[datetime]:
        """Times of the bundle that are verified, or will be with its log entry."""
        return [result.time for result in super()._establish_time(bundle)]

    def stamped(self, bundle: Bundle) -> list[datetime]:
        """Those of its timestamps alone, whatever kind its log entry is of."""
        return [result.time for result in self._verify_timestamp_authority(bundle)]

    def authorities(self, times: Sequence[datetime]) -> list[Certificate]:
        """Certificates that the signer's may chain to, at these times; the library takes all of the root."""
        del times
        return self._fulcio_certificate_chain

    def verify_signer(self, bundle: Bundle, policy: VerificationPolicy) -> None:
        """The library's steps 0 to 6: times, chain, SCT, profile, policy and log entry, but no signature."""
        self._verify_common_signing_cert(bundle, policy)

    def _establish_time(self, bundle: Bundle) -> list[TimestampVerificationResult]:
        self.times = self.established(bundle)
        if self.times:
            self._fulcio_certificate_chain = self.authorities(self.times)
        return [TimestampVerificationResult(TimestampSource.TIMESTAMP_AUTHORITY, time) for time in self.times]


def entry(bundle: Bundle) -> EntryMessage:
    """The bundle's log entry, as the library read it."""
    return bundle.log_entry._inner


def verify_envelope(bundle: Bundle) -> tuple[str, bytes]:
    """Check the envelope's signature by the bundle's certificate, and return payload type and payload.

    Raises sigstore.errors.VerificationError, also where the bundle has no envelope.
    """
    envelope = bundle._dsse_envelope
    if envelope is None:
        raise VerificationError("the bundle has no envelope")
    payload = dsse._verify(cast("EllipticCurvePublicKey", bundle.signing_certificate.public_key()), envelope)
    return envelope._inner.payload_type, payload


def require_entry(bundle: Bundle) -> None:
    """The library's step 8 for a DSSE envelope in Rekor v2: the log entry's body is of this bundle.

    Raises sigstore.errors.VerificationError and, where the body is of another form, pydantic's ValidationError.
    """
    verifier._validate_hashedrekord_v002_dsse_entry_body(bundle)


def root_json(config: ClientTrustConfig) -> str:
    """The `trusted_root.json` of a client trust config."""
    return config.trusted_root._inner.to_json()
