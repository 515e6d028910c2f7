"""OMS signatures at the command line: verify a folder against one, and say what one for a folder signs.

Such a signature lists files and says nothing of provenance, so no ProvenancePolicy is met by it: it answers whose
signature it is, for the identity or key given in place of a policy, by the rules that the webhook has for signatures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from lineward.adapters.files_plain import digests
from lineward.adapters.sigstore import SigstoreVerifier
from lineward.adapters.sources import MAX_BUNDLE_FILE, Inputs
from lineward.cli.report import Report, signature_steps
from lineward.domain import explain, oms, statement, strictjson
from lineward.domain.dataset import DatasetVersion, Integrity, ManifestRef
from lineward.domain.errors import InvalidInputError, LinewardError, RefusedError
from lineward.domain.evidence import Evidence
from lineward.domain.explain import Outcome, Step
from lineward.domain.judge import judge
from lineward.domain.manifest import MIN_CHUNK_BYTES, Profile
from lineward.domain.oms import OMS_SIGNATURE, Signature
from lineward.domain.policy import Policy, Requirement
from lineward.domain.reasons import Reason
from lineward.domain.recall import Recall
from lineward.domain.statement import peek
from lineward.domain.verdict import Verdict

_UNTOLD = {
    Reason.TRUST_ROOT_MISSING,
    Reason.TRUST_ROOT_INVALID,
    Reason.UNREADABLE,
    Reason.CHANGED_WHILE_READ,
    Reason.MOUNT_POINT,
    Reason.TREE_TOO_DEEP,
}
"""Reasons that kept us from looking, as they do for a DatasetVersion: nothing is known to be wrong with the files."""


def is_signature(raw: bytes) -> bool:
    """Tell whether a bundle holds an OMS statement, before anything of it is believed."""
    try:
        said = peek(strictjson.parse(raw, cap=MAX_BUNDLE_FILE, what="the bundle"))
    except LinewardError:
        return False
    return said.get("predicateType") == OMS_SIGNATURE


def report(name: str, raw: bytes, folder: Path | None, inputs: Inputs, now: datetime) -> Report:
    """Verify an OMS signature, by whom the policies accept at that moment, and the folder's files."""
    made, verifier = Report(name), SigstoreVerifier(MAX_BUNDLE_FILE, MAX_BUNDLE_FILE)
    for policy in inputs.policies:
        try:
            root = inputs.trust_root_of(policy)
            evidence = verifier.verify(raw, root)
            made.steps += signature_steps([evidence], root)
            _judge(made, evidence, _asked(policy, inputs), inputs.recalls, now)
            signature = oms.parse(_statement(evidence))
            made.steps.append(Step("root over the files", Outcome.PASSED, f"{len(signature.resources)} files"))
            _files(made, signature, folder)
            _ignored(made, signature, folder)
        except LinewardError as error:
            untold = error.reason in _UNTOLD
            outcome = Outcome.NOT_APPLICABLE if untold else Outcome.REFUSED
            made.steps.append(Step(f"policy {policy.name}", outcome, error.message, error.reason))
            made.refuse(Verdict.UNKNOWN if untold else Verdict.REFUSED, error.reason, error.message)
    return made


def statement_of(folder: Path) -> bytes:
    """The OMS statement about a folder. Raises LinewardError as `files_plain.digests` does."""
    return oms.statement_of(folder.resolve().name or "data", list(digests(folder)))


def _statement(evidence: Evidence) -> statement.Statement:
    return statement.Statement("", evidence.subject, evidence.predicate_type, evidence.predicate)


def _asked(policy: Policy, inputs: Inputs) -> Policy:
    if policy is inputs.given:
        return replace(policy, require=(Requirement(OMS_SIGNATURE),))
    asked = next(each.predicate_type for each in policy.require if each.predicate_type != OMS_SIGNATURE)
    problem = f"an OMS signature cannot satisfy policy {policy.name}, which requires {asked}"
    raise RefusedError(Reason.WRONG_PREDICATE_TYPE, problem[:300])


def _judge(made: Report, evidence: Evidence, policy: Policy, recalls: Sequence[Recall], now: datetime) -> None:
    """Judge by the webhook's rules; a recalled signer is recalled for every data set, since none is named."""
    files = Integrity(
        "sha256", Profile.PORTABLE, MIN_CHUNK_BYTES, evidence.subject, 0, 0, ManifestRef(evidence.subject, 0)
    )
    version = DatasetVersion("", made.subject, "", "", "", files)
    counted = [
        replace(recall, dataset="", version="", root=None, source="", consent="") if recall.names_signer else recall
        for recall in recalls
    ]
    made.steps += explain.policy_steps(version, [evidence], policy, counted, now)
    judged = judge(version, [evidence], policy, counted, now)
    if judged.verdict is not Verdict.VERIFIED:
        raise RefusedError(judged.reason, judged.message)
    made.message = judged.message


def _ignored(made: Report, signature: Signature, folder: Path | None) -> None:
    """Say what became of paths that the signer ignores, once the files are compared: where they are, that failed."""
    name, names = "ignored paths", ", ".join(signature.ignored[:4])
    if not signature.ignored:
        made.steps.append(Step(name, Outcome.NOT_APPLICABLE, "the signer ignores none"))
    elif folder is None:
        problem = f"must be absent: {names}; not looked at, no folder was given"
        made.steps.append(Step(name, Outcome.NOT_APPLICABLE, problem, Reason.NO_VERDICT))
        made.refuse(Verdict.UNKNOWN, Reason.NO_VERDICT, f"paths that the signer ignores {problem}"[:300])
    else:
        made.steps.append(Step(name, Outcome.PASSED, f"absent: {names}"))


def _files(made: Report, signature: Signature, folder: Path | None) -> None:
    """Compare the files; ignored paths that are there count as added."""
    if folder is None:
        made.steps.append(Step("files", Outcome.NOT_APPLICABLE, "no folder was given"))
        return
    there = dict(digests(folder))
    if not there:
        raise InvalidInputError(Reason.EMPTY_DATASET, f"{folder} holds no file")
    oms.require_same(signature, there)
    made.steps.append(Step("files", Outcome.PASSED, f"{len(there)} files of {folder}"))
