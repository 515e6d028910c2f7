"""Judges what was gathered, the way the webhook does, and shows it step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lineward.adapters.sigstore import SigstoreVerifier
from lineward.adapters.sources import NAMELESS, Inputs
from lineward.cli import exits
from lineward.cli.terminal import show
from lineward.domain import explain
from lineward.domain.dataset import Attestation, DatasetVersion
from lineward.domain.digest import Digest
from lineward.domain.errors import LinewardError
from lineward.domain.evidence import Evidence, TrustRoot
from lineward.domain.explain import Outcome, Step
from lineward.domain.judge import judge
from lineward.domain.matching import not_at_hand
from lineward.domain.plan import Refusal
from lineward.domain.reasons import Reason
from lineward.domain.verdict import Verdict


@dataclass(slots=True)
class Report:
    """The verdict on one DatasetVersion, bundle or folder, with the steps that led to it."""

    subject: str
    verdict: Verdict = Verdict.VERIFIED
    reason: Reason = Reason.VERIFIED
    message: str = ""
    steps: list[Step] = field(default_factory=list)

    @classmethod
    def untold(cls, subject: str, error: LinewardError) -> Report:
        """The report on something that could not be looked at."""
        made = cls(subject)
        made.refuse(Verdict.UNKNOWN, error.reason, error.message)
        return made

    def refuse(self, verdict: Verdict, reason: Reason, message: str) -> None:
        """Take a worse verdict; the first of its kind stays."""
        if self.verdict is Verdict.VERIFIED or (self.verdict, verdict) == (Verdict.UNKNOWN, Verdict.REFUSED):
            self.verdict, self.reason, self.message = verdict, reason, message

    def value(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "subject": self.subject,
            "verdict": str(self.verdict),
            "reason": str(self.reason),
            "message": self.message,
            "steps": [
                {
                    "name": step.name,
                    "outcome": str(step.outcome),
                    "detail": step.detail,
                    **({"reason": str(step.reason)} if step.reason else {}),
                }
                for step in self.steps
            ],
        }

    def rows(self) -> list[tuple[str, str]]:
        """The report for people."""
        rows = [(_WORDS[step.outcome], _line(step)) for step in self.steps]
        rows.append((str(self.verdict).upper(), f"{self.subject}: {self.message}" if self.message else self.subject))
        if self.reason is not Reason.VERIFIED:
            step = _NEXT_STEPS.get(self.reason, self.reason.next_step)
            rows.append(("next step", f"{step} ({self.reason.docs()})"))
        return rows


_EXITS = {Verdict.REFUSED: exits.DIFFERS, Verdict.UNKNOWN: exits.UNKNOWN, Verdict.VERIFIED: exits.OK}
_NEXT_STEPS = {
    Reason.TRUST_ROOT_MISSING: "give the trust root that the policy names, once: --trust-root FILE",
    Reason.NO_VERDICT: "give the folder too: lineward verify DIR TARGET",
}
"""Where what helps in a cluster does not help here."""
_BARE_KEY = Step(
    "window of the key",
    Outcome.NOT_APPLICABLE,
    "key given without a window: it counts for this check only; in a cluster a TrustRoot needs notAfter "
    "(lineward trust-root from-key)",
)
_WORDS = {Outcome.PASSED: "passed", Outcome.REFUSED: "REFUSED", Outcome.NOT_APPLICABLE: "-"}


def _line(step: Step) -> str:
    detail = f"{step.reason}: {step.detail}" if step.reason else step.detail
    return f"{step.name}: {detail}" if detail else step.name


def conclude(reports: Sequence[Report], fmt: str) -> int:
    """Print all reports; 0 where all are verified, 1 where one is refused, 2 where one could not be told."""
    verdicts = [report.verdict for report in reports]
    worst = next(v for v in (Verdict.REFUSED, Verdict.UNKNOWN, Verdict.VERIFIED) if v in verdicts)
    value = {"verdict": str(worst), "reports": [report.value() for report in reports]}
    show(value, [row for report in reports for row in report.rows()], fmt)
    return _EXITS[worst]


def signature_steps(evidence: Sequence[Evidence | Refusal], root: TrustRoot) -> list[Step]:
    """One step per attestation, and a word on keys that count for this check only."""
    steps = explain.signature_steps(evidence)
    timeless = [item.signer for item in evidence if isinstance(item, Evidence) and item.signed_at is None]
    return [*steps, _BARE_KEY] if timeless and root.name == NAMELESS else steps


class Judge:
    """Judges DatasetVersions by all given policies; each bundle is verified once per trust root."""

    def __init__(self, inputs: Inputs, now: datetime) -> None:
        self._inputs, self._now = inputs, now
        self._verifier = SigstoreVerifier()
        self._seen: dict[tuple[bytes, Digest], Evidence | Refusal] = {}

    def version(self, dataset: DatasetVersion) -> Report:
        """Judge a DatasetVersion; unknown where a trust root is missing."""
        report = Report(f"{dataset.dataset} {dataset.version}")
        shown: set[Digest] = set()
        for policy in self._inputs.policies:
            try:
                root = self._inputs.trust_root_of(policy)
            except LinewardError as error:
                report.refuse(Verdict.UNKNOWN, error.reason, error.message)
                continue
            evidence = [self._evidence(attestation, root) for attestation in dataset.attestations]
            if root.digest not in shown:
                report.steps += signature_steps(evidence, root)
                shown.add(root.digest)
            report.steps += explain.policy_steps(dataset, evidence, policy, self._inputs.recalls, self._now)
            judged = judge(dataset, evidence, policy, self._inputs.recalls, self._now)
            if judged.verdict is not Verdict.VERIFIED:
                report.refuse(judged.verdict, judged.reason, f"policy {policy.name}: {judged.message}")
            elif report.verdict is Verdict.VERIFIED:
                report.message = judged.message
        return report

    def bundle(self, name: str, raw: bytes) -> tuple[Report, DatasetVersion | None]:
        """Judge a bundle alone, as the DatasetVersion that it speaks of; none where it does not verify."""
        digest = Digest.parse("sha256:" + "0" * 64)
        problem = Refusal(Reason.TRUST_ROOT_MISSING, "no trust root was given")
        for root in self._inputs.trust_roots:
            found = self._evidence(Attestation(bundle=raw, digest=digest), root)
            if isinstance(found, Evidence) and found.provenance is not None:
                said = found.provenance
                version = DatasetVersion(
                    namespace="",
                    name=name,
                    uid="",
                    dataset=said.name,
                    version=said.version,
                    integrity=said.integrity,
                    attestations=(Attestation(bundle=raw),),
                )
                return self.version(version), version
            if isinstance(found, Evidence):
                problem = Refusal(Reason.WRONG_PREDICATE_TYPE, f"the statement is a {found.predicate_type[:120]}")
            else:
                problem = found
        steps = [Step("signature", Outcome.REFUSED, problem.message, problem.reason)]
        return Report(name, Verdict.REFUSED, problem.reason, problem.message, steps), None

    def _evidence(self, attestation: Attestation, root: TrustRoot) -> Evidence | Refusal:
        if refusal := not_at_hand(attestation):
            return refusal
        key = (attestation.bundle, root.digest)
        if key not in self._seen:
            try:
                self._seen[key] = self._verifier.verify(attestation.bundle, root)
            except LinewardError as error:
                self._seen[key] = Refusal(error.reason, error.message[:300])
        return self._seen[key]
