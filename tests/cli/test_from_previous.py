"""A new version takes over what holds for the data set, says so, and vouches for nothing found of other bytes."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.conftest import Command
from tests.cli.test_key_trust import write_key

FIRST: dict[str, Any] = {
    "dataset": {"issuer": "Bank", "owners": ["a@example.org", "b@example.org"]},
    "sources": [
        {
            "uri": "s3://b/credit.csv",
            "system": "s3",
            "pin": {"s3": {"bucket": "b", "key": "credit.csv", "versionId": "v7"}},
            "digest": "sha256:" + "a" * 64,
            "attestation": {"digest": "sha256:" + "b" * 64},
            "consent": {"documentId": "c-1", "status": "granted"},
        },
        {"uri": "s3://b/recalled.csv"},
    ],
    "collection": {"method": "export"},
    "transformations": [{"name": "clean", "runId": "run-1", "code": {"commit": "0123456"}}],
    "use": {"license": "MIT", "prohibited": ["ads"], "purposes": ["scoring"]},
    "quality": {
        "checks": [{"name": "no-nulls", "passed": True}],
        "statistics": {"rows": "2"},
        "labelling": "by hand",
    },
}


@pytest.fixture
def attest(lineward: Command, data: Path, tmp_path: Path) -> Any:
    """Attests the folder as a version, from a file and the one before; returns what was signed of it."""
    write_key(tmp_path, "key")

    def call(version: str, said: dict[str, Any], *given: str, previous: str = "") -> dict[str, Any]:
        (tmp_path / "p.yaml").write_text(yaml.safe_dump(said))
        what = ["--dataset", "d", "--version", version, "-n", "ml", "--provenance", str(tmp_path / "p.yaml"), *given]
        if previous:
            what += ["--from-previous", str(tmp_path / "o" / f"d-{previous}.yaml")]
        assert lineward("attest", data, *what, "--key", tmp_path / "key.pem", "--out", tmp_path / "o") == (0, "")
        bundle = json.loads((tmp_path / "o" / f"d-{version}.sigstore").read_text())
        signed = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))["predicate"]
        return {member: signed[member] for member in signed if member not in {"integrity", "producer", "createdAt"}}

    return call


def test_nothing_that_was_found_of_other_bytes_is_signed_again(
    attest: Any, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert attest("1", FIRST)["quality"] == FIRST["quality"]
    (data / "train.csv").write_text("age,income\n,,\n")
    capsys.readouterr()
    assert attest("2", {}, previous="1") == {
        "dataset": {**FIRST["dataset"], "name": "d", "version": "2", "previousVersion": "1"},
        "sources": [
            {"uri": "s3://b/credit.csv", "system": "s3", "consent": FIRST["sources"][0]["consent"]},
            {"uri": "s3://b/recalled.csv"},
        ],
        "collection": FIRST["collection"],
        "use": FIRST["use"],
        "quality": {"labelling": "by hand"},
    }
    said = capsys.readouterr().err
    assert "d-1.yaml, whose signature was not checked: collection.method, dataset.issuer, dataset.owners" in said
    assert "quality.labelling, sources, use.license, use.prohibited, use.purposes" in said
    assert "does not say transformations" in said


def test_what_a_file_lists_takes_the_place_of_what_was_listed(attest: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A source that was recalled can be dropped; no prohibition can."""
    attest("1", FIRST)
    pin = {"s3": {"bucket": "b", "key": "credit.csv", "versionId": "v8"}}
    said = {
        "dataset": {"owners": ["c@example.org"]},
        "sources": [{"uri": "s3://b/credit.csv", "pin": pin}, {"uri": "s3://b/new.csv"}],
        "transformations": [{"name": "clean", "runId": "run-2"}],
        "use": {"prohibited": ["resale"]},
    }
    capsys.readouterr()
    flags = ["--source", "s3://b/credit.csv", "--purpose", "audit", "--license", "X"]
    signed = attest("2", said, *flags, previous="1")
    assert signed["sources"] == [
        {"uri": "s3://b/credit.csv", "system": "s3", "consent": FIRST["sources"][0]["consent"], "pin": pin},
        {"uri": "s3://b/new.csv"},
    ]
    assert signed["transformations"] == said["transformations"]
    assert signed["dataset"]["owners"] == ["c@example.org"]
    assert signed["use"] == {"license": "X", "prohibited": ["ads", "resale"], "purposes": ["scoring", "audit"]}
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "taken over from" in line]
    assert line.split("checked: ")[1].split(", ") == [
        "collection.method",
        "dataset.issuer",
        "quality.labelling",
        "sources[0].consent",
        "sources[0].system",
        "use.prohibited",
        "use.purposes",
    ]


def test_the_earlier_version_may_stand_beside_its_manifest(attest: Any, tmp_path: Path) -> None:
    attest("1", FIRST)
    path = tmp_path / "o" / "d-1.yaml"
    path.write_text((tmp_path / "o" / "d-1-manifest.yaml").read_text() + "---\n" + path.read_text())
    assert attest("2", {}, previous="1")["dataset"]["issuer"] == "Bank"


def test_an_object_of_another_group_is_no_earlier_version(
    attest: Any, lineward: Command, data: Path, tmp_path: Path
) -> None:
    attest("1", FIRST)
    path = tmp_path / "o" / "d-1.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "apiVersion": "other.example/v1"}))
    what: list[str | Path] = ["--dataset", "d", "--version", "2", "-n", "ml", "--from-previous", path]
    what += ["--key", tmp_path / "key.pem"]
    code, said = lineward("attest", data, *what, "--out", tmp_path / "o")
    assert (code, said.split(":")[0]) == (2, "ProvenanceInvalid")
    assert "of apiVersion 'other.example/v1'" in said
