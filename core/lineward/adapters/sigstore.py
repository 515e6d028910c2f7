"""Checks bundles: the sigstore library's steps, and the rules it leaves to its callers.

What a certificate signed goes through sigstore-python with a trust root narrowed to the logs that the bundle names;
what a key signed goes through `keys`. Either way the signed statement is parsed strictly afterwards, and any exception
is a refusal: a panic of the Rust below the library too, which is no `Exception`.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Lock

from cryptography.x509 import Certificate
from sigstore.hashes import Hashed
from sigstore.models import Bundle
from sigstore.verify.policy import VerificationPolicy
from sigstore_models.trustroot.v1 import TransparencyLogInstance

from lineward.adapters import bundle as bundles
from lineward.adapters import certificate as certificates
from lineward.adapters import hashedrekord_entry, intoto_entry, keys, library
from lineward.adapters.anchors import Anchors, require_log_window
from lineward.adapters.bundle import RawBundle, Signed
from lineward.domain import provenance as provenances
from lineward.domain import statement as statements
from lineward.domain.dataset import MAX_BUNDLE
from lineward.domain.digest import Digest
from lineward.domain.errors import LinewardError, RefusedError
from lineward.domain.evidence import Evidence, Signer, TrustRoot
from lineward.domain.reasons import Reason

MAX_ROOTS = 16
"""Parsed trust roots kept; a cluster has one or two."""


class SigstoreVerifier:
    """Verifies bundles offline; safe to share between threads. Implements `ports.EvidenceVerifier`."""

    def __init__(self, max_bundle: int = MAX_BUNDLE, max_statement: int = statements.MAX_STATEMENT) -> None:
        """Verify bundles of at most `max_bundle` bytes, with statements of at most `max_statement`."""
        self._max_bundle, self._max_statement = max_bundle, max_statement
        self._roots: OrderedDict[Digest, Anchors] = OrderedDict()
        self._lock = Lock()

    def verify(self, bundle: bytes, trust_root: TrustRoot) -> Evidence:
        """Return what an attestation proves.

        Raises RefusedError or InvalidInputError: EvidenceTooLarge, EvidenceInvalid, OutsideValidity or
        TrustRootInvalid. Nothing else is raised but MemoryError, which says nothing about the bundle, and what ends
        the process.
        """
        with _refusing():
            signed = self._check(bundle, trust_root, None)
            statement = statements.parse(signed.payload_type, signed.payload, self._max_statement)
            provenance = None
            if statement.predicate_type == statements.DATASET_PROVENANCE:
                provenance = provenances.parse(statement.predicate)
            return Evidence(
                bundle=Digest(hashlib.sha256(bundle).digest()),
                signer=signed.signer,
                signed_at=signed.signed_at,
                subject=statement.subject,
                predicate_type=statement.predicate_type,
                predicate=statement.predicate,
                provenance=provenance,
                not_before=signed.not_before,
                not_after=signed.not_after,
            )

    def check(self, bundle: bytes, trust_root: TrustRoot, artifact: Hashed | None = None) -> Signed:
        """Check a bundle's signature, signer and time, and return what was signed, unparsed.

        With an `artifact`, a signature over its digest is accepted too. Raises as `verify` does.
        """
        with _refusing():
            return self._check(bundle, trust_root, artifact)

    def _check(self, bundle: bytes, trust_root: TrustRoot, artifact: Hashed | None) -> Signed:
        raw = bundles.parse(bundle, self._max_bundle)
        anchors = self._anchors(trust_root)
        if raw.key_hint is not None:
            return keys.check(raw, trust_root.keys, anchors, artifact)
        if anchors is None:
            raise RefusedError(Reason.EVIDENCE_INVALID, "the trust root has keys only, and a certificate signed")
        return _check_certificate(raw, anchors, artifact)

    def _anchors(self, trust_root: TrustRoot) -> Anchors | None:
        if not trust_root.trusted_root_json:
            return None
        with self._lock:
            anchors = self._roots.get(trust_root.digest)
            if anchors is None:
                anchors = self._roots[trust_root.digest] = Anchors(trust_root.trusted_root_json)
            self._roots.move_to_end(trust_root.digest)
            while len(self._roots) > MAX_ROOTS:
                self._roots.popitem(last=False)
            return anchors


@contextmanager
def _refusing() -> Iterator[None]:
    """Turn whatever a bundle brings about into a refusal."""
    try:
        yield
    except (LinewardError, MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise RefusedError(Reason.EVIDENCE_INVALID, f"the bundle does not verify: {_said(error)}"[:300]) from error


def _said(error: BaseException) -> str:
    """The first line that says something: pydantic's messages have many, with the input in them."""
    return " ".join(str(error).split())[:240] or type(error).__name__


