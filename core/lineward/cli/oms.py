"""OMS signatures at the command line: verify a folder against one, and say what one for a folder signs."""

from __future__ import annotations

from pathlib import Path

from lineward.adapters.files_plain import digests
from lineward.adapters.sigstore import SigstoreVerifier
from lineward.adapters.sources import MAX_BUNDLE_FILE, Inputs
from lineward.cli.report import Report
from lineward.domain import oms, statement, strictjson
from lineward.domain.errors import InvalidInputError, LinewardError, RefusedError
from lineward.domain.evidence import Signer, TrustRoot
from lineward.domain.explain import Outcome, Step
from lineward.domain.oms import OMS_SIGNATURE, Signature
from lineward.domain.policy import Policy
from lineward.domain.reasons import Reason
from lineward.domain.statement import peek
from lineward.domain.verdict import Verdict


def is_signature(raw: bytes) -> bool:
    """Tell whether a bundle holds an OMS statement, before anything of it is believed."""
    try:
        said = peek(strictjson.parse(raw, cap=MAX_BUNDLE_FILE, what="the bundle"))
    except LinewardError:
        return False
    return said.get("predicateType") == OMS_SIGNATURE


def report(name: str, raw: bytes, folder: Path | None, inputs: Inputs) -> Report:
    """Verify an OMS signature, by whom the policies accept, and the folder's files."""
    made = Report(name)
    for policy in inputs.policies:
        try:
            signature = _signature(made, raw, policy, inputs.trust_root_of(policy))
            _ignored(made, signature)
            _files(made, signature, folder)
        except LinewardError as error:
            made.steps.append(Step(f"policy {policy.name}", Outcome.REFUSED, error.message, error.reason))
            made.refuse(Verdict.REFUSED, error.reason, error.message)
    return made


def statement_of(folder: Path) -> bytes:
    """The OMS statement about a folder. Raises LinewardError as `files_plain.digests` does."""
    return oms.statement_of(folder.resolve().name or "data", list(digests(folder)))


def _signature(made: Report, raw: bytes, policy: Policy, root: TrustRoot) -> Signature:
    signed = SigstoreVerifier(MAX_BUNDLE_FILE).check(raw, root)
    made.steps.append(Step("signature", Outcome.PASSED, f"{signed.signer} at {signed.signed_at or 'an unknown time'}"))
    _require_authority(policy, signed.signer)
    made.steps.append(Step("authority", Outcome.PASSED, f"policy {policy.name}"))
    signature = oms.parse(statement.parse(signed.payload_type, signed.payload, MAX_BUNDLE_FILE))
    made.steps.append(Step("root over the files", Outcome.PASSED, f"{len(signature.resources)} files"))
    return signature


def _require_authority(policy: Policy, signer: Signer) -> None:
    if policy.quorum > 1:
        raise RefusedError(Reason.QUORUM_NOT_MET, "an OMS signature has one signer, and the policy asks for more")
    if not any(authority.accepts(signer) for authority in policy.authorities):
        raise RefusedError(Reason.WRONG_IDENTITY, f"signed by {signer}, no authority of policy {policy.name}"[:300])


def _ignored(made: Report, signature: Signature) -> None:
    if not signature.ignored:
        made.steps.append(Step("ignored paths", Outcome.NOT_APPLICABLE, "the signer ignores none"))
        return
    names = ", ".join(signature.ignored[:4])
    made.steps.append(Step("ignored paths", Outcome.PASSED, f"must be absent: {names}"))


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
