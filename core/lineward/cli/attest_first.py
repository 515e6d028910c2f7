"""What the first signer said, which a second one is about to say too: checked and shown before anything is hashed."""

from __future__ import annotations

import argparse
import sys
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
from lineward.domain.dataset import DatasetVersion
from lineward.domain.errors import InvalidInputError, RefusedError
from lineward.domain.evidence import Signer
from lineward.domain.provenance import Provenance
from lineward.domain.reasons import Reason
from lineward.domain.statement import DATASET_PROVENANCE, Statement


def read(arguments: argparse.Namespace, dataset: DatasetVersion) -> Statement:
    """The first signer's statement, equal to the DatasetVersion that carries it, and said aloud.

    Raises RefusedError with the reason of the verifier, SpecMismatch, WrongPredicateType or WrongIdentity, and
    InvalidInputError where there is nothing to look at, or nothing that a pod could use.
    """
    bundle = next((attestation.bundle for attestation in dataset.attestations if attestation.bundle), None)
    if bundle is None:
        problem = f"{arguments.add_signature} has no bundle whose statement could be signed too"
        raise InvalidInputError(Reason.DATASET_INVALID, problem)
    signers = [] if arguments.unverified_first else _signers(arguments, bundle)
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


def _signers(arguments: argparse.Namespace, bundle: bytes) -> list[Signer]:
    """Who signed the bundle, by each policy's own trust root; without a policy, by a key of the trust roots."""
    inputs = Inputs()
    for path in arguments.trust_root:
        inputs.add_trust_root(Path(path), datetime.now(UTC))
    for path in arguments.policy:
        sources.read_objects(Path(path), inputs, "ProvenancePolicy", Reason.POLICY_INVALID)
    if not inputs.policies:
        return [_by_key(inputs, bundle)]
    found = []
    for policy in inputs.policies:
        signer = SigstoreVerifier().verify(bundle, inputs.trust_root_of(policy)).signer
        if not any(authority.accepts(signer) for authority in policy.authorities):
            problem = f"the first signature is by {signer}, no authority of the policy {policy.name}"
            raise RefusedError(Reason.WRONG_IDENTITY, problem[:300])
        found.append(signer)
    return found


def _by_key(inputs: Inputs, bundle: bytes) -> Signer:
    if len(inputs.trust_roots) != 1 or not inputs.trust_roots[0].keys:
        problem = "whose first signature counts? give --policy, a --trust-root of keys, or --unverified-first"
        raise InvalidInputError(Reason.POLICY_INVALID, problem)
    signer = SigstoreVerifier().verify(bundle, inputs.trust_roots[0]).signer
    if not signer.key:
        raise RefusedError(Reason.WRONG_IDENTITY, f"the first signature is by {signer}; give --policy to accept it")
    return signer


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