class _WindowedVerifier(library.OpenVerifier):
    """The library's verifier, which enforces the authorities' windows once it knows the verified times."""

    def __init__(self, anchors: Anchors, log: TransparencyLogInstance, ct_log: TransparencyLogInstance) -> None:
        super().__init__(anchors.narrowed(log, ct_log))
        self._anchors = anchors

    def verify_statement(self, bundle: Bundle, policy: VerificationPolicy) -> tuple[str, bytes]:
        """What `verify_dsse` does, for log entries of type intoto 0.0.2 too, and sooner for those of Rekor v2."""
        if _kind(bundle) not in {intoto_entry.KIND, hashedrekord_entry.KIND}:
            return self.verify_dsse(bundle, policy)
        self.verify_signer(bundle, policy)
        signed = library.verify_envelope(bundle)
        logged = (library.entry(bundle).canonicalized_body, *signed, bundle.signature, bundle.signing_certificate)
        if _kind(bundle) == intoto_entry.KIND:
            intoto_entry.require_same(*logged)
        elif not hashedrekord_entry.is_canonical(*logged):
            library.require_entry(bundle)
        return signed

    def established(self, bundle: Bundle) -> list[datetime]:
        """Timestamps, and the time of the log's promise, whose signature the library checks with the entry."""
        if _kind(bundle) != intoto_entry.KIND:
            return super().established(bundle)
        times, entry = self.stamped(bundle), library.entry(bundle)
        if entry.integrated_time and entry.inclusion_promise:
            times.append(datetime.fromtimestamp(entry.integrated_time, tz=UTC))
        return times

    def authorities(self, times: Sequence[datetime]) -> list[Certificate]:
        """Certificates of the authorities that were valid then. Raises RefusedError(OutsideValidity)."""
        return self._anchors.authorities_at(times)


def _kind(bundle: Bundle) -> tuple[str, str]:
    kind = library.entry(bundle).kind_version
    return kind.kind, kind.version


class _ReadSigner:
    """A policy of the library's kind that accepts every well-formed signer: whose word counts is `judge`'s business."""

    def __init__(self) -> None:
        self.signer = Signer()

    def verify(self, cert: Certificate) -> None:
        self.signer = certificates.signer(cert)


def _check_certificate(raw: RawBundle, anchors: Anchors, artifact: Hashed | None) -> Signed:
    bundle = library.CachedBundle.from_json(raw.raw)
    timestamp = certificates.sct(bundle.signing_certificate)
    log = anchors.log(library.entry(bundle).log_id.key_id)
    ct_log = anchors.ct_log(timestamp.log_id)
    verifier = _WindowedVerifier(anchors, log, ct_log)
    read = _ReadSigner()
    if raw.envelope is not None:
        payload_type, payload = verifier.verify_statement(bundle, read)
    elif artifact is not None:
        payload_type, payload = "", b""
        verifier.verify_artifact(artifact, bundle, read)
    else:
        raise RefusedError(Reason.EVIDENCE_INVALID, "the bundle signs an artifact, not a statement")
    if not verifier.times:
        raise RefusedError(Reason.EVIDENCE_INVALID, "the bundle has no verified time")
    require_log_window(log, verifier.times, "transparency log")
    require_log_window(ct_log, [certificates.sct_time(timestamp)], "certificate transparency log")
    return Signed(payload_type, payload, read.signer, min(verifier.times))
