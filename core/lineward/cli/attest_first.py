"""What the first signer said, which a second one is about to say too: checked and shown before anything is hashed."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from lineward.adapters import sources
from lineward.adapters.sigstore import SigstoreVerifier
from lineward.adapters.sources import Inputs
from lineward.cli.terminal import clean
from lineward.cli.unverified import unverified_statement
from lineward.domain import mistakes
from lineward.domain import provenance as provenances
from lineward.domain.claims import difference
from lineward.domain.dataset import DatasetVersion, Lifecycle
from lineward.domain.errors import InvalidInputError, RefusedError
from lineward.domain.evidence import Signer
from lineward.domain.judge import judge
from lineward.domain.policy import Policy
from lineward.domain.provenance import Provenance
from lineward.domain.reasons import Reason
from lineward.domain.statement import DATASET_PROVENANCE, Statement
from lineward.domain.verdict import Verdict


def read(arguments: argparse.Namespace, dataset: DatasetVersion) -> Statement:
    """The first signer's statement, equal to the DatasetVersion that carries it, and said aloud.

    Raises RefusedError with the reason of the verifier, SpecMismatch, WrongPredicateType or WrongIdentity, and
    InvalidInputError where there is nothing to look at, or nothing that a pod could use.
    """
    bundle = next((attestation.bundle for attestation in dataset.attestations if attestation.bundle), None)
    if bundle is None:
        problem = f"{arguments.add_signature} has no bundle whose statement could be signed too"
        raise InvalidInputError(Reason.DATASET_INVALID, problem)
    signers = [] if arguments.unverified_first else _signers(arguments, dataset, bundle)
    said = unverified_statement(bundle)
    if said.predicate_type != DATASET_PROVENANCE:
        raise RefusedError(Reason.WRONG_PREDICATE_TYPE, f"the first statement is a {said.predicate_type[:120]}")
    parsed = provenances.parse(said.predicate)
    problem = difference(dataset, said.subject, parsed)
    if dataset.integrity.manifest and dataset.integrity.manifest.digest != said.subject:
        problem = "the signed subject is not this version's manifest"
    if problem:
        raise RefusedError(Reason.SPEC_MISMATCH, f"{arguments.add_signature}: {problem}"[:300])
    now = datetime.now(UTC)
    mistakes.require_usable(parsed, now)
    _show(parsed, signers, mistakes.doubtful(parsed, now))
    return said


def _signers(arguments: argparse.Namespace, dataset: DatasetVersion, bundle: bytes) -> list[Signer]:
    """Who signed the bundle, by the webhook's rules: a first signature that counts for nothing is no reason to sign."""
    now = datetime.now(UTC)
    inputs = _rules(arguments, now)
    return [_signer(dataset, bundle, policy, inputs, now) for policy in inputs.policies]


def _rules(arguments: argparse.Namespace, now: datetime) -> Inputs:
    inputs = Inputs()
    for path in arguments.trust_root:
        inputs.add_trust_root(Path(path), now)
    for path in arguments.policy:
        sources.read_policies(Path(path), inputs)
    for path in arguments.recall:
        sources.read_objects(Path(path), inputs, "DatasetRecall", Reason.REQUEST_INVALID)
    if not inputs.policies:
        inputs.give_keys()
    if not inputs.policies:
        problem = "whose first signature counts? give --policy, a --trust-root of keys, or --unverified-first"
        raise InvalidInputError(Reason.POLICY_INVALID, problem)
    return inputs


def _signer(dataset: DatasetVersion, bundle: bytes, policy: Policy, inputs: Inputs, now: datetime) -> Signer:
    """The one signer, whom the policy would accept as one of those it asks for; the quorum comes with the second."""
    evidence = SigstoreVerifier().verify(bundle, inputs.trust_root_of(policy))
    required = tuple(each for each in policy.require if each.predicate_type == DATASET_PROVENANCE)
    alone = replace(policy, quorum=1, require=required)
    version = replace(dataset, lifecycle=Lifecycle.ACTIVE)  # of the cluster, and no word on the evidence
    judged = judge(version, [evidence], alone, inputs.recalls, now)
    if judged.verdict is not Verdict.VERIFIED:
        problem = f"the first signature, by {evidence.signer}, fails policy {policy.name}: {judged.message}"
        raise RefusedError(judged.reason, problem[:300])
    return evidence.signer


def _show(said: Provenance, signers: list[Signer], doubts: list[str]) -> None:
    """Name what is going to be signed: a signature under what nobody read is worth nothing."""
    use = said.use
    personal = {True: "yes", False: "no", None: "not said"}[use.personal_data]
    rows = (
        ("first signed by", ", ".join(dict.fromkeys(map(str, signers))) or "somebody: the signature is NOT VERIFIED"),
        ("data set", f"{said.name} {said.version}"),
        ("licence", use.license or "not said"),
        ("purposes", ", ".join(use.purposes) or "not said"),
        ("prohibited", ", ".join(use.prohibited) or "not said"),
        ("personal data", personal),
        ("expires", f"{use.expires:%Y-%m-%dT%H:%M:%SZ}" if use.expires else "not said"),
        *(("source", source.uri) for source in said.sources),
        *(("consent", f"{s.consent.document_id} ({s.consent.status})") for s in said.sources if s.consent),
        *(("warning", doubt) for doubt in doubts),
    )
    print("lineward: what you are going to sign", file=sys.stderr)
    for name, value in rows:
        print(f"  {name:15} {clean(value)}", file=sys.stderr)
