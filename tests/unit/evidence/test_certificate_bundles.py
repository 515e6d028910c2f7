"""Bundles that a certificate signed: each rule beyond the signature has a fault that only it catches."""

from __future__ import annotations

import json
import time
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from tests.private_sigstore import der
from tests.private_sigstore.authorities import Identity
from tests.private_sigstore.entries import b64
from tests.private_sigstore.instance import END, SIGNED_AT, START, Faults, PrivateSigstore, dumps
from tests.unit.evidence.samples import MANIFEST, PREDICATE

from lineward.adapters.sigstore import SigstoreVerifier
from lineward.domain import statement, trustroot
from lineward.domain.digest import Digest
from lineward.domain.errors import LinewardError
from lineward.domain.evidence import TrustRoot
from lineward.domain.reasons import Reason
from lineward.domain.statement import DATASET_PROVENANCE, Statement

STATEMENT = statement.build(Statement("d", Digest.parse(MANIFEST), DATASET_PROVENANCE, PREDICATE))
STAMPED_AT = SIGNED_AT + timedelta(seconds=1)


def refusal(verifier: SigstoreVerifier, bundle: dict[str, Any] | bytes, root: TrustRoot) -> LinewardError:
    with pytest.raises(LinewardError) as caught:
        verifier.verify(bundle if isinstance(bundle, bytes) else dumps(bundle), root)
    return caught.value


def test_a_good_bundle_proves_its_statement(
    verifier: SigstoreVerifier, private: PrivateSigstore, trust_root: TrustRoot
) -> None:
    claims = (("1.3.6.1.4.1.57264.1.15", "42"),)
    evidence = verifier.verify(dumps(private.sign(STATEMENT, Identity(claims=claims))), trust_root)
    assert (evidence.signer.subject, evidence.signer.issuer) == ("data-team@example.org", "https://issuer.example")
    assert evidence.signer.claims["1.3.6.1.4.1.57264.1.15"] == "42"
    assert evidence.signed_at == STAMPED_AT
    assert evidence.subject == Digest.parse(MANIFEST)
    assert evidence.provenance is not None
    assert evidence.provenance.name == "german-credit"


@pytest.mark.parametrize(
    "faults",
    [
        Faults(wrong_sct=True),
        Faults(scts=0),
        Faults(scts=2),
        Faults(wrong_checkpoint=True),
        Faults(stale_proof=True),
        Faults(other_log_id=True),
        Faults(foreign_timestamp=True),
        Faults(timestamps=0),
        Faults(timestamps=9),
        Faults(entry_of_other_payload=True),
        Faults(other_authority=True),
        Faults(timestamp_at=SIGNED_AT - timedelta(seconds=1)),
        Faults(timestamp_at=SIGNED_AT + timedelta(minutes=11)),
    ],
    ids=str,
)
def test_every_fault_of_the_instance_is_refused(
    faults: Faults, verifier: SigstoreVerifier, private: PrivateSigstore, trust_root: TrustRoot
) -> None:
    assert refusal(verifier, private.sign(STATEMENT, faults=faults), trust_root).reason is Reason.EVIDENCE_INVALID


@pytest.mark.parametrize("embed", [True, False])
def test_a_timestamp_needs_no_certificate_inside(
    verifier: SigstoreVerifier, private: PrivateSigstore, trust_root: TrustRoot, *, embed: bool
) -> None:
    assert verifier.verify(dumps(private.sign(STATEMENT, faults=Faults(embed=embed))), trust_root)


SECOND = timedelta(seconds=1)
WINDOWS = [("rekor", STAMPED_AT), ("tsa", STAMPED_AT), ("fulcio", STAMPED_AT), ("ct", SIGNED_AT)]


@pytest.mark.parametrize(("key", "moment"), WINDOWS)
def test_validity_windows_are_closed_intervals(
    key: str, moment: datetime, verifier: SigstoreVerifier, private: PrivateSigstore
) -> None:
    bundle = dumps(private.sign(STATEMENT))

    def judged(start: datetime, end: datetime) -> bool:
        root = trustroot.make("r", dumps(private.trusted_root(**{key: (start, end)})).decode())
        try:
            return bool(verifier.verify(bundle, root))
        except LinewardError:
            return False

    assert judged(START, moment)
    assert judged(moment, END)
    assert not judged(START, moment - SECOND)
    assert not judged(moment + SECOND, END)


