"""What Rekor v1 promises: the entry's time, signed with the entry; Rekor v2 has none and needs timestamps."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.private_sigstore.entries import DSSE, HASHEDREKORD, INTOTO, Kind
from tests.private_sigstore.instance import END, SIGNED_AT, START, Faults, PrivateSigstore, dumps
from tests.unit.evidence.test_bindings import ENDLESS, entry, refusal, root
from tests.unit.evidence.test_key_bundles import KEY, STATEMENT

from lineward.adapters.sigstore import SigstoreVerifier
from lineward.domain.errors import LinewardError
from lineward.domain.evidence import KeyAnchor
from lineward.domain.reasons import Reason

SECOND = timedelta(seconds=1)
PROMISED_AT = SIGNED_AT + SECOND
NO_STAMPS = Faults(timestamps=0)
BY_CERTIFICATE = [DSSE, INTOTO]
ALL = [(False, DSSE), (False, INTOTO), (True, DSSE), (True, HASHEDREKORD)]


def bundle(private: PrivateSigstore, kind: Kind, faults: Faults = NO_STAMPS, *, key: bool) -> dict[str, Any]:
    if key:
        return private.sign_with_key(STATEMENT, KEY, SIGNED_AT, faults, logged=True, kind=kind)
    return private.sign(STATEMENT, kind=kind, faults=faults)


@pytest.mark.parametrize(("key", "kind"), ALL, ids=str)
def test_a_promise_is_a_time(kind: Kind, verifier: SigstoreVerifier, private: PrivateSigstore, *, key: bool) -> None:
    good = bundle(private, kind, key=key)
    assert verifier.verify(dumps(good), root(private.trusted_root(), ENDLESS)).signed_at == PROMISED_AT


@pytest.mark.parametrize(("key", "kind"), ALL, ids=str)
def test_a_promise_by_another_key_is_refused(
    kind: Kind, verifier: SigstoreVerifier, private: PrivateSigstore, *, key: bool
) -> None:
    bad = bundle(private, kind, Faults(wrong_promise=True), key=key)
    assert "SET: invalid" in refusal(verifier, bad, root(private.trusted_root(), ENDLESS)).message


@pytest.mark.parametrize(("key", "kind"), ALL, ids=str)
def test_another_time_than_was_promised_is_refused(
    kind: Kind, verifier: SigstoreVerifier, private: PrivateSigstore, *, key: bool
) -> None:
    bad = bundle(private, kind, key=key)
    entry(bad)["integratedTime"] = str(int(SIGNED_AT.timestamp()))
    assert "SET: invalid" in refusal(verifier, bad, root(private.trusted_root(), ENDLESS)).message


@pytest.mark.parametrize(("key", "kind"), ALL, ids=str)
@pytest.mark.parametrize("promised", [SIGNED_AT, SIGNED_AT + 5 * SECOND])
def test_the_earliest_of_promise_and_timestamp_counts(
    kind: Kind, promised: datetime, verifier: SigstoreVerifier, private: PrivateSigstore, *, key: bool
) -> None:
    both = bundle(private, kind, Faults(integrated_at=promised), key=key)
    signed_at = verifier.verify(dumps(both), root(private.trusted_root(), ENDLESS)).signed_at
    assert signed_at == min(promised, SIGNED_AT + SECOND)


@pytest.mark.parametrize(("key", "kind"), ALL, ids=str)
def test_the_logs_window_is_a_closed_interval_at_the_promised_time(
    kind: Kind, verifier: SigstoreVerifier, private: PrivateSigstore, *, key: bool
) -> None:
    good = dumps(bundle(private, kind, key=key))

    def judged(start: datetime, end: datetime) -> Reason | None:
        try:
            verifier.verify(good, root(private.trusted_root(rekor=(start, end)), ENDLESS))
        except LinewardError as error:
            return error.reason
        return None

    assert judged(START, PROMISED_AT) is None
    assert judged(PROMISED_AT, END) is None
    assert judged(START, PROMISED_AT - SECOND) is Reason.OUTSIDE_VALIDITY
    assert judged(PROMISED_AT + SECOND, END) is Reason.OUTSIDE_VALIDITY


@pytest.mark.parametrize("kind", BY_CERTIFICATE, ids=str)
@pytest.mark.parametrize(("start", "end"), [(START, PROMISED_AT - SECOND), (PROMISED_AT + SECOND, END)])
def test_the_authoritys_window_holds_at_the_promised_time(
    kind: Kind, start: datetime, end: datetime, verifier: SigstoreVerifier, private: PrivateSigstore
) -> None:
    good = bundle(private, kind, key=False)
    edge = root(private.trusted_root(fulcio=(PROMISED_AT, PROMISED_AT)))
    assert verifier.verify(dumps(good), edge)
    refused = refusal(verifier, good, root(private.trusted_root(fulcio=(start, end))))
    assert refused.reason is Reason.OUTSIDE_VALIDITY


@pytest.mark.parametrize("kind", BY_CERTIFICATE, ids=str)
@pytest.mark.parametrize("off", [timedelta(seconds=-1), timedelta(minutes=10, seconds=1)])
def test_a_certificate_was_valid_when_the_log_took_the_entry(
    kind: Kind, off: timedelta, verifier: SigstoreVerifier, private: PrivateSigstore
) -> None:
    late = bundle(private, kind, Faults(timestamps=0, integrated_at=SIGNED_AT + off), key=False)
    assert "not valid at validation time" in refusal(verifier, late, root(private.trusted_root())).message


@pytest.mark.parametrize(("start", "end"), [(START, SIGNED_AT), (PROMISED_AT + SECOND, END)])
def test_a_keys_window_holds_at_the_promised_time(
    start: datetime, end: datetime, verifier: SigstoreVerifier, private: PrivateSigstore
) -> None:
    anchor = KeyAnchor("vault", ENDLESS.pem, start, end)
    good = bundle(private, DSSE, key=True)
    assert refusal(verifier, good, root(private.trusted_root(), anchor)).reason is Reason.OUTSIDE_VALIDITY


@pytest.mark.parametrize("kind", BY_CERTIFICATE, ids=str)
def test_a_time_without_its_promise_is_none(kind: Kind, verifier: SigstoreVerifier, private: PrivateSigstore) -> None:
    """CVE-2024-55655: only the promise signs the integrated time."""
    trust_root = root(private.trusted_root())
    stripped = bundle(private, kind, Faults(integrated_at=SIGNED_AT), key=False)
    assert verifier.verify(dumps(stripped), trust_root).signed_at == SIGNED_AT
    del entry(stripped)["inclusionPromise"]
    assert verifier.verify(dumps(stripped), trust_root).signed_at == SIGNED_AT + SECOND
    del stripped["verificationMaterial"]["timestampVerificationData"]
    assert refusal(verifier, stripped, trust_root).reason is Reason.EVIDENCE_INVALID
