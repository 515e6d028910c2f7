"""Whose word counts for what, and until when: each rule has a case that only it refuses."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.evidence.samples import (
    INTEGRITY,
    ISSUER,
    MANIFEST,
    NOW,
    PREDICATE,
    ROOT,
    SUBJECT,
    a_dataset,
    a_policy,
    an_evidence,
    changed,
)

from lineward.domain import recall
from lineward.domain.errors import InvalidInputError
from lineward.domain.evidence import Evidence, Signer
from lineward.domain.judge import MAX_SKEW, Judgement, judge
from lineward.domain.plan import Refusal
from lineward.domain.reasons import Reason
from lineward.domain.verdict import Verdict

OTHER = "sha256:" + "99" * 32


def decide(*evidence: Evidence | Refusal, spec: dict[str, Any] | None = None, **policy: object) -> Judgement:
    return judge(a_dataset(**(spec or {})), evidence, a_policy(**policy), (), NOW)


def test_accepts_what_an_authority_signed() -> None:
    judged = decide(an_evidence())
    assert (judged.verdict, judged.reason) == (Verdict.VERIFIED, Reason.VERIFIED)
    assert judged.signers == (Signer(issuer=ISSUER, subject=SUBJECT),)
    assert SUBJECT in judged.message


def test_nothing_attested_is_refused() -> None:
    assert decide().reason is Reason.NO_ATTESTATION


def test_reports_the_first_of_several_refusals() -> None:
    first = Refusal(Reason.EVIDENCE_INVALID, "first")
    assert decide(first, Refusal(Reason.EVIDENCE_TOO_LARGE, "second")).message == "first"


def test_one_good_attestation_among_refused_ones_is_enough() -> None:
    assert decide(Refusal(Reason.EVIDENCE_INVALID, "x"), an_evidence()).verdict is Verdict.VERIFIED


@pytest.mark.parametrize(
    "signer",
    [
        Signer(issuer=ISSUER, subject="someone@else.org"),
        Signer(issuer="https://other.example", subject=SUBJECT),
        Signer(issuer=ISSUER, subject=SUBJECT + ".evil.org"),
        Signer(issuer=ISSUER, subject=SUBJECT.upper()),
        Signer(key="data-team"),
        Signer(issuer=ISSUER, subject=SUBJECT, key="data-team"),
        Signer(),
    ],
    ids=str,
)
def test_other_signers_do_not_count(signer: Signer) -> None:
    assert decide(an_evidence(signer=signer)).reason is Reason.WRONG_IDENTITY


def keyless(name: str = "ci", **identity: object) -> dict[str, Any]:
    return {"name": name, "keyless": {"issuer": ISSUER, **identity}}


@pytest.mark.parametrize(
    ("subject", "accepted"),
    [
        ("https://git.example/bank/etl/w.yml@refs/heads/main", True),
        ("https://git.example/bank/etl/w.yml@refs/heads/main\n", False),
        ("https://git.example/bank/etl/w.yml@refs/heads/main-evil", False),
        ("evil https://git.example/bank/etl/w.yml@refs/heads/main", False),
        ("https://gitXexample/bank/etl/w.yml@refs/heads/main", False),
        ("https://git.example/bank/" + "a" * 2000 + "/w.yml@refs/heads/main", False),
    ],
)
def test_patterns_match_in_full(subject: str, *, accepted: bool) -> None:
    pattern = r"^https://git\.example/bank/[a-z]+/w\.yml@refs/heads/main$"
    judged = decide(
        an_evidence(signer=Signer(issuer=ISSUER, subject=subject)), authorities=[keyless(subjectRegExp=pattern)]
    )
    assert (judged.verdict is Verdict.VERIFIED) is accepted


def test_numeric_repository_claims_must_be_there_and_equal() -> None:
    claims = {"sourceRepositoryIdentifier": "42", "sourceRepositoryOwnerIdentifier": "7"}
    authorities = [keyless(subject=SUBJECT, claims=claims)]
    oids = {"1.3.6.1.4.1.57264.1.15": "42", "1.3.6.1.4.1.57264.1.17": "7"}
    good = Signer(issuer=ISSUER, subject=SUBJECT, claims=oids)
    renamed = Signer(issuer=ISSUER, subject=SUBJECT, claims={**oids, "1.3.6.1.4.1.57264.1.15": "43"})
    assert decide(an_evidence(signer=good), authorities=authorities).verdict is Verdict.VERIFIED
    assert decide(an_evidence(signer=renamed), authorities=authorities).reason is Reason.WRONG_IDENTITY
    assert decide(an_evidence(), authorities=authorities).reason is Reason.WRONG_IDENTITY


def test_keys_count_by_name_and_by_content() -> None:
    evidence = an_evidence(signer=Signer(key="vault", key_digest=OTHER))
    assert decide(evidence, authorities=[{"name": "a", "key": {"name": "vault"}}]).verdict is Verdict.VERIFIED
    assert decide(evidence, authorities=[{"name": "a", "key": {"name": "hsm"}}]).reason is Reason.WRONG_IDENTITY
    pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
    assert decide(evidence, authorities=[{"name": "a", "key": {"pem": pem}}]).reason is Reason.WRONG_IDENTITY


TWO = [keyless("one", subject="one@x"), keyless("two", subject="two@x"), keyless("any", subjectRegExp="^.+@x$")]


def by(subject: str, **claims: str) -> Evidence:
    return an_evidence(signer=Signer(issuer=ISSUER, subject=subject, claims=claims))


def test_quorum_needs_distinct_signers_for_distinct_authorities() -> None:
    assert decide(by("one@x"), by("two@x"), authorities=TWO, quorum=2).verdict is Verdict.VERIFIED
    assert decide(by("one@x"), by("new@x"), authorities=TWO, quorum=2).verdict is Verdict.VERIFIED
    assert decide(by("one@x"), authorities=TWO, quorum=2).reason is Reason.QUORUM_NOT_MET
    assert decide(by("one@x"), by("one@x"), authorities=TWO, quorum=2).reason is Reason.QUORUM_NOT_MET
    other_run = by("one@x", run="2")
    assert decide(by("one@x", run="1"), other_run, authorities=TWO, quorum=2).reason is Reason.QUORUM_NOT_MET
    assert decide(by("new@x"), by("newer@x"), authorities=TWO, quorum=2).reason is Reason.QUORUM_NOT_MET


def test_another_predicate_type_is_no_provenance() -> None:
    assert decide(an_evidence(predicate_type="https://slsa.dev/provenance/v1")).reason is Reason.WRONG_PREDICATE_TYPE


def test_dataset_provenance_is_required_beside_other_types() -> None:
    other = "https://in-toto.io/attestation/svr/v0.2"
    require = [{"predicateType": other}]
    reviewed = an_evidence(predicate_type=other)
    assert decide(reviewed, require=require).reason is Reason.WRONG_PREDICATE_TYPE
    assert decide(an_evidence(), require=require).reason is Reason.WRONG_PREDICATE_TYPE
    assert decide(an_evidence(), reviewed, require=require).verdict is Verdict.VERIFIED
    elsewhere = an_evidence(predicate_type=other, subject=OTHER)
    assert decide(an_evidence(), elsewhere, require=require).reason is Reason.SPEC_MISMATCH


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("dataset", "other"),
        ("version", "1.0.1"),
        ("integrity", {**INTEGRITY, "root": OTHER}),
        ("integrity", {**INTEGRITY, "profile": "posix"}),
        ("integrity", {**INTEGRITY, "chunkBytes": 4096}),
        ("integrity", {**INTEGRITY, "files": 4}),
        ("integrity", {**INTEGRITY, "bytes": 1}),
        ("integrity", {**INTEGRITY, "manifest": {"digest": OTHER, "size": 1234}}),
        ("integrity", {**INTEGRITY, "manifest": {"digest": MANIFEST, "size": 1}}),
    ],
)
def test_a_relabelled_version_is_refused(member: str, value: object) -> None:
    assert decide(an_evidence(), spec={member: value}).reason is Reason.SPEC_MISMATCH


def test_a_version_need_not_say_where_its_manifest_is() -> None:
    bare = {key: value for key, value in INTEGRITY.items() if key != "manifest"}
    assert decide(an_evidence(), spec={"integrity": bare}).verdict is Verdict.VERIFIED


def test_the_statement_must_be_about_the_manifest_it_names() -> None:
    bare = {key: value for key, value in INTEGRITY.items() if key != "manifest"}
    assert decide(an_evidence(subject=OTHER), spec={"integrity": bare}).reason is Reason.SPEC_MISMATCH


def test_age_is_judged_at_each_decision() -> None:
    def require(age: str) -> list[dict[str, Any]]:
        return [{"predicateType": an_evidence().predicate_type, "maxAge": age}]

    assert decide(an_evidence(), require=require("8760h")).verdict is Verdict.VERIFIED
    assert decide(an_evidence(), require=require("24h")).reason is Reason.ATTESTATION_TOO_OLD
    timeless = replace(an_evidence(signed_at=None), not_after=NOW)
    assert decide(timeless, require=require("8760h")).reason is Reason.ATTESTATION_TOO_OLD
    assert decide(timeless).verdict is Verdict.VERIFIED


def test_a_renewed_stamp_makes_nothing_younger_than_its_signer_says() -> None:
    """Whoever passes a key's bundle on can have the same signature stamped again."""
    require = [{"predicateType": an_evidence().predicate_type, "maxAge": "24h"}]
    said = changed(PREDICATE, "createdAt", "2026-05-31T12:00:00Z")
    assert decide(an_evidence(said, signed_at=NOW), require=require).verdict is Verdict.VERIFIED
    said = changed(PREDICATE, "createdAt", "2026-05-31T11:59:59Z")
    judged = decide(an_evidence(said, signed_at=NOW), require=require)
    assert (judged.reason, "made at 2026-05-31" in judged.message) == (Reason.ATTESTATION_TOO_OLD, True)


