"""A `trusted_root.json`, parsed once per content, and narrowed to the instances that a bundle names.

sigstore-python treats a log id as a hint and tries every key, and enforces only the timestamping authority's validity
window. Narrowing makes the id binding, and the windows (closed intervals, protobuf-specs `TimeRange`) are enforced here
at the time of signing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from cryptography.x509 import Certificate, load_der_x509_certificate
from sigstore.models import TrustedRoot
from sigstore_models.common.v1 import TimeRange
from sigstore_models.trustroot.v1 import CertificateAuthority, TransparencyLogInstance
from sigstore_models.trustroot.v1 import TrustedRoot as RootMessage

from lineward.adapters.library import CachedRoot
from lineward.domain import strictjson
from lineward.domain.errors import InvalidInputError, RefusedError
from lineward.domain.reasons import Reason
from lineward.domain.trustroot import MAX_TRUSTED_ROOT

MAX_INSTANCES = 64
"""Logs and authorities of each kind; the public-good root has 2 to 4 of each (2026)."""
_TICK = timedelta(microseconds=1)


class Anchors:
    """The keys and authorities of one trusted root."""

    def __init__(self, text: str) -> None:
        """Parse the JSON text.

        Raises InvalidInputError(TrustRootInvalid).
        """
        self._narrowed: dict[tuple[int, int], CachedRoot] = {}
        strictjson.parse(text, cap=MAX_TRUSTED_ROOT, what="trustedRoot", reason=Reason.TRUST_ROOT_INVALID)
        try:
            self.message = RootMessage.from_json(text)
            TrustedRoot(self.message)
            self.fulcio = [(authority, _certificates(authority)) for authority in self.message.certificate_authorities]
            self.timestamping = [_closed(authority) for authority in self.message.timestamp_authorities]
        except Exception as error:
            problem = f"trustedRoot is no Sigstore trusted root: {error}"[:300]
            raise InvalidInputError(Reason.TRUST_ROOT_INVALID, problem) from error
        kinds = (len(self.message.tlogs), len(self.message.ctlogs), len(self.fulcio), len(self.timestamping))
        if max(kinds) > MAX_INSTANCES:
            raise InvalidInputError(Reason.TRUST_ROOT_INVALID, f"trustedRoot has more than {MAX_INSTANCES} instances")

    def log(self, key_id: bytes) -> TransparencyLogInstance:
        """The transparency log with this id. Raises RefusedError(EvidenceInvalid) where the root has none or two."""
        return _named(self.message.tlogs, key_id, "transparency log")

    def ct_log(self, key_id: bytes) -> TransparencyLogInstance:
        """The certificate transparency log with this id. Raises as `log` does."""
        return _named(self.message.ctlogs, key_id, "certificate transparency log")

    def narrowed(self, log: TransparencyLogInstance, ct_log: TransparencyLogInstance | None = None) -> CachedRoot:
        """The root with these logs only, and with the windows of timestamping authorities closed at their end.

        Both are instances of this root: they are told apart by identity, since shards may share a log id.
        """
        key = (id(log), id(ct_log))
        if key not in self._narrowed:
            self._narrowed[key] = self._narrow(log, ct_log)
        return self._narrowed[key]

    def _narrow(self, log: TransparencyLogInstance, ct_log: TransparencyLogInstance | None) -> CachedRoot:
        update = {
            "tlogs": [log],
            "ctlogs": [ct_log] if ct_log else [],
            "timestamp_authorities": self.timestamping,
        }
        return CachedRoot(self.message.model_copy(update=update))

    def authorities_at(self, times: Sequence[datetime]) -> list[Certificate]:
        """Certificates of the authorities whose windows hold all these times.

        Raises RefusedError(OutsideValidity) where none does.
        """
        found = [
            certificate
            for authority, certificates in self.fulcio
            if within(authority.valid_for, times)
            for certificate in certificates
        ]
        if not found:
            raise RefusedError(Reason.OUTSIDE_VALIDITY, "no certificate authority of the trust root was valid then")
        return found


def within(window: TimeRange | None, times: Iterable[datetime]) -> bool:
    """Tell whether all times are in the closed interval; no interval holds everything."""
    if window is None:
        return True
    return all(window.start <= time and (window.end is None or time <= window.end) for time in times)


def require_log_window(log: TransparencyLogInstance, times: Sequence[datetime], what: str) -> None:
    """Raise RefusedError(OutsideValidity) unless the log's key was valid at all these times."""
    if not within(log.public_key.valid_for, times):
        raise RefusedError(Reason.OUTSIDE_VALIDITY, f"the {what}'s key was not valid at the time of signing")


def _named(logs: Sequence[TransparencyLogInstance], key_id: bytes, what: str) -> TransparencyLogInstance:
    found = [
        log
        for log in logs
        if key_id in {log.log_id.key_id, log.checkpoint_key_id.key_id if log.checkpoint_key_id else None}
    ]
    if len(found) != 1:
        raise RefusedError(
            Reason.EVIDENCE_INVALID, f"the trust root names {len(found)} {what}s with the id {key_id.hex()[:16]}"
        )
    return found[0]


def _certificates(authority: CertificateAuthority) -> list[Certificate]:
    return [load_der_x509_certificate(certificate.raw_bytes) for certificate in authority.cert_chain.certificates]


def _closed(authority: CertificateAuthority) -> CertificateAuthority:
    """Move the end by one tick: the library reads the closed interval of the specification as half-open."""
    window = authority.valid_for
    if window.end is None:
        return authority
    return authority.model_copy(update={"valid_for": TimeRange(start=window.start, end=window.end + _TICK)})
