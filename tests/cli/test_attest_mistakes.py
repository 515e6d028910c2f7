"""What is wrong with provenance is told at once, before anything is hashed, and by the paths of the file."""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from pathlib import Path

import pytest
import yaml
from tests.cli.conftest import Command
from tests.cli.test_attest import PROVENANCE, WHAT, signed
from tests.cli.test_key_trust import write_key
from tests.private_sigstore.server import token
from tests.unit.evidence.samples import changed

from lineward.cli import attest_run, main
from lineward.domain.reasons import Reason

SEVERAL = """\
dataset: {version: 1.0, owners: risk@example.org}
sources:
- {url: s3://bank/credit.csv, origin: DE}
- {uri: s3://bank/other.csv, consent: {documentId: c, status: maybe, validUntil: 2027}}
use: {licence: MIT, personalData: "yes", purposes: [credit, 7], expires: soon, classification: }
quality: {checks: [{name: no-nulls}, none]}
createdAt: 2026-01-01T00:00:00Z
"""
MISTAKES = [
    "createdAt: is filled in by attest, so leave it out",
    "dataset.version: is 1.0 (no text: put it in quotes), but '1.0.0' is being attested",
    "dataset.owners: must be a list",
    "sources[0].origin: must be an object",
    "sources[0].uri: is missing",
    "sources[0].url: is unknown; uri is known",
    "sources[1].consent.status: must be one of granted, withdrawn, notRequired",
    "sources[1].consent.validUntil: must be a time such as 2026-01-31T12:00:00Z",
    "use.purposes[1]: must be a text that is not empty",
    "use.personalData: must be true or false",
    "use.expires: must be a time such as 2026-01-31T12:00:00Z",
    "use.licence: is unknown; license is known",
    "use.classification: has no value: leave it out, or give one",
    "quality.checks[1]: must be an object",
    "quality.checks[0].passed: is missing",
]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A provenance file; whoever gets as far as hashing fails."""
    monkeypatch.setattr(attest_run, "create_manifest", None)
    return tmp_path / "p.yaml"


def test_all_mistakes_of_a_file_are_told_at_once(lineward: Command, data: Path, path: Path) -> None:
    path.write_text(SEVERAL)
    code, said = lineward("attest", data, *WHAT, "--provenance", path)
    assert code == 2
    assert sorted(said.removeprefix(f"{Reason.PROVENANCE_INVALID}: ").split("; ")) == sorted(
        word for mistake in MISTAKES for word in mistake.split("; ")
    )


def test_people_get_a_line_for_each_mistake_and_programs_one_document(
    data: Path, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(SEVERAL.replace("licence", '"lice\\e[1mnce"'))
    monkeypatch.setattr(sys, "argv", ["lineward", "attest", str(data), *WHAT, "--provenance", str(path), "-o", "json"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert main.main() == 2
    said = capsys.readouterr()
    first, *lines = said.err.splitlines()
    assert first == "lineward: ProvenanceInvalid: there is more than one mistake"
    assert len(lines) == len(MISTAKES)
    assert "  use.lice?[1mnce: is unknown; license is known" in lines
    found = json.loads(said.out)
    assert (found["outcome"], found["reason"]) == ("unknown", "ProvenanceInvalid")
    assert found["message"].count(": ") >= len(MISTAKES)


def test_no_more_mistakes_are_told_than_fit_a_screen(lineward: Command, data: Path, path: Path) -> None:
    path.write_text(yaml.safe_dump({"sources": [{} for _ in range(30)], "x": 1}))
    said = lineward("attest", data, *WHAT, "--provenance", path)[1]
    assert said.count("is missing") == 20
    assert said.endswith("; and 11 more")


def test_a_flag_hides_no_mistake_of_the_file(lineward: Command, data: Path, path: Path) -> None:
    path.write_text("use: [never]\nsources: {uri: x}\n")
    code, said = lineward("attest", data, *WHAT, "--provenance", path, "--license", "MIT", "--source", "s3://b")
    assert (code, said) == (2, "ProvenanceInvalid: sources: must be a list; use: must be an object")


@pytest.mark.parametrize(
    ("use", "options", "says"),
    [
        ({}, ["--expires", "2020-01-01T00:00:00Z"], "use.expires: 2020-01-01T00:00:00Z is past"),
        ({"expires": "2020-01-01T01:00:00+01:00"}, [], "use.expires: 2020-01-01T00:00:00Z is past"),
        ({"expires": "2998-01-01T00:00:00Z", "notBefore": "2999-01-01T00:00:00Z"}, [], "is before use.notBefore"),
        ({"notBefore": "2999-01-01T00:00:00Z"}, ["--expires", "2998-01-01T00:00:00Z"], "is before use.notBefore"),
    ],
)
def test_what_no_pod_could_use_is_refused_before_hashing(
    use: dict[str, str], options: list[str], says: str, lineward: Command, data: Path, path: Path
) -> None:
    path.write_text(yaml.safe_dump({"use": use}))
    code, said = lineward("attest", data, *WHAT, "--provenance", path, *options)
    assert (code, said.split(":")[0], says in said) == (2, Reason.PROVENANCE_INVALID.value, True), said


def test_a_later_expiry_on_the_command_line_counts(lineward: Command, data: Path, path: Path) -> None:
    path.write_text("use: {expires: 2020-01-01T00:00:00Z}")
    code, said = lineward("attest", data, *WHAT, "--provenance", path, "--expires", "2999-01-01T00:00:00Z")
    assert (code, said.split(":")[0]) == (2, Reason.NO_IDENTITY.value)


@pytest.mark.parametrize(
    ("member", "value", "says"),
    [
        ("validUntil", "2026-01-01T00:00:00Z", "it ended at 2026-01-01T00:00:00Z"),
        ("status", "withdrawn", "it is withdrawn"),
        ("validFrom", "2999-06-01T00:00:00Z", "it ends before it begins"),
    ],
)
def test_a_consent_that_covers_nothing_is_warned_of(
    member: str,
    value: str,
    says: str,
    lineward: Command,
    data: Path,
    path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Only some policies ask for consent, so only --strict refuses."""
    collected = {**PROVENANCE, "collection": {"method": "export"}}
    path.write_text(yaml.safe_dump(changed(collected, f"sources/0/consent/{member}", value)))
    call = ["attest", str(data), *WHAT, "--provenance", str(path)]
    assert lineward(*call)[1].split(":")[0] == Reason.NO_IDENTITY.value
    assert f"lineward: sources[0].consent: {says}, which policies" in capsys.readouterr().err
    code, said = lineward(*call, "--strict")
    assert (code, said.split(":")[0], says in said) == (2, Reason.PROVENANCE_INVALID.value, True)