def test_nothing_is_signed_before_it_was_made() -> None:
    for signed_at in (NOW, None):
        for late, verdict in ((timedelta(), Verdict.VERIFIED), (timedelta(seconds=1), Verdict.REFUSED)):
            made = f"{NOW + MAX_SKEW + late:%Y-%m-%dT%H:%M:%SZ}"
            evidence = an_evidence(changed(PREDICATE, "createdAt", made), signed_at=signed_at)
            judged = decide(replace(evidence, not_after=NOW))
            assert judged.verdict is verdict
            assert verdict is Verdict.VERIFIED or judged.reason is Reason.OUTSIDE_VALIDITY


def test_without_a_signing_time_the_key_must_be_valid_now() -> None:
    timeless = an_evidence(signed_at=None)
    second = timedelta(seconds=1)
    assert decide(timeless).reason is Reason.OUTSIDE_VALIDITY
    assert decide(replace(timeless, not_after=NOW - second)).reason is Reason.OUTSIDE_VALIDITY
    future = replace(timeless, not_before=NOW + second, not_after=NOW + 2 * second)
    assert decide(future).reason is Reason.OUTSIDE_VALIDITY
    assert decide(replace(timeless, not_before=NOW, not_after=NOW)).verdict is Verdict.VERIFIED


def test_a_signature_from_the_future_is_refused() -> None:
    assert decide(an_evidence(signed_at=NOW + MAX_SKEW)).verdict is Verdict.VERIFIED
    later = NOW + MAX_SKEW + timedelta(seconds=1)
    assert decide(an_evidence(signed_at=later)).reason is Reason.OUTSIDE_VALIDITY


