"""A second signer signs what the first said only where that is verified, shown, and equal to what carries it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.cli.conftest import Command
from tests.cli.test_attest import NAME, WHAT, objects
from tests.cli.test_key_trust import write_key
from tests.private_sigstore.instance import PrivateSigstore, dumps
from tests.private_sigstore.server import token
from tests.unit.evidence.samples import POLICY, a_policy, changed

from lineward.adapters import documents
from lineward.adapters.sigstore import SigstoreVerifier
from lineward.cli import attest_run
from lineward.domain import dataset, mistakes, trustroot
from lineward.domain.draft import API_VERSION
from lineward.domain.judge import judge
from lineward.domain.reasons import Reason
from lineward.domain.statement import DATASET_PROVENANCE
from lineward.domain.verdict import Verdict

FIRST = ["--identity-token", token(), "--license", "CC-BY-4.0", "--purpose", "credit\n  first signed by you"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def path(lineward: Command, data: Path, out: Path, trust_config: Path) -> Path:
    """A DatasetVersion with one signature, by the data team."""
    assert lineward("attest", data, *WHAT, *FIRST, "--trust-config", trust_config, "--out", out) == (0, "")
    return out / f"{NAME}.yaml"


@pytest.fixture
def second(trust_config: Path) -> list[str]:
    return ["--identity-token", token("review@example.org"), "--trust-config", str(trust_config)]


@pytest.fixture
def accepted(tmp_path: Path, trust_config: Path) -> list[str]:
    """Arguments by which the first signature is verified: the data team's."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(yaml.safe_dump(POLICY))
    return ["--trust-root", str(trust_config), "--policy", str(policy)]


def test_a_second_signer_adds_a_signature_to_the_same_data(
    lineward: Command,
    data: Path,
    path: Path,
    out: Path,
    second: list[str],
    accepted: list[str],
    sigstore: PrivateSigstore,
) -> None:
    assert lineward("attest", data, "--add-signature", path, *second, *accepted) == (0, "")
    version = dataset.parse(objects(out)["DatasetVersion"])
    root = trustroot.make("r", dumps(sigstore.trusted_root()).decode())
    evidence = [SigstoreVerifier().verify(attestation.bundle, root) for attestation in version.attestations]
    issuer = "https://issuer.example"
    authorities = [
        {"name": "one", "keyless": {"issuer": issuer, "subject": "data-team@example.org"}},
        {"name": "two", "keyless": {"issuer": issuer, "subject": "review@example.org"}},
    ]
    policy = a_policy(authorities=authorities, quorum=2)
    assert judge(version, evidence, policy, (), datetime.now(UTC)).verdict is Verdict.VERIFIED
    assert judge(version, evidence[:1], policy, (), datetime.now(UTC)).reason is Reason.QUORUM_NOT_MET
    before = path.read_bytes()
    (data / "train.csv").write_text("changed")
    other = ["--identity-token", token("third@example.org"), *second[2:]]
    assert lineward("attest", data, "--add-signature", path, *other, *accepted)[0] == 1
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["version.json", "all.yml", "plain"])
def test_a_second_signature_loses_nothing_of_the_file(
    lineward: Command, data: Path, path: Path, out: Path, second: list[str], accepted: list[str], name: str
) -> None:
    both = [*documents.read_all(out / f"{NAME}-manifest.yaml"), *documents.read_all(path)]
    path = out / name
    path.write_bytes(documents.dump_like(path, both))
    assert lineward("attest", data, "--add-signature", path, *second, *accepted) == (0, "")
    assert path.name in {found.name for found in out.iterdir()}
    config_map, version = documents.read_all(path)
    assert config_map == both[0]
    assert len(version["spec"]["attestations"]) == 2
    assert path.read_bytes().startswith(b"{") is (path.suffix == ".json")


def test_what_is_going_to_be_signed_is_shown(
    lineward: Command,
    data: Path,
    path: Path,
    second: list[str],
    accepted: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert lineward("attest", data, "--add-signature", path, *second, *accepted) == (0, "")
    said = capsys.readouterr().err.splitlines()
    assert "  first signed by data-team@example.org (https://issuer.example)" in said
    assert "  licence         CC-BY-4.0" in said
    assert "  personal data   not said" in said
    assert "  purposes        credit?  first signed by you" in said
    assert sum(line.startswith("  first signed by") for line in said) == 1


def forged(obj: dict[str, Any]) -> None:
    """Another licence under the first signature."""
    bundle = json.loads(obj["spec"]["attestations"][0]["bundle"])
    said = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    said["predicate"]["use"]["license"] = "MIT"
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(said).encode()).decode()
    obj["spec"]["attestations"][0]["bundle"] = json.dumps(bundle)


def relabelled(obj: dict[str, Any]) -> None:
    obj["spec"]["version"] = "2.0.0"