def test_an_authority_whose_own_certificate_had_expired_is_refused(verifier: SigstoreVerifier) -> None:
    """CVE-2026-24122: the trust root's window says valid, the issuing certificate does not."""
    short = PrivateSigstore(START, SIGNED_AT - SECOND)
    root = short.trusted_root(fulcio=(START, END), ct=(START, END), rekor=(START, END), tsa=(START, END))
    fresh = PrivateSigstore()
    short.tsa = fresh.tsa
    root["timestampAuthorities"] = fresh.trusted_root()["timestampAuthorities"]
    made = trustroot.make("r", dumps(root).decode())
    assert "certificate chain" in refusal(verifier, short.sign(STATEMENT), made).message


def test_the_earliest_time_counts(verifier: SigstoreVerifier, private: PrivateSigstore, trust_root: TrustRoot) -> None:
    bundle = private.sign(STATEMENT)
    envelope = bundle["dsseEnvelope"]["signatures"][0]["sig"]
    stamps = bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    later = private.tsa.stamp(b64decode(envelope), SIGNED_AT + timedelta(minutes=5))
    stamps.insert(0, {"signedTimestamp": b64(later)})
    assert verifier.verify(dumps(bundle), trust_root).signed_at == STAMPED_AT


def test_an_unverified_timestamp_is_no_time(
    verifier: SigstoreVerifier, private: PrivateSigstore, trust_root: TrustRoot
) -> None:
    bundle = private.sign(STATEMENT)
    foreign = PrivateSigstore().tsa.stamp(b64decode(bundle["dsseEnvelope"]["signatures"][0]["sig"]), SIGNED_AT)
    stamps = bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    stamps.append({"signedTimestamp": b64(foreign)})
    assert verifier.verify(dumps(bundle), trust_root).signed_at == STAMPED_AT


MAIL = x509.RFC822Name("data-team@example.org")


@pytest.mark.parametrize(
    "identity",
    [
        Identity(names=()),
        Identity(names=(MAIL, x509.RFC822Name("other@example.org"))),
        Identity(names=(x509.DNSName("example.org"),)),
        Identity(names=(x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), der.utf8("joe")),)),
        Identity(issuer=""),
        Identity(issuer="", claims=(("1.3.6.1.4.1.57264.1.1", "https://issuer.example"),)),
    ],
    ids=str,
)
def test_a_certificate_names_exactly_one_signer_and_its_issuer(
    identity: Identity, verifier: SigstoreVerifier, private: PrivateSigstore, trust_root: TrustRoot
) -> None:
    assert refusal(verifier, private.sign(STATEMENT, identity), trust_root).reason is Reason.EVIDENCE_INVALID


def test_a_username_is_read_as_text(
    verifier: SigstoreVerifier, private: PrivateSigstore, trust_root: TrustRoot
) -> None:
    name = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.7"), der.utf8("joe!corp.io"))
    evidence = verifier.verify(dumps(private.sign(STATEMENT, Identity(names=(name,)))), trust_root)
    assert evidence.signer.subject == "joe!corp.io"


def _statement(**changes: object) -> bytes:
    made = json.loads(STATEMENT) | changes
    return dumps({key: value for key, value in made.items() if value is not None})


SUBJECT = json.loads(STATEMENT)["subject"][0]


@pytest.mark.parametrize(
    "payload",
    [
        b"hello",
        b"[]",
        b"{}",
        STATEMENT + b" {}",
        b'{"_type":"x",' + STATEMENT[1:],
        STATEMENT.replace(b'"predicateType"', b'"predicatetype":"x","predicateType"'),
        _statement(_type="https://in-toto.io/Statement/v0.1"),
        _statement(subject=[]),
        _statement(subject=[SUBJECT, SUBJECT]),
        _statement(subject=[{"name": "d", "digest": {"sha512": "a" * 128}}]),
        _statement(subject=[{"name": "d", "digest": {"sha256": "A" * 64}}]),
        _statement(predicate=[]),
        _statement(predicate=None),
        _statement(predicate={}),
        _statement(predicate={**PREDICATE, "unheardOf": 1}),
        _statement(predicate={**PREDICATE, "critical": ["https://example.org/ext"]}),
        _statement(extra=1),
    ],
    ids=lambda payload: payload[:40].decode(),
)
def test_a_valid_signature_over_something_else_is_refused(
    payload: bytes, verifier: SigstoreVerifier, private: PrivateSigstore, trust_root: TrustRoot
) -> None:
    assert refusal(verifier, private.sign(payload), trust_root).reason is Reason.EVIDENCE_INVALID


