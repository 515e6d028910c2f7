"""in-toto Statement v1: the signed sentence "this predicate is true of this subject".

Format: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md. Parsed only after the signature verified.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lineward.domain import strictjson
from lineward.domain.digest import Digest
from lineward.domain.fields import Reader
from lineward.domain.reasons import Reason

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
DATASET_PROVENANCE = "https://lineward.dev/attestations/dataset-provenance/v1"
MAX_STATEMENT = 256 * 1024
"""Bytes of one statement; with base64 and verification material it must fit `dataset.MAX_BUNDLE`."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement about exactly one subject."""

    subject_name: str
    subject: Digest
    predicate_type: str
    predicate: Mapping[str, Any]


def parse(payload_type: str, payload: bytes, cap: int = MAX_STATEMENT) -> Statement:
    """Parse a verified DSSE payload of at most `cap` bytes.

    Raises InvalidInputError: EvidenceTooLarge, EvidenceInvalid (no Statement v1, or not exactly one subject with a
    sha256 digest; CVE-2022-35929 and CVE-2026-39395 are what happens without these checks).
    """
    if payload_type != PAYLOAD_TYPE:
        Reader({}, "payloadType", Reason.EVIDENCE_INVALID).fail(f"is {payload_type[:100]!r}, not {PAYLOAD_TYPE}")
    raw = Reader(strictjson.parse(payload, cap=cap, what="the statement"), "", Reason.EVIDENCE_INVALID)
    if raw.text("_type") != STATEMENT_TYPE:
        raw.fail(f"is not {STATEMENT_TYPE}", "_type")
    subjects = raw.objects("subject", cap=1024)
    if len(subjects) != 1:
        raw.fail(f"has {len(subjects)} subjects, not exactly one", "subject")
    digests = subjects[0].pairs("digest", cap=16)
    if "sha256" not in digests:
        subjects[0].fail("has no sha256", "digest")
    predicate = raw.value("predicate")
    if not isinstance(predicate, dict):
        raw.fail("must be an object", "predicate")
    statement = Statement(
        subject_name=subjects[0].text("name", ""),
        subject=_digest(subjects[0], digests["sha256"]),
        predicate_type=raw.text("predicateType", cap=512),
        predicate=predicate,
    )
    raw.done()
    return statement


def peek(bundle: object) -> Mapping[str, Any]:
    """What the statement inside a decoded bundle says, unverified: to choose what to do, never to believe it.

    Empty where there is none.
    """
    try:
        envelope = bundle["dsseEnvelope"]  # type: ignore[index]
        said = json.loads(base64.b64decode(envelope["payload"]))
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def build(statement: Statement) -> bytes:
    """Encode a statement: compact JSON in UTF-8, keys sorted; `parse` reads it back as it was."""
    made = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": statement.subject_name, "digest": {"sha256": statement.subject.raw.hex()}}],
        "predicateType": statement.predicate_type,
        "predicate": statement.predicate,
    }
    return json.dumps(made, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _digest(subject: Reader, text: str) -> Digest:
    if len(text) != 64 or set(text) - set("0123456789abcdef"):
        subject.fail("is no sha256 in 64 lower-case hex digits", "digest")
    return Digest(bytes.fromhex(text))
