"""Says step by step how a verdict comes about, with the very rules that `judge` applies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from lineward.domain.constraints import NO_CONSTRAINTS
from lineward.domain.dataset import DatasetVersion
from lineward.domain.evidence import Evidence
from lineward.domain.judge import RULES, Bench, Case, provenance_of
from lineward.domain.plan import Refusal
from lineward.domain.policy import Policy, Requirement
from lineward.domain.reasons import Reason
from lineward.domain.recall import Recall


class Outcome(StrEnum):
    """How a step went."""

    PASSED = "passed"
    REFUSED = "refused"
    NOT_APPLICABLE = "notApplicable"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a verification, ready for people; `reason` is there where it was refused, or could not be told."""

    name: str
    outcome: Outcome
    detail: str = ""
    reason: Reason | None = None


def signature_steps(evidence: Sequence[Evidence | Refusal]) -> list[Step]:
    """One step per attestation: does it verify, and who signed what when."""
    return [_signature(f"signature of attestation {i}", item) for i, item in enumerate(evidence, 1)]


def _signature(name: str, item: Evidence | Refusal) -> Step:
    if isinstance(item, Refusal):
        return Step(name, Outcome.REFUSED, item.message, item.reason)
    when = f"{item.signed_at:%Y-%m-%dT%H:%M:%SZ}" if item.signed_at else "an unknown time"
    return Step(name, Outcome.PASSED, f"{item.signer} at {when}")


def policy_steps(
    dataset: DatasetVersion,
    evidence: Sequence[Evidence | Refusal],
    policy: Policy,
    recalls: Sequence[Recall],
    now: datetime,
) -> list[Step]:
    """One step per requirement, attestation that verifies, and rule; rules after an objection are not applicable."""
    steps: list[Step] = []
    for requirement in policy.require:
        bench = Bench(dataset, policy, requirement, recalls, now)
        for i, item in enumerate(evidence, 1):
            if isinstance(item, Evidence):
                where = f"{policy.name}, attestation {i}, {_short(requirement)}: "
                steps += _rule_steps(where, Case(bench, item, provenance_of(item)))
    return steps


def _rule_steps(where: str, case: Case) -> list[Step]:
    steps: list[Step] = []
    stopped = False
    for name, rule in RULES.items():
        objection = None if stopped else rule(case)
        if objection:
            stopped = True
            steps.append(Step(where + name, Outcome.REFUSED, objection[1], objection[0]))
        elif stopped or not _APPLIES.get(name, _always)(case):
            detail = "refused before" if stopped else "nothing asked"
            steps.append(Step(where + name, Outcome.NOT_APPLICABLE, detail))
        else:
            steps.append(Step(where + name, Outcome.PASSED))
    return steps


def _short(requirement: Requirement) -> str:
    return requirement.predicate_type.removeprefix("https://").removeprefix("lineward.dev/attestations/")


def _always(_: Case) -> bool:
    return True


def _limited_use(case: Case) -> bool:
    said = case.provenance
    return said is not None and bool(said.use.not_before or said.use.expires)


_APPLIES: Mapping[str, Callable[[Case], bool]] = {
    "signer not recalled": lambda case: any(recall.names_signer for recall in case.bench.recalls),
    "data not recalled": lambda case: any(not recall.names_signer for recall in case.bench.recalls),
    "equal to what was signed": lambda case: case.provenance is not None,
    "time of use": _limited_use,
    "constraints": lambda case: case.bench.requirement.constraints != NO_CONSTRAINTS,
}
