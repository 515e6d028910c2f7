"""`lineward verify` and `policy test` run the webhook's rules on files and explain each step."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.conftest import Command
from tests.private_sigstore.instance import PrivateSigstore, dumps
from tests.private_sigstore.server import token
from tests.unit.evidence.samples import POLICY, changed

from lineward.domain.draft import API_VERSION
from lineward.domain.statement import DATASET_PROVENANCE

WHAT = ["--dataset", "german-credit", "--version", "1.0.0", "--namespace", "ml", "--pvc", "credit"]
NAME = "german-credit-1.0.0"
Capsys = pytest.CaptureFixture[str]
WHO = ["--issuer", "https://issuer.example", "--subject", "data-team@example.org"]


@pytest.fixture
def attested(
    lineward: Command, data: Path, tmp_path: Path, trust_config: Path, identity: list[str], sigstore: PrivateSigstore
) -> Path:
    """A folder with what attest wrote, a policy and a trust root."""
    out = tmp_path / "out"
    signed = ["--trust-config", str(trust_config), "--license", "MIT", "--out", str(out)]
    assert lineward("attest", data, *WHAT, *identity, *signed) == (0, "")
    (out / "policy.yml").write_text(yaml.safe_dump(POLICY))
    root = {
        "apiVersion": "lineward.dev/v1alpha1",
        "kind": "TrustRoot",
        "metadata": {"name": "default"},
        "spec": {"trustedRoot": json.dumps(sigstore.trusted_root())},
    }
    (out / "root.yml").write_text(yaml.safe_dump(root))
    (out / "root.json").write_bytes(dumps(sigstore.trusted_root()))
    return out


def verify(lineward: Command, capsys: Capsys, *arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
    capsys.readouterr()
    code, said = lineward("verify", *arguments, "-o", "json")
    text = capsys.readouterr().out
    return code, json.loads(text)["reports"] if text else [{"reason": said.split(":")[0], "message": said}]


def rules(folder: Path) -> list[str | Path]:
    return ["--policy", folder / "policy.yml", "--trust-root", folder / "root.yml"]


@pytest.mark.parametrize("target", [f"{NAME}.yaml", f"{NAME}.sigstore"])
def test_a_good_set_passes_every_step(
    target: str, attested: Path, data: Path, lineward: Command, capsys: Capsys
) -> None:
    code, (report,) = verify(lineward, capsys, data, attested / target, *rules(attested))
    assert (code, report["verdict"]) == (0, "Verified")
    outcomes = {step["name"].split(": ")[-1]: step["outcome"] for step in report["steps"]}
    assert outcomes["authority"] == outcomes[f"bytes of {data}"] == outcomes["signature of attestation 1"] == "passed"
    assert outcomes["constraints"] == outcomes["data not recalled"] == "notApplicable"


@pytest.mark.parametrize("root", ["root.yml", "root.json"])
def test_an_identity_may_stand_for_a_policy(root: str, attested: Path, lineward: Command, capsys: Capsys) -> None:
    given: list[str | Path] = [attested / f"{NAME}.yaml", "--trust-root", attested / root]
    assert verify(lineward, capsys, *given, *WHO)[0] == 0
    code, (report,) = verify(lineward, capsys, *given, *WHO[:3], "other@example.org")
    assert (code, report["reason"]) == (1, "WrongIdentity")


def test_a_changed_byte_is_named(attested: Path, data: Path, lineward: Command, capsys: Capsys) -> None:
    (data / "train.csv").write_text("age,income\n41,0\n")
    code, (report,) = verify(lineward, capsys, data, attested / f"{NAME}.yaml", *rules(attested))
    assert (code, report["verdict"], report["reason"]) == (1, "Refused", "ContentDiffers")
    assert "train.csv" in report["message"]


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_versions_each_is_compared_with_its_own_manifest(
    order: int, attested: Path, data: Path, lineward: Command, trust_config: Path, identity: list[str], capsys: Capsys
) -> None:
    (data / "train.csv").write_text("age,income\n41,0\n")
    second = [word.replace("1.0.0", "1.0.1") for word in WHAT]
    signed = ["--trust-config", str(trust_config), "--out", str(attested)]
    assert lineward("attest", data, *second, *identity, *signed) == (0, "")
    versions = [attested / f"{name}.yaml" for name in (NAME, NAME.replace("1.0.0", "1.0.1"))]
    code, reports = verify(lineward, capsys, data, *versions[::order], *rules(attested))
    assert (code, [report["verdict"] for report in reports][::order]) == (1, ["Refused", "Verified"])
    assert "modified train.csv" in reports[::order][0]["message"]


def test_a_relabelled_object_is_refused(attested: Path, lineward: Command, capsys: Capsys) -> None:
    path = attested / f"{NAME}.yaml"
    path.write_text(path.read_text().replace("version: 1.0.0", "version: 2.0.0"))
    code, (report,) = verify(lineward, capsys, path, *rules(attested))
    assert (code, report["reason"]) == (1, "SpecMismatch")
    refused = [step for step in report["steps"] if step["outcome"] == "refused"]
    assert [step["name"].split(": ")[-1] for step in refused] == ["equal to what was signed"]


def test_recalls_and_time_count(attested: Path, lineward: Command, capsys: Capsys) -> None:
    recall = attested / "recall.yml"
    recall.write_text(
        yaml.safe_dump(
            {
                "apiVersion": API_VERSION,
                "kind": "DatasetRecall",
                "metadata": {"name": "r"},
                "spec": {"reason": "x", "dataset": "german-credit"},
            }
        )
    )
    given: list[str | Path] = [attested / f"{NAME}.yaml", *rules(attested)]
    code, (report,) = verify(lineward, capsys, *given, "--recall", recall)
    assert (code, report["reason"]) == (1, "Recalled")
    aged = changed(
        POLICY,
        "spec/require",
        [{"predicateType": DATASET_PROVENANCE, "maxAge": "24h"}],
    )
    (attested / "policy.yml").write_text(yaml.safe_dump(aged))
    assert verify(lineward, capsys, *given)[0] == 0
    later = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    code, (report,) = verify(lineward, capsys, *given, "--at", later)
    assert (code, report["reason"]) == (1, "AttestationTooOld")


def test_a_trust_root_of_another_name_does_not_count(attested: Path, lineward: Command, capsys: Capsys) -> None:
    renamed = yaml.safe_load((attested / "root.yml").read_text())
    renamed["metadata"]["name"] = "other"
    (attested / "other.yml").write_text(yaml.safe_dump(renamed))
    given: list[str | Path] = [attested / f"{NAME}.yaml", "--policy", attested / "policy.yml", "--trust-root"]
    assert verify(lineward, capsys, *given, attested / "other.yml")[1][0]["reason"] == "TrustRootMissing"
    assert verify(lineward, capsys, *given, attested / "root.json")[0] == 0, "a file without a name is the one named"


def test_what_cannot_be_told_is_no_verdict(attested: Path, data: Path, lineward: Command, capsys: Capsys) -> None:
    target = attested / f"{NAME}.yaml"
    assert lineward("verify", target)[0] == 64
    assert lineward("verify", target, "--trust-root", attested / "root.yml")[0] == 64
    assert lineward("verify", target, "--policy", attested / "policy.yml")[0] == 64
    assert lineward("verify", data, *rules(attested))[0] == 64
    assert verify(lineward, capsys, attested / "nowhere", *rules(attested))[0] == 2
    assert verify(lineward, capsys, attested / "policy.yml", *rules(attested))[1][0]["reason"] == "DatasetInvalid"


def test_it_explains_for_people(attested: Path, lineward: Command, capsys: Capsys) -> None:
    lineward("verify", attested / f"{NAME}.yaml", *rules(attested))
    text = capsys.readouterr().out
    assert "VERIFIED" in text
    assert "data-team@example.org" in text


def test_a_policy_is_tried_on_files(attested: Path, lineward: Command, capsys: Capsys) -> None:
    policies = attested / "policy.yml"
    against: list[str | Path] = [
        "--against",
        attested / f"{NAME}.yaml",
        attested / f"{NAME}.sigstore",
        "--trust-root",
        attested / "root.yml",
    ]
    assert lineward("policy", "test", policies, *against) == (0, "")
    strict = changed(
        POLICY,
        "spec/require",
        [
            {
                "predicateType": DATASET_PROVENANCE,
                "constraints": {"licenses": ["Apache-2.0"]},
            }
        ],
    )
    policies.write_text(yaml.safe_dump(strict))
    capsys.readouterr()
    assert lineward("policy", "test", policies, *against, "-o", "json")[0] == 1
    assert "licence MIT" in capsys.readouterr().out
    assert lineward("policy", "check", policies)[0] == 0
    assert "dataset-provenance" in capsys.readouterr().out
    policies.write_text(yaml.safe_dump(changed(POLICY, "spec/quorum", 7)))
    assert lineward("policy", "check", policies)[1].startswith("PolicyInvalid")
    assert lineward("policy", "test", policies)[0] == 64


def test_a_trust_root_is_shown_and_checked(attested: Path, lineward: Command, capsys: Capsys, tmp_path: Path) -> None:
    for name in ("root.yml", "root.json"):
        capsys.readouterr()
        assert lineward("trust-root", "show", attested / name, "-o", "json") == (0, "")
        kinds = [key["kind"] for key in json.loads(capsys.readouterr().out)["trustRoots"][0]["keys"]]
        assert kinds == [
            "transparency log",
            "certificate transparency log",
            "certificate authority",
            "timestamping authority",
        ]
        assert lineward("trust-root", "check", attested / name)[0] == 0
    now = datetime.now(UTC)
    ending = PrivateSigstore(now - timedelta(days=9), now + timedelta(days=9)).trusted_root()
    over = PrivateSigstore(now - timedelta(days=9), now - timedelta(days=1)).trusted_root()
    path = tmp_path / "r.json"
    for root, says in ((ending, "ends at"), (over, "no certificate authority is valid now")):
        path.write_bytes(dumps(root))
        capsys.readouterr()
        assert lineward("trust-root", "check", path)[0] == 1
        assert says in capsys.readouterr().out
    path.write_bytes(dumps(ending))
    assert lineward("trust-root", "check", path, "--days", "3")[0] == 0
    path.write_text("{}")
    assert lineward("trust-root", "show", path)[1].startswith("TrustRootInvalid")


def test_fetching_without_a_network_is_an_error_with_a_reason(lineward: Command, tmp_path: Path) -> None:
    root = tmp_path / "root.json"
    root.write_text("{}")
    code, said = lineward("trust-root", "fetch", "--url", "http://127.0.0.1:9", "--root", root)
    assert (code, said.split(":")[0]) == (2, "TrustRootMissing")
    assert lineward("trust-root", "fetch", "--url", "http://127.0.0.1:9")[0] == 64


def test_two_policies_must_both_be_met(attested: Path, lineward: Command, capsys: Capsys) -> None:
    second = changed(POLICY, "spec/authorities/0/keyless/subject", "someone@else.org")
    second["metadata"] = {"name": "second"}
    (attested / "two.yml").write_text(yaml.safe_dump_all([POLICY, second]))
    given: list[str | Path] = ["--policy", attested / "two.yml", "--trust-root", attested / "root.yml"]
    code, (report,) = verify(lineward, capsys, attested / f"{NAME}.yaml", *given)
    assert (code, report["reason"], "second" in report["message"]) == (1, "WrongIdentity", True)


def test_a_forged_signer_is_not_believed(
    attested: Path, data: Path, lineward: Command, tmp_path: Path, capsys: Capsys
) -> None:
    """A whole Sigstore of the attacker's own, with the right names in it."""
    from tests.private_sigstore.server import serve  # noqa: PLC0415 - only here

    mine = PrivateSigstore()
    with serve(mine) as url:
        config = tmp_path / "mine.json"
        config.write_bytes(dumps(mine.trust_config(url)))
        signed: list[str | Path] = ["--identity-token", token(), "--trust-config", config, "--out", tmp_path / "mine"]
        assert lineward("attest", data, *WHAT, *signed)[0] == 0
    code, (report,) = verify(lineward, capsys, tmp_path / "mine" / f"{NAME}.yaml", *rules(attested))
    assert (code, report["reason"]) == (1, "EvidenceInvalid")


