"""However a command ends: the exit code says what happened, and JSON on stdout is one document."""

from __future__ import annotations

import codecs
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.cli.conftest import Command
from tests.unit.evidence.samples import POLICY, changed
from tests.unit.gate.pods import a_world

from lineward.adapters import sources
from lineward.adapters.sources import Inputs
from lineward.cli import main, verify
from lineward.domain import dataset, matching, policy
from lineward.domain.reasons import Reason

WHAT = ["--dataset", "credit", "--version", "1.0.0", "--namespace", "ml", "--pvc", "credit"]
NAME = "credit-1.0.0"
Run = Any


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `lineward ... -o json` as the shell does; returns exit code and the one document of stdout."""

    def call(*arguments: str | Path) -> tuple[int, Any]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["lineward", *map(str, arguments), "-o", "json"])
        monkeypatch.setattr("signal.signal", lambda *_: None)
        code = main.main()
        return code, json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def signed(lineward: Command, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what attest wrote, signed by the key k.pem, which trust.yml believes; the current one."""
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "k.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    keys = [{"name": "k", "pem": public, "notAfter": "2999-01-01T00:00:00Z"}]
    (tmp_path / "trust.yml").write_text(yaml.safe_dump(trust_root("default", keys)))
    policy = changed(POLICY, "spec/authorities", [{"name": "a", "key": {"name": "k"}}])
    (tmp_path / "policy.yml").write_text(yaml.safe_dump(policy))
    assert lineward("attest", data, *WHAT, "--key", tmp_path / "k.pem", "--oms", "--out", tmp_path / "o") == (0, "")
    for file in (tmp_path / "o").iterdir():
        file.rename(tmp_path / file.name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trust_root(name: str, keys: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "apiVersion": "lineward.dev/v1alpha1",
        "kind": "TrustRoot",
        "metadata": {"name": name},
        "spec": {"keys": keys},
    }


def told(found: Any) -> list[tuple[str, str]]:
    return [(each["verdict"], each["reason"]) for each in found["reports"]]


def test_every_target_has_its_report_whatever_is_wrong_with_another(run: Run, signed: Path) -> None:
    good = f"{NAME}.yaml"
    Path("bad.sigstore").write_text(Path(f"{NAME}.sigstore").read_text().replace('"sig":"', '"sig":"AAAA', 1))
    Path("odd.yaml").write_text(Path(good).read_text().replace("namespace: ml", "namespace: 7"))
    code, found = run("verify", good, "bad.sigstore", "odd.yaml", "nowhere", "--trust-root", "trust.yml")
    assert (code, found["verdict"]) == (1, "Refused")
    assert told(found) == [
        ("Verified", "Verified"),
        ("Refused", "WrongIdentity"),
        ("Unknown", "DatasetInvalid"),
        ("Unknown", "DatasetInvalid"),
    ]
    code, found = run("verify", "nowhere", good, "--trust-root", "trust.yml")
    assert (code, found["verdict"], told(found)[0]) == (2, "Unknown", ("Verified", "Verified"))
    rules = ["--trust-root", "trust.yml", "--against"]
    code, found = run("policy", "test", "policy.yml", *rules, good, "bad.sigstore", "nowhere", f"{NAME}.sig")
    assert code == 1
    assert [verdict for verdict, _ in told(found)] == ["Verified", "Refused", "Refused", "Unknown"]
    assert told(found)[2][1] == "WrongPredicateType"


def unfetched(**where: str) -> None:
    dataset = yaml.safe_load(Path(f"{NAME}.yaml").read_text())
    dataset["spec"]["attestations"] = [where]
    Path("far.yaml").write_text(yaml.safe_dump(dataset))


@pytest.mark.parametrize(
    "where",
    [
        {"oci": "registry.example/x@sha256:" + "0" * 64},
        {"url": "https://example.org/b.json", "sha256": "sha256:" + "0" * 64},
    ],
)
def test_evidence_that_is_not_at_hand_is_refused_as_the_webhook_refuses_it(
    where: dict[str, str], run: Run, lineward: Command, signed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unfetched(**where)
    code, found = run("verify", "far.yaml", "--trust-root", "trust.yml")
    assert (code, told(found)) == (1, [("Refused", "NoAttestation")])
    assert [step["outcome"] for step in found["reports"][0]["steps"]] == ["refused"]
    assert run("policy", "test", "policy.yml", "--against", "far.yaml", "--trust-root", "trust.yml")[0] == 1
    version = dataset.parse(yaml.safe_load(Path("far.yaml").read_text()))
    (root,) = sources.read_trust_root(Path("trust.yml"))
    asked = policy.parse(yaml.safe_load(Path("policy.yml").read_text()))
    claim = version.volumes[0]
    world = replace(a_world(), datasets={claim: (version,)}, trust_roots={"default": root})
    objection = matching.choose(claim, "", [asked], world).objection
    assert objection is not None
    assert objection[0] is Reason.NO_ATTESTATION
    assert found["reports"][0]["message"].split(": ", 1)[1] in objection[1]


@pytest.mark.parametrize("version", ["kyverno.io/v9", "lineward.dev/v1", None])
def test_an_object_of_another_group_or_version_is_not_taken_for_ours(
    version: str | None, run: Run, signed: Path
) -> None:
    rules = {"--policy": "policy.yml", "--trust-root": "trust.yml"}
    for name, reason in (
        ("policy.yml", "PolicyInvalid"),
        ("trust.yml", "TrustRootInvalid"),
        (f"{NAME}.yaml", "DatasetInvalid"),
    ):
        other = {**yaml.safe_load(Path(name).read_text()), "apiVersion": version}
        Path("other.yml").write_text(yaml.safe_dump(other))
        given = [word for option, file in rules.items() for word in (option, "other.yml" if file == name else file)]
        code, found = run("verify", "other.yml" if name == f"{NAME}.yaml" else f"{NAME}.yaml", *given)
        found = found["reports"][0] if "reports" in found else found
        assert (code, found["reason"]) == (2, reason)
        assert "not lineward.dev/v1alpha1" in found["message"]
    Path("other.yml").write_text(
        yaml.safe_dump({**yaml.safe_load(Path("policy.yml").read_text()), "apiVersion": version})
    )
    assert run("policy", "check", "other.yml")[0] == 2


def test_a_missing_trust_root_or_manifest_is_unknown(run: Run, signed: Path, data: Path) -> None:
    code, found = run("verify", f"{NAME}.yaml", "--manifest", "nowhere", "--trust-root", "trust.yml", data)
    assert (code, told(found)) == (2, [("Unknown", "ManifestInvalid")])
    both = [trust_root(name, yaml.safe_load(Path("trust.yml").read_text())["spec"]["keys"]) for name in "ab"]
    Path("trust.yml").write_text(yaml.safe_dump_all(both))
    rules = ["--policy", "policy.yml", "--trust-root", "trust.yml"]
    assert told(run("verify", f"{NAME}.yaml", *rules)[1]) == [("Unknown", "TrustRootMissing")]


def test_errors_are_one_document_too(
    run: Run, signed: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = f"{NAME}.yaml"
    code, found = run("verify", good, "--trust-root", "nowhere")
    assert (code, found["outcome"], found["reason"]) == (2, "unknown", "TrustRootInvalid")
    for wrong in (["verify", good], ["verify", good, "--nonsense"], ["nonsense"], ["policy", "test"]):
        code, found = run(*wrong)
        assert (code, found["outcome"], found["reason"]) == (64, "usage", "Usage")
    (data / "train.csv").write_text("x")
    second = ec.generate_private_key(ec.SECP256R1())
    (signed / "second.pem").write_bytes(second.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    code, found = run("attest", data, "--add-signature", good, "--unverified-first", "--key", "second.pem")
    assert (code, found["reason"]) == (1, "ContentDiffers")
    monkeypatch.setattr(verify, "judge_all", lambda *_: 1 // 0)
    code, found = run("verify", good, "--trust-root", "trust.yml")
    assert (code, found["reason"]) == (2, "InternalError")
    monkeypatch.setattr(sys, "argv", ["lineward", "verify", "--", "-o", "json"])
    capsys.readouterr()
    assert (main.main(), capsys.readouterr().out) == (64, "")


def test_no_cluster_and_no_ledger_are_one_document_too(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = str(tmp_path / "missing")
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", missing)
    code, found = run("audit")
    assert (code, found["reason"]) == (2, "ClusterUnreachable")
    (tmp_path / "token").write_text("t")
    url = ["--url", "http://127.0.0.1:9"]
    code, found = run("ledger", "head", *url, "--token-file", tmp_path / "token")
    assert (code, found["reason"]) == (2, "LedgerUnavailable")
    assert run("ledger", "head", *url)[0] == 64


def test_several_policies_and_trust_roots_are_one_document(run: Run, signed: Path) -> None:
    _, found = run("policy", "check", "policy.yml", "policy.yml")
    assert len(found["policies"]) == 2
    keys = yaml.safe_load(Path("trust.yml").read_text())["spec"]["keys"]
    ended = [{**keys[0], "notAfter": "2020-01-01T00:00:00Z"}]
    Path("trust.yml").write_text("---\n".join(json.dumps(trust_root("a", each)) + "\n" for each in (ended, keys)))
    _, found = run("trust-root", "show", "trust.yml")
    assert [len(root["keys"]) for root in found["trustRoots"]] == [1, 1]
    code, found = run("trust-root", "check", "trust.yml")
    assert (code, [bool(root["warnings"]) for root in found["trustRoots"]]) == (1, [True, False])


def test_entries_and_proofs_are_one_document(
    run: Run, signed: Path, lineward: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    _, found = run("manifest", "show", f"{NAME}.lwm", "--entries")
    assert [entry["path"] for entry in found] == ["part/test.csv", "train.csv"]
    capsys.readouterr()
    lineward("manifest", "show", f"{NAME}.lwm", "--entries", "-o", "yaml")
    assert yaml.safe_load(capsys.readouterr().out) == found
    assert run("manifest", "prove", f"{NAME}.lwm", "part")[1]["root"].startswith("sha256:")
    assert run("manifest", "prove", f"{NAME}.lwm", "part", "--out", "p.json")[1]["proof"] == "p.json"
    Path("cut.lwm").write_bytes(Path(f"{NAME}.lwm").read_bytes()[:-1])
    with pytest.raises(json.JSONDecodeError):
        run("manifest", "show", "cut.lwm", "--entries")


def test_a_bundle_is_known_wherever_its_media_type_stands(run: Run, signed: Path) -> None:
    bundle = json.loads(Path(f"{NAME}.sigstore").read_text())
    last = {name: bundle[name] for name in sorted(bundle, key=lambda name: name == "mediaType")}
    text = json.dumps(last, indent=600)
    assert text.index("mediaType") > 4096
    Path("last.json").write_text(text)
    assert told(run("verify", "last.json", "--trust-root", "trust.yml")[1]) == [("Verified", "Verified")]


@pytest.mark.parametrize("broken", ["bom", "cut", "twice"])
def test_a_broken_bundle_is_refused_and_says_why(broken: str, run: Run, signed: Path) -> None:
    raw = Path(f"{NAME}.sigstore").read_bytes()
    made = {
        "bom": (codecs.BOM_UTF8 + raw, "byte order mark"),
        "cut": (raw[:-9], "not strict JSON"),
        "twice": (b'{"mediaType":"x",' + raw.lstrip()[1:], "duplicate key"),
    }
    Path("b.json").write_bytes(made[broken][0])
    code, found = run("verify", "b.json", "--trust-root", "trust.yml")
    assert (code, told(found)) == (1, [("Refused", "EvidenceInvalid")])
    assert made[broken][1] in found["reports"][0]["message"]


def test_a_dataset_version_that_holds_a_bundle_is_no_bundle(signed: Path) -> None:
    obj = yaml.safe_load(Path(f"{NAME}.yaml").read_text())
    inputs = Inputs()
    for text in (json.dumps(obj), "{apiVersion: x}\n---\n" + json.dumps(obj), yaml.safe_dump(obj)):
        Path("d").write_text(text)
        assert verify.read_targets([Path("d")], inputs) == []
    assert (len(inputs.datasets), len(inputs.bundles)) == (3, 0)


def test_a_trust_root_in_broken_json_says_so(run: Run, signed: Path) -> None:
    for text, word in (
        ('{"mediaType": "x", "mediaType": "y"}', "duplicate key"),
        ('\ufeff{"mediaType": "x"}', "byte order"),
    ):
        Path("t.json").write_text(text)
        code, found = run("trust-root", "show", "t.json")
        assert (code, found["reason"]) == (2, "TrustRootInvalid")
        assert word in found["message"]


@pytest.mark.parametrize(
    "wrong",
    [
        ["manifest", "create", "data", "--workers", "999999999999999"],
        ["manifest", "verify", "data", "--manifest", "m", "--workers", "1025"],
        ["manifest", "verify", "data", "--manifest", "m", "--workers", "0"],
        ["manifest", "verify", "data", "--manifest", "m", "--workers", "-1"],
        ["manifest", "verify", "data", "--manifest", "m", "--sample", "0"],
        ["manifest", "verify", "data", "--manifest", "m", "--sample", "0.5"],
        ["manifest", "create", "data", "--out", "m", "--shard", "4/4"],
        ["manifest", "create", "data", "--out", "m", "--shard", "0/0"],
        ["manifest", "create", "data", "--out", "m", "--shard", "1"],
        ["manifest", "create", "data", "--out", "m", "--shard", "half"],
        ["manifest", "create", "data", "--out", "m", "--shard", "0/99999"],
        ["manifest", "create", "data", "--out", "m", "--shard", "0/99999999999999999999"],
        ["manifest", "create", "data", "--chunk-size", "0"],
        ["manifest", "create", "data", "--chunk-size", "3"],
        ["manifest", "create", "data", "--chunk-size", "99999999999999999PiB"],
        ["attest", "data", *WHAT, "--workers", "0"],
        ["attest", "data", *WHAT, "--chunk-size", "3"],
        ["verify", "data", "x", "--workers", "-1"],
        ["verify", "data", "x", "--at", "yesterday"],
        ["trust-root", "check", "x", "--days", "99999999"],
        ["trust-root", "check", "x", "--days", "-1"],
        ["ledger", "entries", "--limit", "9" * 30],
        ["ledger", "check", "--head", "1:abc"],
    ],
    ids=lambda wrong: " ".join(wrong)[-40:],
)
def test_arguments_that_cannot_be_meant_are_usage_errors(
    wrong: list[str], run: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data.parent)
    code, found = run(*wrong)
    assert (code, found["reason"]) == (64, "Usage")
    assert "invalid" not in found["message"]


def test_options_are_never_guessed_from_their_beginning(run: Run, data: Path) -> None:
    assert run("manifest", "create", data, "--work", "1")[0] == 64


def test_a_terminal_gets_no_control_characters(
    lineward: Command, signed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert lineward("verify", "no\x1b[2Jwhere", "--trust-root", "trust.yml")[0] == 2
    out = capsys.readouterr().out
    assert "no?[2Jwhere" in out
