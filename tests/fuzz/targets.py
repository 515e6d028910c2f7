"""What is fuzzed, and what must hold whatever goes in: our own errors only, and no other statement than was signed."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tests.fuzz.mutations import Choices, Subject
from tests.fuzz.originals import PAYLOAD, VERIFIER, originals
from tests.unit.evidence.samples import DATASET, MANIFEST, NOW, POLICY, PREDICATE, a_dataset, a_policy

from lineward.adapters import documents
from lineward.domain import dataset, draft, mistakes, policy, statement
from lineward.domain.digest import Digest
from lineward.domain.draft import Names
from lineward.domain.errors import LinewardError
from lineward.domain.evidence import Evidence
from lineward.domain.judge import judge
from lineward.domain.statement import DATASET_PROVENANCE, PAYLOAD_TYPE

Target = Callable[[Choices], bool]
"""Runs one input; tells whether it was accepted. Raises where a promise was broken."""

_ORIGINALS = originals()
_GOOD = tuple(original.proves for original in _ORIGINALS)
_PROVENANCE = {key: value for key, value in PREDICATE.items() if key not in {"integrity", "createdAt"}}
_NAMES = Names("german-credit", "1.0.0", "ml", "n")
_EXAMPLE = {**POLICY, "spec": {**POLICY["spec"], "require": [{"predicateType": DATASET_PROVENANCE, "maxAge": "24h"}]}}
_JUDGED = (a_dataset(), a_policy())
_STATEMENT_SUBJECT = Subject(json.loads(PAYLOAD))
_PROVENANCE_SUBJECT = Subject(_PROVENANCE)
_POLICY_SUBJECT = Subject(_EXAMPLE)
_VERSION_SUBJECT = Subject(DATASET)


def bundle(choices: Choices) -> bool:
    """A mutated bundle proves what the original proved, or nothing."""
    original = _ORIGINALS[choices.below(len(_ORIGINALS))]
    raw = original.subject.mutated(choices)
    try:
        proves = VERIFIER.verify(raw, original.root)
    except LinewardError:
        return False
    if _without_time(proves) != _without_time(original.proves) or not _same_payload(raw, original.payload):
        raise AssertionError(f"accepted something that was never signed: {raw!r}")
    if proves.signed_at not in original.times:
        raise AssertionError(f"accepted with another time: {raw!r}")
    return True


def _without_time(proves: Evidence) -> Evidence:
    return replace(proves, bundle=Digest(bytes(32)), signed_at=None, not_before=None, not_after=None)


def _same_payload(raw: bytes, payload: str) -> bool:
    return b64decode(json.loads(raw)["dsseEnvelope"]["payload"]) == b64decode(payload)


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
        read = [policy.parse(given) for given in _read(_POLICY_SUBJECT.mutated(choices), choices)]
    except LinewardError:
        return False
    for each in read:
        judge(_JUDGED[0], _GOOD, each, (), NOW)
        each.matches("ml", {}, {}, "Job")
    return True


def version(choices: Choices) -> bool:
    """A mutated DatasetVersion is refused, or is judged."""
    try:
        read = [dataset.parse(given) for given in _read(_VERSION_SUBJECT.mutated(choices), choices)]
    except LinewardError:
        return False
    for each in read:
        judge(each, _GOOD, _JUDGED[1], (), datetime(2026, 6, 1, tzinfo=UTC))
    return True


def _read(raw: bytes, choices: Choices) -> list[Any]:
    """As a file that someone keeps, or as the API server sends it, whose own reader has been there before."""
    if choices.below(2):
        return list(documents.parse_all(raw, "f"))
    try:
        return [json.loads(raw)]
    except (ValueError, RecursionError):
        return [{}]


TARGETS: Mapping[str, Target] = {
    "bundle": bundle,
    "statement": payload,
    "provenance": provenance,
    "policy": rules,
    "version": version,
}
