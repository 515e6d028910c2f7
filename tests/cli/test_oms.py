"""OMS both ways, with the real model_signing: we verify its signatures, it verifies ours, and both see tampering."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.cli.conftest import Command
from tests.private_sigstore.server import token
from tests.unit.evidence.samples import POLICY, changed

from lineward.cli import oms as oms_command
from lineward.domain import oms, statement
from lineward.domain.digest import Digest
from lineward.domain.draft import API_VERSION
from lineward.domain.errors import LinewardError
from lineward.domain.oms import OMS_SIGNATURE
from lineward.domain.reasons import Reason
from lineward.domain.statement import PAYLOAD_TYPE, Statement

WHAT = ["--dataset", "d", "--version", "1", "--namespace", "ml", "--pvc", "credit"]


@pytest.fixture
def key(tmp_path: Path, lineward: Command) -> Path:
    """A P-256 key, `k.pem` and `k.pub`, and a trust root that gives it an end, `k.yml`."""
    private = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "k.pem").write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "k.pub").write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    until = ["--not-after", "2999-01-01T00:00:00Z", "--out", str(tmp_path / "k.yml")]
    assert lineward("trust-root", "from-key", tmp_path / "k.pub", *until) == (0, "")
    return tmp_path / "k"


def model_signing(*arguments: str | Path) -> int:
    """Run the reference tool with nothing of the developer's surroundings."""
    command = [sys.executable, "-m", "model_signing", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode


def test_we_verify_what_model_signing_signs_with_a_key(
    lineward: Command, data: Path, tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signature = tmp_path / "s.sig"
    assert model_signing("sign", "key", data, "--private_key", f"{key}.pem", "--signature", signature) == 0
    call = ["verify", str(data), str(signature), "--trust-root", f"{key}.yml"]
    assert lineward(*call) == (0, "")
    assert "counts for this check only" not in capsys.readouterr().out
    assert lineward(*call[:-1], f"{key}.pub") == (0, "")
    assert "counts for this check only" in capsys.readouterr().out
    (data / "added.csv").write_text("x")
    assert lineward(*call)[0] == 1
    (data / "added.csv").unlink()
    (data / "train.csv").write_text("other")
    assert lineward(*call)[0] == 1


def test_paths_that_the_signer_ignores_must_be_absent(lineward: Command, data: Path, tmp_path: Path, key: Path) -> None:
    """model_signing itself lets unsigned files pass there."""
    signature = tmp_path / "s.sig"
    model_signing("sign", "key", data, "--private_key", f"{key}.pem", "--signature", signature)
    call = ["verify", str(data), str(signature), "--trust-root", f"{key}.yml"]
    (data / ".gitignore").write_text("unsigned")
    assert model_signing("verify", "key", data, "--signature", signature, "--public_key", f"{key}.pub") == 0
    assert lineward(*call)[0] == 1
    (data / ".gitignore").unlink()
    assert lineward(*call)[0] == 0


def test_ignored_paths_are_looked_for_or_nothing_is_told(
    lineward: Command, data: Path, tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signature, evil = tmp_path / "s.sig", data / "evil"
    evil.write_text("x")
    ignoring: list[str | Path] = ["--ignore-paths", evil, "--signature", signature]
    assert model_signing("sign", "key", data, "--private_key", f"{key}.pem", *ignoring) == 0
    evil.unlink()
    for folder, there, verdict, outcome in (
        ([], False, "Unknown", "notApplicable"),
        ([data], False, "Verified", "passed"),
        ([data], True, "Refused", None),
    ):
        if there:
            evil.write_text("x")
        capsys.readouterr()
        code, _ = lineward("verify", *folder, signature, "--trust-root", f"{key}.yml", "-o", "json")
        (report,) = json.loads(capsys.readouterr().out)["reports"]
        assert (code, report["verdict"]) == ({"Verified": 0, "Refused": 1, "Unknown": 2}[verdict], verdict)
        outcomes = {step["name"]: step["outcome"] for step in report["steps"]}
        assert outcomes.get("ignored paths") == outcome


def test_model_signing_verifies_what_we_sign_with_a_key(
    lineward: Command, data: Path, tmp_path: Path, key: Path
) -> None:
    assert lineward("attest", data, *WHAT, "--key", f"{key}.pem", "--oms", "--out", tmp_path / "o") == (0, "")
    check: list[str | Path] = [
        "verify",
        "key",
        data,
        "--signature",
        tmp_path / "o" / "d-1.sig",
        "--public_key",
        f"{key}.pub",
    ]
    assert model_signing(*check) == 0
    (data / "part" / "test.csv").write_text("other")
    assert model_signing(*check) != 0


def test_both_signatures_are_over_one_state(
    lineward: Command, data: Path, tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is read twice: a file that changes in between leaves nothing signed."""
    listed = oms_command.statement_of

    def changes(folder: Path) -> bytes:
        (folder / "part" / "test.csv").write_text("other")
        return listed(folder)

    monkeypatch.setattr(oms_command, "statement_of", changes)
    code, said = lineward("attest", data, *WHAT, "--key", f"{key}.pem", "--oms", "--out", tmp_path / "o")
    assert (code, said.split(":")[0]) == (2, Reason.CHANGED_WHILE_READ)
    assert not (tmp_path / "o").exists()


def test_both_ways_keyless(
    lineward: Command, data: Path, tmp_path: Path, trust_config: Path, identity: list[str]
) -> None:
    out: list[str | Path] = ["--trust-config", str(trust_config), "--out", str(tmp_path / "o")]
    assert lineward("attest", data, *WHAT, *identity, "--oms", *out) == (0, "")
    who = ["--identity", "data-team@example.org", "--identity_provider", "https://issuer.example"]
    ours: list[str | Path] = ["--signature", tmp_path / "o" / "d-1.sig", "--trust_config", trust_config]
    assert model_signing("verify", "sigstore", data, *ours, *who) == 0
    theirs = tmp_path / "theirs.sig"
    signed: list[str | Path] = ["--identity_token", token(), "--trust_config", trust_config, "--signature", theirs]
    assert model_signing("sign", "sigstore", data, *signed) == 0
    root = tmp_path / "root.json"
    root.write_text(json.dumps(json.loads(trust_config.read_text())["trustedRoot"]))
    issuer = ["--issuer", "https://issuer.example", "--trust-root", str(root)]
    assert lineward("verify", data, theirs, *issuer, "--subject", "data-team@example.org") == (0, "")
    assert lineward("verify", data, theirs, *issuer, "--subject", "other@example.org")[0] == 1


@pytest.fixture
def signature(lineward: Command, data: Path, tmp_path: Path, trust_config: Path, identity: list[str]) -> Path:
    """An OMS signature over the data, made now by the data team; `root.json` is beside it."""
    out: list[str | Path] = ["--trust-config", str(trust_config), "--out", str(tmp_path / "o")]
    assert lineward("attest", data, *WHAT, *identity, "--oms", *out) == (0, "")
    (tmp_path / "o" / "root.json").write_text(json.dumps(json.loads(trust_config.read_text())["trustedRoot"]))
    return tmp_path / "o" / "d-1.sig"


WHO = ["--issuer", "https://issuer.example", "--subject", "data-team@example.org"]


def judged(lineward: Command, capsys: pytest.CaptureFixture[str], signature: Path, *given: str | Path) -> str:
    """The verdict's reason and message."""
    capsys.readouterr()
    lineward("verify", signature, "--trust-root", signature.with_name("root.json"), *given, "-o", "json")
    (report,) = json.loads(capsys.readouterr().out)["reports"]
    return f"{report['reason']}: {report['message']}"


def test_a_recalled_signer_signs_no_folder(
    lineward: Command, signature: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the recall is about one data set, since an OMS signature does not say of which it is."""
    signer = {"issuer": "https://issuer.example", "subject": "data-team@example.org"}
    recall = signature.with_name("recall.yml")
    spec = {"reason": "stolen laptop", "dataset": "other", "signer": signer}
    recall.write_text(
        yaml.safe_dump({"apiVersion": API_VERSION, "kind": "DatasetRecall", "metadata": {"name": "r"}, "spec": spec})
    )
    assert judged(lineward, capsys, signature, *WHO).startswith("Verified")
    assert judged(lineward, capsys, signature, *WHO, "--recall", recall).startswith("Recalled")
    signer["subject"] = "someone@else.org"
    recall.write_text(
        yaml.safe_dump({"apiVersion": API_VERSION, "kind": "DatasetRecall", "metadata": {"name": "r"}, "spec": spec})
    )
    assert judged(lineward, capsys, signature, *WHO, "--recall", recall).startswith("Verified")


def test_a_signature_of_the_future_does_not_count_yet(
    lineward: Command, signature: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = judged(lineward, capsys, signature, *WHO, "--at", "2026-01-01T00:00:00Z")
    assert said.startswith("OutsideValidity: signed in the future")


@pytest.mark.parametrize("require", [[], [{"predicateType": OMS_SIGNATURE}]], ids=["provenance", "also OMS"])
def test_no_policy_is_satisfied_by_an_oms_signature(
    require: list[dict[str, str]], lineward: Command, signature: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The webhook admits on dataset provenance only, whatever else a policy requires."""
    policy = signature.with_name("policy.yml")
    policy.write_text(yaml.safe_dump(changed(POLICY, "spec/require", require)))
    said = judged(lineward, capsys, signature, "--policy", policy)
    assert said.startswith("WrongPredicateType: an OMS signature cannot satisfy policy training")


def test_what_kept_us_from_looking_is_no_refusal(
    lineward: Command, data: Path, tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As for a DatasetVersion: no trust root of the policy's name, and files that nobody can read."""
    assert lineward("attest", data, *WHAT, "--key", f"{key}.pem", "--oms", "--out", tmp_path / "o") == (0, "")
    policy = tmp_path / "policy.yml"
    policy.write_text(yaml.safe_dump(POLICY))
    renamed = tmp_path / "other.yml"
    renamed.write_text(key.with_suffix(".yml").read_text().replace("name: default", "name: other"))
    capsys.readouterr()
    for target in ("d-1.sig", "d-1.yaml"):
        given: list[str | Path] = [data, tmp_path / "o" / target, "--policy", policy, "--trust-root", renamed]
        assert lineward("verify", *given, "-o", "json") == (2, "")
        (report,) = json.loads(capsys.readouterr().out)["reports"]
        assert (report["verdict"], report["reason"]) == ("Unknown", Reason.TRUST_ROOT_MISSING)


@pytest.mark.parametrize("reason", [Reason.UNREADABLE, Reason.CHANGED_WHILE_READ])
def test_a_folder_that_could_not_be_read_whole_is_no_refusal(
    reason: Reason, lineward: Command, data: Path, tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Path) -> None:
        raise LinewardError(reason, "x")

    assert lineward("attest", data, *WHAT, "--key", f"{key}.pem", "--oms", "--out", tmp_path / "o") == (0, "")
    call = ["verify", str(data), str(tmp_path / "o" / "d-1.sig"), "--trust-root", f"{key}.yml"]
    assert lineward(*call) == (0, "")
    monkeypatch.setattr(oms_command, "digests", fails)
    assert lineward(*call) == (2, "")


def test_a_key_outside_its_window_signs_no_folder(
    lineward: Command, data: Path, tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lineward("attest", data, *WHAT, "--key", f"{key}.pem", "--oms", "--out", tmp_path / "o") == (0, "")
    entry = {"name": "k", "pem": key.with_suffix(".pub").read_text(), "notAfter": "2026-06-01T00:00:00Z"}
    root = tmp_path / "o" / "root.json"
    root.write_text(
        yaml.safe_dump(
            {"apiVersion": API_VERSION, "kind": "TrustRoot", "metadata": {"name": "t"}, "spec": {"keys": [entry]}}
        )
    )
    signature = tmp_path / "o" / "d-1.sig"
    assert judged(lineward, capsys, signature, "--at", "2026-05-31T00:00:00Z").startswith("Verified")
    assert judged(lineward, capsys, signature, "--at", "2026-06-02T00:00:00Z").startswith("OutsideValidity")


FILES = [("a.csv", Digest(b"\1" * 32)), ("b/c.csv", Digest(b"\2" * 32))]
GOOD = json.loads(oms.statement_of("data", FILES))


def parsed(said: dict[str, object]) -> oms.Signature:
    return oms.parse(statement.parse(PAYLOAD_TYPE, json.dumps(said).encode()))


def test_our_statement_is_read_as_it_was_meant() -> None:
    assert parsed(GOOD) == oms.Signature(dict(FILES), ())


RESOURCES = GOOD["predicate"]["resources"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("predicateType", "https://model_signing/Digests/v0.1"),
        ("predicate/serialization/method", "shards"),
        ("predicate/serialization/hash_type", "blake2b"),
        ("predicate/serialization/allow_symlinks", True),
        ("predicate/serialization/unknown", True),
        ("predicate/resources", []),
        ("predicate/resources", [*RESOURCES, RESOURCES[0]]),
        ("predicate/resources", RESOURCES[:1]),
        ("predicate/resources", RESOURCES[::-1]),
        ("predicate/resources/0/digest", "00" * 32),
        ("predicate/resources/0/algorithm", "sha256-sharded-200"),
        ("predicate/resources/0/name", "/etc/passwd"),
        ("predicate/resources/0/name", "b/../a.csv"),
        ("predicate/resources/0/name", "./a.csv"),
        ("subject", [*GOOD["subject"], *GOOD["subject"]]),
    ],
)
def test_an_oms_statement_that_is_none(path: str, value: object) -> None:
    with pytest.raises(LinewardError):
        parsed(changed(GOOD, path, value))


def test_a_renamed_file_is_a_change_though_the_root_is_the_same() -> None:
    """The signed root covers digests only: names are ours to compare."""
    renamed = changed(GOOD, "predicate/resources/0/name", "z.csv")
    with pytest.raises(LinewardError) as caught:
        oms.require_same(parsed(renamed), dict(FILES))
    assert caught.value.reason is Reason.CONTENT_DIFFERS


def test_another_statement_is_no_oms_signature() -> None:
    said = Statement("d", Digest(bytes(32)), "https://x", {})
    with pytest.raises(LinewardError) as caught:
        oms.parse(said)
    assert caught.value.reason is Reason.WRONG_PREDICATE_TYPE
