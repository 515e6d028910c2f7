"""The published format is what the parser takes: examples are good in both, and both refuse the same mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tests.conftest import ROOT
from tests.unit.evidence.samples import PREDICATE, changed

from lineward.adapters import documents
from lineward.domain import draft, mistakes, provenance, statement
from lineward.domain.draft import Names
from lineward.domain.errors import InvalidInputError
from lineward.domain.pins import KINDS
from lineward.domain.statement import PAYLOAD_TYPE

FORMATS = ROOT / "docs" / "formats"
SCHEMA = json.loads((FORMATS / "dataset-provenance-v1.schema.json").read_text())
EXAMPLES = sorted((FORMATS / "examples").glob("*.statement.json"))
VALIDATOR = Draft202012Validator(SCHEMA)
FULL = json.loads((FORMATS / "examples" / "full.statement.json").read_text())["predicate"]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert len(EXAMPLES) == 2


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_good(path: Path) -> None:
    said = statement.parse(PAYLOAD_TYPE, path.read_bytes())
    VALIDATOR.validate(said.predicate)
    parsed = provenance.parse(said.predicate)
    assert parsed.integrity.manifest is not None
    assert parsed.integrity.manifest.digest == said.subject


def test_the_full_example_shows_every_field_and_every_pin() -> None:
    """A field that the schema has and the example lacks would not be tried by anything."""
    assert set(FULL) == set(SCHEMA["properties"]) - {"critical"}
    for member in ("dataset", "integrity", "collection", "use", "quality", "producer"):
        assert set(FULL[member]) == set(SCHEMA["properties"][member]["properties"])
    assert set(FULL["sources"][0]) == set(SCHEMA["$defs"]["source"]["properties"])
    assert {kind for source in FULL["sources"] for kind in source["pin"]} == set(KINDS)
    assert set(SCHEMA["$defs"]["pin"]["properties"]) == set(KINDS)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("dataset/name", ...),
        ("dataset/name", "a b"),
        ("dataset/unknown", "x"),
        ("dataset/schema", {"uri": "https://x"}),
        ("dataset/schema/digest", "sha1:00"),
        ("dataset/schema/unknown", "x"),
        ("dataset/schema/uri", "x" * 2049),
        ("sources/0/attestation", {}),
        ("sources/0/attestation", "https://x"),
        ("sources/0/attestation/uri", "x" * 2049),
        ("integrity", ...),
        ("integrity/root", "sha1:00"),
        ("integrity/manifest", ...),
        ("integrity/files", -1),
        ("integrity/chunkBytes", 1),
        ("sources/0/uri", ...),
        ("sources/0/pin", {}),
        ("sources/0/pin/s3/versionId", ...),
        ("sources/0/consent/status", "maybe"),
        ("sources/0/consent/validUntil", "2027"),
        ("sources", [{"uri": "x"}] * 257),
        ("collection/method", ...),
        ("transformations/0/code/commit", "HEAD"),
        ("transformations/0/environment", {"n": 1}),
        ("use/personalData", "yes"),
        ("use/expires", "2027-13"),
        ("use/licence", "MIT"),
        ("quality/checks/0/passed", ...),
        ("quality/statistics", {"rows": 1}),
        ("producer/tool", ...),
        ("createdAt", ...),
        ("unknown", 1),
    ],
)
def test_schema_and_parser_refuse_the_same(path: str, value: object) -> None:
    wrong = changed(FULL, path, value)
    assert not VALIDATOR.is_valid(wrong)
    with pytest.raises(InvalidInputError):
        provenance.parse(wrong)
    assert mistakes.found(wrong)


def test_the_schema_takes_what_the_other_tests_sign() -> None:
    VALIDATOR.validate(PREDICATE)


def test_the_provenance_file_is_what_attest_reads() -> None:
    given: dict[str, Any] = documents.read_one(FORMATS / "examples" / "provenance.yaml")
    names = Names("german-credit", "1.0.0", "ml", "german-credit-1.0.0")
    described = draft.described(given, names, {})
    assert draft.missing(described) == []
    made = {**described, "integrity": FULL["integrity"], "createdAt": "2026-05-01T12:00:00Z"}
    VALIDATOR.validate(made)
    assert provenance.parse(made).sources[0].consent is not None


def test_the_document_names_every_member() -> None:
    text = (FORMATS / "dataset-provenance-v1.md").read_text()
    members = set(SCHEMA["properties"]) | {
        name for member in SCHEMA["properties"].values() for name in member.get("properties", {})
    }
    members |= {name for kind in SCHEMA["$defs"].values() for name in kind.get("properties", {})}
    assert [member for member in sorted(members) if f"`{member}`" not in text and f".{member}`" not in text] == []