@pytest.mark.parametrize(
    ("member", "value"), [("expires", "2026-06-01T11:59:59Z"), ("notBefore", "2026-06-01T12:00:01Z")]
)
def test_use_outside_the_signed_window_is_refused(member: str, value: str) -> None:
    assert decide(an_evidence(changed(PREDICATE, f"use/{member}", value))).reason is Reason.CONSTRAINT_NOT_MET


@pytest.mark.parametrize("state", ["quarantined", "revoked"])
def test_only_an_active_version_is_accepted(state: str) -> None:
    judged = decide(an_evidence(), spec={"lifecycle": {"state": state, "reason": "leak"}})
    assert (judged.reason, "leak" in judged.message) == (Reason.NOT_ACTIVE, True)


@pytest.mark.parametrize(
    ("fields", "withdrawn"),
    [
        ({"dataset": "german-credit"}, True),
        ({"dataset": "german-credit", "version": "1.0.0"}, True),
        ({"dataset": "german-credit", "version": "0.9.0"}, False),
        ({"root": ROOT}, True),
        ({"root": OTHER}, False),
        ({"source": "s3://bank/credit.csv"}, True),
        ({"source": "s3://bank/credit"}, False),
        ({"consent": "consent-2025-17"}, True),
        ({"consent": "consent-2025-1"}, False),
        ({"signer": {"subject": SUBJECT}}, True),
        ({"signer": {"issuer": ISSUER}}, True),
        ({"signer": {"issuer": ISSUER, "subject": "x@y"}}, False),
        ({"dataset": "other", "source": "s3://bank/credit.csv"}, False),
    ],
)
def test_recalls_take_effect(fields: dict[str, Any], *, withdrawn: bool) -> None:
    called = recall.parse({"metadata": {"name": "r"}, "spec": {"reason": "why", **fields}})
    judged = judge(a_dataset(), [an_evidence()], a_policy(), [called], NOW)
    assert (judged.reason is Reason.RECALLED) is withdrawn


