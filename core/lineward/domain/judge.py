"""Decides whether verified evidence makes a policy accept a DatasetVersion, at one moment.

Called at every admission with evidence verified long before, so it must cost microseconds: it compares parsed values
and parses nothing. Everything that time changes (age, expiry, consent, recalls) is judged here, never cached.

An attestation is taken through the rules in order and stops at the first objection; where no quorum is reached, the
objection that got furthest is reported, since it is the one closest to being mended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from lineward.domain import provenance as provenances
from lineward.domain.claims import difference
from lineward.domain.dataset import DatasetVersion, Lifecycle
from lineward.domain.errors import LinewardError
from lineward.domain.evidence import Evidence, Signer
from lineward.domain.plan import Refusal
from lineward.domain.policy import Authority, Policy, Requirement
from lineward.domain.provenance import Provenance
from lineward.domain.reasons import Reason
from lineward.domain.recall import Recall
from lineward.domain.statement import DATASET_PROVENANCE
from lineward.domain.verdict import Verdict

MAX_SKEW = timedelta(minutes=5)
"""How far in the future a signing time may lie: clocks of signer, authority and cluster differ a little."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on a DatasetVersion under one policy. `signers` are those whose word was accepted."""

    verdict: Verdict
    reason: Reason
    message: str
    signers: tuple[Signer, ...] = ()


@dataclass(frozen=True, slots=True)
class Bench:
    """What all evidence for one requirement is judged by."""

    dataset: DatasetVersion
    policy: Policy
    requirement: Requirement
    recalls: Sequence[Recall]
    now: datetime


@dataclass(frozen=True, slots=True)
class Case:
    """One piece of evidence before the bench; `provenance` is None where the predicate is of another type."""

    bench: Bench
    evidence: Evidence
    provenance: Provenance | None


Objection = tuple[Reason, str]
Rule = Callable[[Case], Objection | None]


def judge(
    dataset: DatasetVersion,
    evidence: Sequence[Evidence | Refusal],
    policy: Policy,
    recalls: Sequence[Recall],
    now: datetime,
) -> Judgement:
    """Judge a DatasetVersion under a policy.

    `evidence` has one item per attestation: what it proves, or why it was refused. Raises nothing.
    """
    if dataset.lifecycle is not Lifecycle.ACTIVE:
        why = f": {dataset.lifecycle_reason}" if dataset.lifecycle_reason else ""
        return _refused(Reason.NOT_ACTIVE, f"it is {dataset.lifecycle}{why}")
    if not policy.authorities:
        return _refused(Reason.POLICY_INVALID, "the policy names no authority")
    signers: list[Signer] = []
    for requirement in policy.require:
        met = _met(evidence, Bench(dataset, policy, requirement, recalls, now))
        if isinstance(met, Judgement):
            return met
        signers += [signer for signer in met if signer not in signers]
    names = ", ".join(map(str, signers))
    return Judgement(Verdict.VERIFIED, Reason.VERIFIED, f"attested by {names}"[:300], tuple(signers))


def _met(evidence: Sequence[Evidence | Refusal], bench: Bench) -> Judgement | list[Signer]:
    accepted: list[Signer] = []
    furthest: tuple[int, Objection] = (-2, (Reason.NO_ATTESTATION, "it carries no attestation"))
    for item in evidence:
        if isinstance(item, Refusal):
            furthest = _further(furthest, -1, (item.reason, item.message))
            continue
        case = Case(bench, item, provenance_of(item))
        stage, objection = _first_objection(case)
        if objection is None:
            accepted.append(item.signer)
        elif objection[0] is Reason.RECALLED and stage == _DATA_RECALLED:
            return _refused(*objection)
        else:
            furthest = _further(furthest, stage, objection)
    reached = _distinct(bench.policy.authorities, accepted)
    if reached >= bench.policy.quorum:
        return accepted
    if accepted:
        return _refused(Reason.QUORUM_NOT_MET, f"{reached} of {bench.policy.quorum} authorities attested it")
    return _refused(*furthest[1])


def _further(best: tuple[int, Objection], stage: int, objection: Objection) -> tuple[int, Objection]:
    return (stage, objection) if stage > best[0] else best


def _first_objection(case: Case) -> tuple[int, Objection | None]:
    for stage, rule in enumerate(RULES.values()):
        if objection := rule(case):
            return stage, objection
    return len(RULES), None


def provenance_of(evidence: Evidence) -> Provenance | None:
    """The parsed predicate; None where it is of another type, or not what its type says."""
    if evidence.provenance is not None or evidence.predicate_type != DATASET_PROVENANCE:
        return evidence.provenance
    try:
        return provenances.parse(evidence.predicate)
    except LinewardError:
        return None


def _predicate_type(case: Case) -> Objection | None:
    if case.evidence.predicate_type != case.bench.requirement.predicate_type:
        return Reason.WRONG_PREDICATE_TYPE, f"the statement is a {case.evidence.predicate_type[:120]}"
    if case.evidence.predicate_type == DATASET_PROVENANCE and case.provenance is None:
        return Reason.EVIDENCE_INVALID, "the predicate is not what its type says"
    return None