def recounted(obj: dict[str, Any]) -> None:
    obj["spec"]["integrity"]["files"] += 1


def other_manifest(obj: dict[str, Any]) -> None:
    obj["spec"]["integrity"]["manifest"]["digest"] = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("change", "reason", "unverified"),
    [
        (forged, Reason.EVIDENCE_INVALID, False),
        (relabelled, Reason.SPEC_MISMATCH, False),
        (relabelled, Reason.SPEC_MISMATCH, True),
        (recounted, Reason.SPEC_MISMATCH, True),
        (other_manifest, Reason.SPEC_MISMATCH, True),
    ],
)
def test_a_forged_first_statement_is_refused_before_hashing(
    change: Callable[[dict[str, Any]], None],
    reason: Reason,
    unverified: bool,  # noqa: FBT001 - a parameter of the test
    lineward: Command,
    data: Path,
    path: Path,
    second: list[str],
    accepted: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attest_run, "create_manifest", None)
    obj = documents.read_one(path)
    change(obj)
    path.write_bytes(documents.dump([obj]))
    first = ["--unverified-first"] if unverified else accepted
    code, said = lineward("attest", data, "--add-signature", path, *second, *first)
    assert (code, said.split(":")[0]) == (1, reason.value)
    assert path.read_bytes() == documents.dump([obj])


def test_a_first_signer_that_the_policy_does_not_name_is_refused(
    lineward: Command, data: Path, out: Path, trust_config: Path, second: list[str], accepted: list[str]
) -> None:
    stranger = ["--identity-token", token("stranger@example.org"), "--trust-config", str(trust_config)]
    lineward("attest", data, *WHAT, *stranger, "--out", out)
    call = ["attest", str(data), "--add-signature", str(out / f"{NAME}.yaml"), *second]
    assert lineward(*call, *accepted)[1].split(":")[0] == Reason.WRONG_IDENTITY.value
    assert lineward(*call, "--trust-root", trust_config)[1].split(":")[0] == Reason.POLICY_INVALID.value
    assert lineward(*call, "--unverified-first") == (0, "")