def test_extensions_that_nobody_calls_critical_are_kept(
    verifier: SigstoreVerifier, private: PrivateSigstore, trust_root: TrustRoot
) -> None:
    payload = _statement(predicate={**PREDICATE, "extensions": {"https://example.org/ext": {"a": 1}}})
    assert verifier.verify(dumps(private.sign(payload)), trust_root).predicate["extensions"]


def test_another_payload_type_is_refused(
    verifier: SigstoreVerifier, private: PrivateSigstore, trust_root: TrustRoot
) -> None:
    bundle = private.sign(STATEMENT, payload_type="text/plain")
    assert refusal(verifier, bundle, trust_root).reason is Reason.EVIDENCE_INVALID


def test_duplicate_keys_in_the_bundle_are_refused(
    verifier: SigstoreVerifier, private: PrivateSigstore, trust_root: TrustRoot
) -> None:
    raw = dumps(private.sign(STATEMENT))
    assert verifier.verify(raw, trust_root)
    twice = raw.replace(b'"dsseEnvelope":', b'"dsseEnvelope": {"payload": ""}, "dsseEnvelope":')
    assert "duplicate" in refusal(verifier, twice, trust_root).message


@pytest.mark.parametrize("size", [600_000, 60_000_000])
def test_a_huge_bundle_is_refused_before_it_is_parsed(
    size: int, verifier: SigstoreVerifier, trust_root: TrustRoot
) -> None:
    huge = b"[" * size
    started = time.process_time()
    assert refusal(verifier, huge, trust_root).reason is Reason.EVIDENCE_TOO_LARGE
    assert time.process_time() - started < 5


@pytest.mark.parametrize("raw", [b"", b"{}", b"null", b"[" * 100_000, b'{"a":' * 5000, b"\xff", b'{"mediaType": 1}'])
def test_anything_else_is_no_bundle(raw: bytes, verifier: SigstoreVerifier, trust_root: TrustRoot) -> None:
    assert refusal(verifier, raw, trust_root).reason is Reason.EVIDENCE_INVALID


@pytest.mark.parametrize("text", ["{}", "[]", "nonsense", '{"mediaType":"x"}'])
def test_a_broken_trust_root_is_told_apart(text: str, verifier: SigstoreVerifier, private: PrivateSigstore) -> None:
    root = trustroot.make("r", text)
    assert refusal(verifier, private.sign(STATEMENT), root).reason is Reason.TRUST_ROOT_INVALID


def test_a_bundle_of_another_instance_is_refused(verifier: SigstoreVerifier, trust_root: TrustRoot) -> None:
    assert refusal(verifier, PrivateSigstore().sign(STATEMENT), trust_root).reason is Reason.EVIDENCE_INVALID


def test_no_changed_signed_byte_is_accepted(
    verifier: SigstoreVerifier, private: PrivateSigstore, trust_root: TrustRoot
) -> None:
    bundle = private.sign(STATEMENT)
    payload = bytearray(b64decode(bundle["dsseEnvelope"]["payload"]))
    for position in range(0, len(payload), 37):
        changed = bytes(payload[:position]) + bytes([payload[position] ^ 1]) + bytes(payload[position + 1 :])
        bundle["dsseEnvelope"]["payload"] = b64(changed)
        refusal(verifier, bundle, trust_root)
    bundle["dsseEnvelope"]["payload"] = b64(bytes(payload))
    assert verifier.verify(dumps(bundle), trust_root).signed_at == datetime(2026, 5, 1, 12, 0, 1, tzinfo=UTC)