def test_an_empty_member_takes_nothing_from_the_earlier_version(
    lineward: Command, data: Path, tmp_path: Path, trust_config: Path
) -> None:
    path, earlier, out = tmp_path / "p.yaml", tmp_path / "earlier", tmp_path / "out"
    by = ["--identity-token", token(), "--trust-config", str(trust_config)]
    first = ["--dataset", "german-credit", "--version", "0.9.0", "-n", "ml", "--license", "LicenseRef-X"]
    lineward("attest", data, *first, *by, "--out", earlier)
    path.write_text("use:\nsources:\n")
    previous = ["--from-previous", str(earlier / "german-credit-0.9.0.yaml"), "--provenance", str(path)]
    assert lineward("attest", data, *WHAT, *previous, *by, "--out", out) == (0, "")
    assert signed(out)["use"] == {"license": "LicenseRef-X"}


def test_an_earlier_statement_that_is_none_of_ours_is_refused_by_name(
    lineward: Command, data: Path, path: Path, tmp_path: Path
) -> None:
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "x", "digest": {"sha256": "0" * 64}}],
        "predicateType": "https://example.org/other",
        "predicate": {"dataset": "x"},
    }
    envelope = {
        "payloadType": "application/vnd.in-toto+json",
        "payload": b64encode(json.dumps(statement).encode()).decode(),
    }
    path.write_text(json.dumps({"dsseEnvelope": envelope}))
    code, said = lineward("attest", data, *WHAT, "--from-previous", path)
    assert (code, said.split(":")[0], f"taken from {path}: " in said) == (2, Reason.PROVENANCE_INVALID.value, True)
    assert "dataset: must be an object" in said


def test_a_volume_that_matches_no_pod_yet_is_named(
    lineward: Command, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_key(tmp_path, "key")
    for number, (volume, warned) in enumerate(((["--csi", "ebs.csi.aws.com/vol-1"], True), (["--pvc", "c"], False))):
        what: list[str | Path] = [
            "--dataset",
            "d",
            "--version",
            str(number),
            "-n",
            "ml",
            *volume,
            "--key",
            tmp_path / "key.pem",
        ]
        assert lineward("attest", data, *what, "--out", tmp_path / "o") == (0, "")
        assert ("no pod is matched by them" in capsys.readouterr().err) is warned