def test_who_signed_already_is_told_before_hashing(
    lineward: Command,
    data: Path,
    path: Path,
    trust_config: Path,
    accepted: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = tmp_path / "key.pem"
    pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    again = ["attest", str(data), "--add-signature", str(path), *accepted]
    assert lineward(*again, "--key", pem, "--trust-config", trust_config) == (0, "")
    monkeypatch.setattr(attest_run, "create_manifest", None)
    for signer in (["--key", str(pem)], ["--identity-token", token()]):
        code, said = lineward(*again, *signer, "--trust-config", trust_config)
        assert (code, said.split(":")[0]) == (2, Reason.REQUEST_INVALID.value)
        assert "already" in said


def test_a_first_signature_by_a_key_needs_no_policy(
    lineward: Command, data: Path, out: Path, second: list[str], tmp_path: Path
) -> None:
    for name in ("key", "other"):
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (tmp_path / f"{name}.pub").write_bytes(public)
        (tmp_path / f"{name}.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        until = ["--not-after", "2999-01-01T00:00:00Z", "--out", str(tmp_path / f"{name}.yml")]
        assert lineward("trust-root", "from-key", tmp_path / f"{name}.pub", *until) == (0, "")
    lineward("attest", data, *WHAT, "--key", tmp_path / "key.pem", "--out", out)
    call = ["attest", str(data), "--add-signature", str(out / f"{NAME}.yaml"), *second]
    for end in (".pub", ".yml"):
        assert lineward(*call, "--trust-root", (tmp_path / "other").with_suffix(end))[0] == 1
    before = (out / f"{NAME}.yaml").read_bytes()
    for end in (".pub", ".yml"):
        (out / f"{NAME}.yaml").write_bytes(before)
        assert lineward(*call, "--trust-root", (tmp_path / "key").with_suffix(end)) == (0, "")


def crowded(path: Path, data: Path) -> Path:
    obj = documents.read_one(path)
    obj["spec"]["attestations"] *= 16
    path.write_bytes(documents.dump_json(obj))
    return path


def foreign(path: Path, data: Path) -> Path:
    path.write_bytes(documents.dump_json({**documents.read_one(path), "apiVersion": "other.example/v1"}))
    return path


def inside(path: Path, data: Path) -> Path:
    return path.rename(data / path.name)


@pytest.mark.parametrize(
    ("spoil", "reason", "says"),
    [
        (crowded, Reason.DATASET_INVALID, "has 16 attestations"),
        (foreign, Reason.DATASET_INVALID, "of apiVersion 'other.example/v1', not lineward.dev/v1alpha1"),
        (inside, Reason.REQUEST_INVALID, "lies inside the data"),
    ],
)
def test_what_could_not_be_written_is_found_before_hashing(
    spoil: Callable[[Path, Path], Path],
    reason: Reason,
    says: str,
    lineward: Command,
    data: Path,
    path: Path,
    second: list[str],
    accepted: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attest_run, "create_manifest", None)
    path = spoil(path, data)
    code, said = lineward("attest", data, "--add-signature", path, *second, *accepted)
    assert (code, said.split(":")[0], says in said) == (2, reason.value, True)


@pytest.mark.parametrize("ended", [True, False])
def test_a_first_statement_that_has_ended_is_not_signed(
    ended: bool,  # noqa: FBT001 - a parameter of the test
    lineward: Command,
    data: Path,
    out: Path,
    tmp_path: Path,
    trust_config: Path,
    second: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    consent = {"documentId": "c", "status": "granted", "validUntil": "2020-01-01T00:00:00Z"}
    said = {"sources": [{"uri": "x", "consent": consent}], "use": {"expires": "2020-01-01T00:00:00Z"} if ended else {}}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(said))
    with monkeypatch.context() as patched:
        patched.setattr(mistakes, "require_usable", lambda *_: None)
        given = ["--provenance", str(tmp_path / "p.yaml"), "--trust-config", str(trust_config)]
        assert lineward("attest", data, *WHAT, *given, *FIRST[:2], "--out", out) == (0, "")
    if ended:
        monkeypatch.setattr(attest_run, "create_manifest", None)
    capsys.readouterr()
    code, problem = lineward("attest", data, "--add-signature", out / f"{NAME}.yaml", *second, "--unverified-first")
    if ended:
        assert (code, problem.split(":")[0]) == (2, Reason.PROVENANCE_INVALID.value)
    else:
        assert (code, problem) == (0, "")
        assert "  warning         sources[0].consent: it ended at" in capsys.readouterr().err


def test_a_first_signature_that_counts_for_nothing_is_not_joined(
    lineward: Command, data: Path, path: Path, second: list[str], accepted: list[str], tmp_path: Path
) -> None:
    """Its authority is right; age, recalls and constraints are asked too, as at admission."""
    before = path.read_bytes()
    call = ["attest", str(data), "--add-signature", str(path), *second, *accepted]
    recall = tmp_path / "recall.yml"
    spec = {"reason": "leak", "dataset": "german-credit"}
    recall.write_text(
        yaml.safe_dump({"apiVersion": API_VERSION, "kind": "DatasetRecall", "metadata": {"name": "r"}, "spec": spec})
    )
    assert lineward(*call, "--recall", recall)[1].split(":")[0] == Reason.RECALLED.value
    policy = Path(accepted[-1])
    other = {"predicateType": "https://slsa.dev/provenance/v1"}
    for asked, reason in (
        ({"maxAge": "0s"}, Reason.ATTESTATION_TOO_OLD),
        ({"constraints": {"licenses": ["MIT"]}}, Reason.CONSTRAINT_NOT_MET),
    ):
        require = [{"predicateType": DATASET_PROVENANCE, **asked}, other]
        policy.write_text(yaml.safe_dump(changed(POLICY, "spec/require", require)))
        code, said = lineward(*call)
        assert (code, said.split(":")[0]) == (1, reason.value)
    assert path.read_bytes() == before
    policy.write_text(yaml.safe_dump(changed(POLICY, "spec/require", [{"predicateType": DATASET_PROVENANCE}, other])))
    assert lineward(*call) == (0, "")


def test_a_first_signature_by_a_key_that_ended_is_not_joined(
    lineward: Command, data: Path, out: Path, second: list[str], tmp_path: Path
) -> None:
    write_key(tmp_path, "key")
    until = ["--not-after", "2020-01-01T00:00:00Z", "--out", str(tmp_path / "key.yml")]
    assert lineward("trust-root", "from-key", tmp_path / "key.pub", *until) == (0, "")
    lineward("attest", data, *WHAT, "--key", tmp_path / "key.pem", "--out", out)
    call = ["attest", str(data), "--add-signature", str(out / f"{NAME}.yaml"), *second]
    code, said = lineward(*call, "--trust-root", tmp_path / "key.yml")
    assert (code, said.split(":")[0]) == (1, Reason.OUTSIDE_VALIDITY.value)


@pytest.mark.parametrize(
    "useless",
    [["--dataset", "d"], ["--license", "MIT"], ["--out", "x"], ["--oms"], ["--force"], ["--source", "x"], ["--strict"]],
)
def test_what_has_no_effect_is_refused(lineward: Command, data: Path, useless: list[str]) -> None:
    assert lineward("attest", data, "--add-signature", "x", "--unverified-first", *useless)[0] == 64


def test_it_is_said_who_is_believed(lineward: Command, data: Path) -> None:
    assert lineward("attest", data, "--add-signature", "x")[0] == 64
    assert lineward("attest", data, *WHAT, "--unverified-first")[0] == 64
    assert lineward("attest", data, *WHAT, "--recall", "x")[0] == 64
