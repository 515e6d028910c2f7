"""What is fuzzed, and what must hold whatever goes in: our own errors only, and no other statement than was signed."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.fuzz.mutations import Choices, Subject
from tests.private_sigstore.instance import END, SIGNED_AT, PrivateSigstore, dumps
from tests.unit.evidence.samples import DATASET, MANIFEST, NOW, POLICY, PREDICATE, a_dataset, a_policy

from lineward.adapters import documents
from lineward.adapters.sigstore import SigstoreVerifier
from lineward.domain import dataset, draft, mistakes, policy, statement, trustroot
from lineward.domain.digest import Digest
from lineward.domain.draft import Names
from lineward.domain.errors import LinewardError
from lineward.domain.evidence import KeyAnchor
from lineward.domain.judge import judge
from lineward.domain.statement import DATASET_PROVENANCE, PAYLOAD_TYPE, Statement

Target = Callable[[Choices], bool]
"""Runs one input; tells whether it was accepted. Raises where a promise was broken."""

_PAYLOAD = statement.build(Statement("d", Digest.parse(MANIFEST), DATASET_PROVENANCE, PREDICATE))
_PRIVATE = PrivateSigstore()
_KEY = ec.generate_private_key(ec.SECP256R1())
_PEM = _KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
_ROOT = trustroot.make("r", dumps(_PRIVATE.trusted_root()).decode(), (KeyAnchor("vault", _PEM, None, END),))
_BUNDLES = (
    _PRIVATE.sign(_PAYLOAD),
    _PRIVATE.sign_with_key(_PAYLOAD, _KEY),
    _PRIVATE.sign_with_key(_PAYLOAD, _KEY, SIGNED_AT, logged=True),
)
_BUNDLE_SUBJECTS = tuple(Subject(bundle) for bundle in _BUNDLES)
_VERIFIER = SigstoreVerifier()
_GOOD = tuple(_VERIFIER.verify(dumps(bundle), _ROOT) for bundle in _BUNDLES)
_PROVENANCE = {key: value for key, value in PREDICATE.items() if key not in {"integrity", "createdAt"}}
_NAMES = Names("german-credit", "1.0.0", "ml", "n")
_EXAMPLE = {**POLICY, "spec": {**POLICY["spec"], "require": [{"predicateType": DATASET_PROVENANCE, "maxAge": "24h"}]}}
_JUDGED = (a_dataset(), a_policy())
_STATEMENT_SUBJECT = Subject(json.loads(_PAYLOAD))
_PROVENANCE_SUBJECT = Subject(_PROVENANCE)
_POLICY_SUBJECT = Subject(_EXAMPLE)
_VERSION_SUBJECT = Subject(DATASET)


def bundle(choices: Choices) -> bool:
    """A mutated bundle proves what the original proved, or nothing."""
    which = choices.below(len(_BUNDLES))
    raw = _BUNDLE_SUBJECTS[which].mutated(choices)
    try:
        evidence = _VERIFIER.verify(raw, _ROOT)
    except LinewardError:
        return False
    good = _GOOD[which]
    same = (evidence.signer, evidence.subject, evidence.predicate) == (good.signer, good.subject, good.predicate)
    if not same or b64decode(json.loads(raw)["dsseEnvelope"]["payload"]) != _PAYLOAD:
        raise AssertionError(f"accepted something that was never signed: {raw!r}")
    if evidence.signed_at is not None and evidence.signed_at != good.signed_at:
        raise AssertionError(f"accepted with another time: {raw!r}")
    return True


def payload(choices: Choices) -> bool:
    """A mutated statement is refused or parsed, and has mistakes exactly where it is refused."""
    raw = _STATEMENT_SUBJECT.mutated(choices)
    try:
        said = statement.parse(PAYLOAD_TYPE, raw)
    except LinewardError:
        return False
    found = mistakes.found(said.predicate)
    try:
        draft.check(said.predicate)
    except LinewardError:
        if not found:
            raise AssertionError(f"a mistake that nobody is told: {raw!r}") from None
        return False
    if found:
        raise AssertionError(f"told of mistakes that are none: {found}: {raw!r}")
    return True


def provenance(choices: Choices) -> bool:
    """A mutated provenance file is refused or becomes a predicate."""
    raw = _PROVENANCE_SUBJECT.mutated(choices)
    try:
        for given in documents.parse_all(raw, "p"):
            described = draft.described(given, _NAMES, {})
            draft.missing(described)
            made = {**described, "integrity": PREDICATE["integrity"], "createdAt": "2026-01-01T00:00:00Z"}
            draft.check(made)
            draft.statement(made, _NAMES, Digest.parse(MANIFEST))
    except LinewardError:
        return False
    return True


def rules(choices: Choices) -> bool:
    """A mutated policy is refused, or judges."""
    try:
        read = policy.parse(_decoded(_POLICY_SUBJECT.mutated(choices)))
    except LinewardError:
        return False
    judge(_JUDGED[0], _GOOD, read, (), NOW)
    read.matches("ml", {}, {}, "Job")
    return True


def version(choices: Choices) -> bool:
    """A mutated DatasetVersion is refused, or is judged."""
    try:
        read = dataset.parse(_decoded(_VERSION_SUBJECT.mutated(choices)))
    except LinewardError:
        return False
    judge(read, _GOOD, _JUDGED[1], (), datetime(2026, 6, 1, tzinfo=UTC))
    return True


def _decoded(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return {}


TARGETS: Mapping[str, Target] = {
    "bundle": bundle,
    "statement": payload,
    "provenance": provenance,
    "policy": rules,
    "version": version,
}