def test_a_recalled_signer_leaves_the_word_of_others_standing() -> None:
    called = recall.parse({"metadata": {"name": "r"}, "spec": {"reason": "why", "signer": {"subject": "one@x"}}})
    dataset = a_dataset()
    both = [by("one@x"), by("two@x")]
    assert judge(dataset, both, a_policy(authorities=TWO), [called], NOW).verdict is Verdict.VERIFIED
    assert judge(dataset, both, a_policy(authorities=TWO, quorum=2), [called], NOW).reason is Reason.QUORUM_NOT_MET


def test_recalled_data_is_refused_even_where_one_signer_left_the_source_out() -> None:
    silent = an_evidence(changed(PREDICATE, "sources", []), Signer(issuer=ISSUER, subject="two@x"))
    called = recall.parse({"metadata": {"name": "r"}, "spec": {"reason": "why", "source": "s3://bank/credit.csv"}})
    judged = judge(a_dataset(), [silent, by("one@x")], a_policy(authorities=TWO), [called], NOW)
    assert judged.reason is Reason.RECALLED


def test_a_recall_of_everything_is_not_a_recall() -> None:
    with pytest.raises(InvalidInputError):
        recall.parse({"metadata": {"name": "r"}, "spec": {"reason": "why"}})


CONSENT = PREDICATE["sources"][0]["consent"]


@pytest.mark.parametrize(
    ("constraint", "good", "path", "bad"),
    [
        ({"licenses": ["CC-BY-4.0"]}, PREDICATE, "use/license", "Proprietary"),
        ({"licenses": ["CC-BY-4.0"]}, PREDICATE, "use/license", ...),
        ({"classifications": ["public", "internal"]}, PREDICATE, "use/classification", "secret"),
        ({"purposes": ["credit-scoring"]}, PREDICATE, "use/purposes", ["research"]),
        ({"purposes": ["credit-scoring"]}, PREDICATE, "use/prohibited", ["credit-scoring"]),
        ({"sourceSystems": ["s3"]}, PREDICATE, "sources", []),
        ({"sourceSystems": ["s3"]}, PREDICATE, "sources", [{"uri": "x", "system": "git"}]),
        ({"sources": "Required"}, PREDICATE, "sources", ...),
        ({"consent": "Required"}, PREDICATE, "sources", []),
        ({"consent": "Required"}, PREDICATE, "sources/0/consent", ...),
        ({"consent": "Required"}, PREDICATE, "sources/0/consent/status", "withdrawn"),
        ({"consent": "Required"}, PREDICATE, "sources/0/consent/validUntil", "2026-05-31T00:00:00Z"),
        ({"consent": "Required"}, PREDICATE, "sources/0/consent/validFrom", "2026-06-02T00:00:00Z"),
        ({"codeCommit": "Required"}, PREDICATE, "transformations", []),
        ({"codeCommit": "Required"}, PREDICATE, "transformations/0/code", ...),
        ({"personalData": "Forbidden"}, changed(PREDICATE, "use/personalData", False), "use/personalData", True),
        ({"personalData": "Forbidden"}, changed(PREDICATE, "use/personalData", False), "use/personalData", ...),
        ({"qualityChecks": "Passed"}, PREDICATE, "quality/checks", []),
        ({"qualityChecks": "Passed"}, PREDICATE, "quality/checks/0/passed", False),
    ],
)
def test_constraints_hold_over_the_signed_predicate(
    constraint: dict[str, Any], good: dict[str, Any], path: str, bad: object
) -> None:
    require = [{"predicateType": an_evidence().predicate_type, "constraints": constraint}]
    assert decide(an_evidence(good), require=require).verdict is Verdict.VERIFIED
    assert decide(an_evidence(changed(good, path, bad)), require=require).reason is Reason.CONSTRAINT_NOT_MET


def test_the_objection_that_got_furthest_is_reported() -> None:
    require = [{"predicateType": an_evidence().predicate_type, "maxAge": "24h"}]
    judged = decide(Refusal(Reason.EVIDENCE_INVALID, "x"), by("x@y"), an_evidence(), require=require)
    assert judged.reason is Reason.ATTESTATION_TOO_OLD


def test_every_refusal_fits_its_place() -> None:
    long = "x" * 1024
    for judged in (
        decide(an_evidence(signer=Signer(issuer=long, subject=long))),
        decide(Refusal(Reason.EVIDENCE_INVALID, long)),
        decide(an_evidence(), spec={"lifecycle": {"state": "revoked", "reason": long}}),
    ):
        assert len(judged.message) <= 300