def test_a_bundle_alone_that_does_not_verify_is_refused_beside_others(
    lineward: Command, attested: Path, data: Path, capsys: Capsys
) -> None:
    raw = json.loads((attested / f"{NAME}.sigstore").read_text())
    raw["dsseEnvelope"]["payload"] = base64.b64encode(b"{}").decode()
    (attested / "bad.sigstore").write_text(json.dumps(raw))
    given = ["bad.sigstore", f"{NAME}.yaml"]
    code, reports = verify(lineward, capsys, data, *(attested / name for name in given), *rules(attested))
    assert code == 1
    assert [(found["verdict"], found["reason"]) for found in reports] == [
        ("Verified", "Verified"),
        ("Refused", "EvidenceInvalid"),
    ]
    assert [step["outcome"] for step in reports[1]["steps"]] == ["refused"]
    against: list[str | Path] = ["--against", attested / "bad.sigstore", "--trust-root", attested / "root.yml"]
    assert lineward("policy", "test", attested / "policy.yml", *against)[0] == 1


def test_a_huge_bundle_is_not_even_read(lineward: Command, attested: Path, tmp_path: Path, capsys: Capsys) -> None:
    with (tmp_path / "huge.sigstore").open("wb") as file:
        file.write(b'{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":{"payload":"')
        file.truncate(60_000_000)
    code, (report,) = verify(lineward, capsys, tmp_path / "huge.sigstore", *rules(attested))
    assert (code, report["reason"]) == (2, "EvidenceTooLarge")