def _authority(case: Case) -> Objection | None:
    if any(authority.accepts(case.evidence.signer) for authority in case.bench.policy.authorities):
        return None
    return Reason.WRONG_IDENTITY, f"signed by {str(case.evidence.signer)[:150]}, no authority of the policy"


def _signer_recalled(case: Case) -> Objection | None:
    return _recalled(case, signer=True)


def _same_subject(case: Case) -> Objection | None:
    manifest = case.bench.dataset.integrity.manifest
    if manifest is not None and manifest.digest == case.evidence.subject:
        return None
    if manifest is None and case.provenance is not None:
        return None
    return Reason.SPEC_MISMATCH, "the signed subject is not this version's manifest"


def _same_as_signed(case: Case) -> Objection | None:
    if case.provenance is None:
        return None
    said = difference(case.bench.dataset, case.evidence.subject, case.provenance)
    return (Reason.SPEC_MISMATCH, said) if said else None


def _data_recalled(case: Case) -> Objection | None:
    return _recalled(case, signer=False)


def _recalled(case: Case, *, signer: bool) -> Objection | None:
    for recall in case.bench.recalls:
        if recall.names_signer is signer and recall.covers(case.bench.dataset, case.provenance, case.evidence.signer):
            return Reason.RECALLED, f"recalled by {recall.name}: {recall.reason}"[:250]
    return None


def _age(case: Case) -> Objection | None:
    signed_at, now = case.evidence.signed_at, case.bench.now
    if signed_at is None and not _within(case.evidence, now):
        return Reason.OUTSIDE_VALIDITY, "it has no trusted signing time, and the key is not valid now"
    if signed_at is not None and signed_at > now + MAX_SKEW:
        return Reason.OUTSIDE_VALIDITY, f"signed in the future, at {signed_at:%Y-%m-%dT%H:%M:%SZ}"
    created = case.provenance.created_at if case.provenance else None
    if created is not None and created > (signed_at or now) + MAX_SKEW:
        return Reason.OUTSIDE_VALIDITY, f"it says it was made at {created:%Y-%m-%dT%H:%M:%SZ}, after its signature"
    limit = case.bench.requirement.max_age
    return _too_old(signed_at, created, now - limit) if limit is not None else None


def _too_old(signed_at: datetime | None, created: datetime | None, oldest: datetime) -> Objection | None:
    """The signer's own time counts too: whoever passes a key's bundle on can have it stamped anew."""
    if signed_at is None:
        return Reason.ATTESTATION_TOO_OLD, "it has no trusted signing time, and the policy limits its age"
    first = min(signed_at, created or signed_at)
    if first >= oldest:
        return None
    said = f"{'signed' if first == signed_at else 'made'} at {first:%Y-%m-%dT%H:%M:%SZ}"
    return Reason.ATTESTATION_TOO_OLD, f"{said}, longer ago than the policy allows"


def _within(evidence: Evidence, now: datetime) -> bool:
    """A key without an end of validity never counts without a signing time."""
    begun = evidence.not_before is None or evidence.not_before <= now
    return begun and evidence.not_after is not None and now <= evidence.not_after


def _validity(case: Case) -> Objection | None:
    if case.provenance is None:
        return None
    use = case.provenance.use
    if use.not_before is not None and case.bench.now < use.not_before:
        return Reason.CONSTRAINT_NOT_MET, f"not to be used before {use.not_before:%Y-%m-%dT%H:%M:%SZ}"
    if use.expires is not None and case.bench.now > use.expires:
        return Reason.CONSTRAINT_NOT_MET, f"its use expired at {use.expires:%Y-%m-%dT%H:%M:%SZ}"
    return None


def _constraints(case: Case) -> Objection | None:
    if case.provenance is None:
        return None
    said = case.bench.requirement.constraints.objection(case.provenance, case.bench.now)
    return (Reason.CONSTRAINT_NOT_MET, said) if said else None


RULES: Mapping[str, Rule] = {
    "predicate type": _predicate_type,
    "authority": _authority,
    "signer not recalled": _signer_recalled,
    "subject": _same_subject,
    "equal to what was signed": _same_as_signed,
    "data not recalled": _data_recalled,
    "age": _age,
    "time of use": _validity,
    "constraints": _constraints,
}
"""In the order in which a person would ask: what is it, who says so, of what, and does it still hold."""
_DATA_RECALLED = list(RULES).index("data not recalled")


def _distinct(authorities: Sequence[Authority], signers: Sequence[Signer]) -> int:
    """Count authorities that can be paired with signers one to one: one signer never stands for two authorities.

    A signer is one identity or one key, whatever run or commit its certificate was made for.
    """
    if len(signers) < 2:
        return len(signers)
    paired: dict[int, int] = {}
    different = {signer.identity: signer for signer in signers}
    accepts = [[a for a, authority in enumerate(authorities) if authority.accepts(s)] for s in different.values()]

    def pair(signer: int, tried: set[int]) -> bool:
        for authority in accepts[signer]:
            if authority in tried:
                continue
            tried.add(authority)
            if authority not in paired or pair(paired[authority], tried):
                paired[authority] = signer
                return True
        return False

    return sum(pair(signer, set()) for signer in range(len(accepts)))


def _refused(reason: Reason, message: str) -> Judgement:
    return Judgement(Verdict.REFUSED, reason, message[:300])
