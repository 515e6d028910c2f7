"""`lineward attest` makes objects that the very verifier of the webhook accepts, or nothing at all."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.cli.conftest import Command
from tests.private_sigstore.instance import PrivateSigstore, dumps
from tests.private_sigstore.server import token
from tests.unit.evidence.samples import PREDICATE, a_policy, changed

from lineward.adapters import surroundings
from lineward.adapters.sigstore import SigstoreVerifier
from lineward.cli import attest_run
from lineward.domain import dataset, draft, trustroot
from lineward.domain.errors import InvalidInputError, LinewardError
from lineward.domain.evidence import KeyAnchor
from lineward.domain.judge import judge
from lineward.domain.manifest_reader import ManifestReader
from lineward.domain.reasons import Reason
from lineward.domain.verdict import Verdict

NAME = "german-credit-1.0.0"
WHAT = ["--dataset", "german-credit", "--version", "1.0.0", "--namespace", "ml", "--pvc", "credit"]


def objects(folder: Path) -> dict[str, dict[str, Any]]:
    return {made["kind"]: made for path in folder.glob("*.yaml") for made in yaml.safe_load_all(path.read_text())}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key that signs without any service."""
    made = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "key.pem"
    path.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def test_what_it_writes_is_accepted(
    lineward: Command, data: Path, out: Path, trust_config: Path, identity: list[str], sigstore: PrivateSigstore
) -> None:
    assert lineward("attest", data, *WHAT, *identity, "--trust-config", trust_config, "--out", out) == (0, "")
    made = objects(out)
    version = dataset.parse(made["DatasetVersion"])
    root = trustroot.make("r", dumps(sigstore.trusted_root()).decode())
    evidence = SigstoreVerifier().verify(version.attestations[0].bundle, root)
    judged = judge(version, [evidence], a_policy(), (), datetime.now(UTC))
    assert judged.verdict is Verdict.VERIFIED, judged.message
    assert version.volumes == (dataset.ClaimVolume("credit"),)
    assert (version.name, version.namespace) == ("german-credit-1.0.0", "ml")


def test_the_config_map_holds_the_signed_manifest(
    lineward: Command, data: Path, out: Path, trust_config: Path, identity: list[str]
) -> None:
    lineward("attest", data, *WHAT, *identity, "--trust-config", trust_config, "--out", out)
    made = objects(out)
    manifest = base64.b64decode(made["ConfigMap"]["binaryData"]["manifest.lwm"])
    version = dataset.parse(made["DatasetVersion"])
    assert version.integrity.manifest is not None
    assert version.integrity.manifest.config_map == made["ConfigMap"]["metadata"]["name"]
    reader = ManifestReader(io.BytesIO(manifest))
    assert sum(page.entries for page in reader.pages()) == 2
    assert reader.summary is not None
    assert (reader.summary.root, reader.summary.manifest) == (
        version.integrity.root,
        version.integrity.manifest.digest,
    )
    assert (out / "german-credit-1.0.0.lwm").read_bytes() == manifest


def test_a_manifest_too_large_for_a_config_map_is_not_put_into_one(
    lineward: Command,
    data: Path,
    out: Path,
    trust_config: Path,
    identity: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(draft, "MAX_CONFIG_MAP", 10)
    lineward("attest", data, *WHAT, *identity, "--trust-config", trust_config, "--out", out)
    made = objects(out)
    assert set(made) == {"DatasetVersion"}
    assert dataset.parse(made["DatasetVersion"]).integrity.manifest
    assert "configMap" not in made["DatasetVersion"]["spec"]["integrity"]["manifest"]


def empty(data: Path) -> None:
    for path in sorted(data.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()


def special(data: Path) -> None:
    os.mkfifo(data / "pipe")


def vanish(data: Path) -> None:
    empty(data)
    data.rmdir()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(empty, Reason.EMPTY_DATASET), (special, Reason.SPECIAL_FILE), (vanish, Reason.UNREADABLE)],
)
def test_bad_folders_end_with_a_reason_and_nothing_written(
    spoil: Any, reason: Reason, lineward: Command, data: Path, out: Path, trust_config: Path, identity: list[str]
) -> None:
    spoil(data)
    code, said = lineward("attest", data, *WHAT, *identity, "--trust-config", trust_config, "--out", out)
    assert (code, said.split(":")[0]) == (2, reason.value)
    assert not out.exists()


def test_an_unreadable_file_ends_with_a_reason_and_nothing_written(data: Path, tmp_path: Path) -> None:
    """In a process of another user: root reads everything."""
    secret = data / "secret.csv"
    secret.write_text("x")
    secret.chmod(0)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o755)
    out = tmp_path / "o"
    out.mkdir()
    out.chmod(0o777)
    key = tmp_path / "key.pem"
    private = ec.generate_private_key(ec.SECP256R1())
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key.chmod(0o644)
    parent = os.fork()
    if parent == 0:
        code = 99
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            os.chdir("/")
            from lineward.cli import main  # noqa: PLC0415 - in the child

            main.dispatch(["attest", str(data), *WHAT, "--key", str(key), "--out", str(out)], "lineward")
        except LinewardError as error:
            code = 7 if error.reason is Reason.UNREADABLE else 98
        finally:
            os._exit(code)
    _, status = os.waitpid(parent, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    assert not list(out.iterdir())


@pytest.mark.parametrize(
    "extra",
    [
        [],
        ["--identity-token", "nonsense"],
        ["--identity-token", "@/nonexistent"],
        ["--identity-token", token(lifetime=timedelta(minutes=-10))],
        ["--key", "/nonexistent"],
    ],
    ids=["none", "malformed", "missing file", "expired", "missing key"],
)
def test_without_an_identity_nothing_is_hashed(
    extra: list[str], lineward: Command, data: Path, out: Path, trust_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attest_run, "create_manifest", None)
    code, said = lineward("attest", data, *WHAT, *extra, "--trust-config", trust_config, "--out", out)
    assert (code, said.split(":")[0]) == (2, Reason.NO_IDENTITY.value)
    assert not out.exists()
    assert "nonsense" not in said


def test_the_token_may_come_from_the_environment(
    lineward: Command, data: Path, out: Path, trust_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", token() + "\n")
    assert lineward("attest", data, *WHAT, "--trust-config", trust_config, "--out", out)[0] == 0


def test_services_that_cannot_be_reached_are_named(
    lineward: Command, data: Path, out: Path, tmp_path: Path, identity: list[str], sigstore: PrivateSigstore
) -> None:
    config = tmp_path / "config.json"
    config.write_bytes(dumps(sigstore.trust_config("http://127.0.0.1:9")))
    code, said = lineward("attest", data, *WHAT, *identity, "--trust-config", config, "--out", out)
    assert (code, said.split(":")[0]) == (2, Reason.NOT_SIGNED.value)
    assert "refused" in said
    assert not out.exists()


def test_a_bundle_that_does_not_verify_is_never_written(
    lineward: Command, data: Path, out: Path, trust_config: Path, tmp_path: Path, identity: list[str]
) -> None:
    config = json.loads(trust_config.read_text())
    config["trustedRoot"]["timestampAuthorities"] = PrivateSigstore().trusted_root()["timestampAuthorities"]
    other = tmp_path / "other.json"
    other.write_bytes(dumps(config))
    code, said = lineward("attest", data, *WHAT, *identity, "--trust-config", other, "--out", out)
    assert (code, said.split(":")[0]) == (2, Reason.NOT_SIGNED.value)
    assert not out.exists()


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--dataset", ["no spaces", "", "-", "x" * 129]),
        ("--version", ["../..", "1.0.", "x" * 129]),
        ("--namespace", ["Team_A", "a.b", "a-", "x" * 64]),
        ("--name", ["Not-DNS", "a..b", "x" * 241]),
        ("--pvc", ["Bad_Claim", "claim:", ":path", "claim:/path", "claim:a/../b", "x" * 254]),
        ("--image", ["registry/x:latest", "x@sha256:" + "a" * 63, "x y@sha256:" + "a" * 64]),
        ("--nfs", ["server", "server:path", ":/path", "ser ver:/path"]),
        ("--csi", ["driver", "driver/", "/handle", "bad driver/handle"]),
        ("--fetched", ["data", "/", "/data/", "/data/../x", "/da\x07ta"]),
        ("--expires", ["tomorrow", "2027-01-31", "2027-02-30T00:00:00Z"]),
    ],
)
def test_an_option_that_cannot_be_meant_is_named_before_hashing(
    option: str,
    values: list[str],
    lineward: Command,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(attest_run, "create_manifest", None)
    for value in values:
        assert lineward("attest", data, *WHAT, f"{option}={value}")[0] == 64, value
        assert f"{option}: " in capsys.readouterr().err.splitlines()[-1]


def test_every_place_is_written_as_the_schema_spells_it(lineward: Command, data: Path, out: Path, key: Path) -> None:
    image = "registry.example/credit@sha256:" + "a" * 64
    places = ["--pvc", "credit:2026/april", "--image", image, "--nfs", "2001:db8::1:/exports/a:b"]
    places += ["--csi", "ebs.csi.aws.com/vol-1/2", "--fetched", "/data"]
    assert lineward("attest", data, *WHAT, *places, "--key", key, "--out", out) == (0, "")
    assert dataset.parse(objects(out)["DatasetVersion"]).volumes == (
        dataset.ClaimVolume("credit"),
        dataset.ClaimVolume("credit", "2026/april"),
        dataset.ImageVolume(image),
        dataset.NfsVolume("2001:db8::1", "/exports/a:b"),
        dataset.CsiVolume("ebs.csi.aws.com", "vol-1/2"),
        dataset.FetchedVolume("/data"),
    )


def test_the_longest_name_has_room_for_its_files(lineward: Command, data: Path, out: Path, key: Path) -> None:
    out.mkdir()
    assert lineward("attest", data, *WHAT, "--name", "x" * 240, "--key", key, "--out", out) == (0, "")
    assert len(objects(out)) == 2


def test_surroundings_that_do_not_fit_are_found_before_hashing(
    lineward: Command, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attest_run, "create_manifest", None)
    monkeypatch.setattr(surroundings, "describe", lambda _: {f"ci.{i}": "x" for i in range(65)})
    code, said = lineward("attest", data, *WHAT)
    assert (code, said.split(":")[:2]) == (2, [Reason.PROVENANCE_INVALID.value, " producer.environment"])


def test_a_version_that_is_no_label_gets_a_valid_object_name() -> None:
    assert draft.object_name("German_Credit", "1.0+build.2") == "german-credit-1.0-build.2"
    assert draft.object_name("a", "x" * 128).startswith("a-xxx")
    with pytest.raises(InvalidInputError):
        draft.object_name("___", "+")


def test_output_inside_the_data_is_refused(
    lineward: Command, data: Path, trust_config: Path, identity: list[str]
) -> None:
    code, said = lineward("attest", data, *WHAT, *identity, "--trust-config", trust_config, "--out", data / "out")
    assert (code, "inside the data" in said) == (2, True)


def test_files_that_are_there_are_kept(
    lineward: Command, data: Path, out: Path, trust_config: Path, identity: list[str]
) -> None:
    out.mkdir()
    (out / "german-credit-1.0.0.yaml").write_text("mine")
    call = ["attest", str(data), *WHAT, *identity, "--trust-config", str(trust_config), "--out", str(out)]
    assert "--force" in lineward(*call)[1]
    assert [path.name for path in out.iterdir()] == ["german-credit-1.0.0.yaml"]
    assert (out / "german-credit-1.0.0.yaml").read_text() == "mine"
    assert lineward(*call, "--force")[0] == 0


LASTING = changed(PREDICATE, "use/expires", "2999-01-01T00:00:00Z")
LASTING = changed(LASTING, "sources/0/consent/validUntil", "2999-01-01T00:00:00Z")
PROVENANCE = {key: value for key, value in LASTING.items() if key not in {"integrity", "createdAt"}}


def signed(out: Path) -> dict[str, Any]:
    bundle = json.loads((out / "german-credit-1.0.0.sigstore").read_text())
    predicate: dict[str, Any] = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))["predicate"]
    return predicate


def test_provenance_comes_from_file_and_flags(
    lineward: Command, data: Path, out: Path, tmp_path: Path, trust_config: Path, identity: list[str]
) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump(PROVENANCE))
    flags = ["--provenance", str(path), "--license", "MIT", "--source", "git://x", "--purpose", "research", "--strict"]
    collected = {"collection": {"method": "export"}}
    path.write_text(yaml.safe_dump({**PROVENANCE, **collected}))
    assert lineward("attest", data, *WHAT, *flags, *identity, "--trust-config", trust_config, "--out", out) == (0, "")
    said = signed(out)
    assert said["use"]["license"] == "MIT"
    assert said["use"]["purposes"] == ["credit-scoring", "research"]
    assert [source["uri"] for source in said["sources"]] == ["s3://bank/credit.csv", "git://x"]
    assert said["producer"]["tool"] == "lineward"


@pytest.mark.parametrize(
    "text",
    [
        "use: {licence: MIT}",
        "integrity: {}",
        "dataset: {version: '2'}",
        "dataset: {name: other}",
        "a: 1\na: 2",
        "sources: &a [{uri: x}]\nuse: *a",
        "- list",
        "{unclosed",
        "sources: [{uri: x, system: git, pin: {git: {repo: r, commit: short}}}]",
        "sources: [{uri: x, system: s3, pin: {git: {repo: r, commit: " + "a" * 40 + "}}}]",
        "critical: [https://example.org/unknown]",
        "extensions: {a: .nan}",
        "extensions: {a: 1, A: 2}",
        "extensions: {a: " + "[" * 31 + "]" * 31 + "}",  # one deeper than a file may nest
        "extensions: {a: " + "[" * 30 + "]" * 30 + "}",  # and than a predicate, which is inside a statement
        "extensions: {a: '" + "x" * 300_000 + "'}",
        "extensions: {1: a, b: c}",
        "extensions: {a: !!binary aGk=}",
    ],
)
def test_wrong_provenance_is_refused_by_name(
    text: str, lineward: Command, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attest_run, "create_manifest", None)
    path = tmp_path / "p.yaml"
    path.write_text(text)
    code, said = lineward("attest", data, *WHAT, "--provenance", path)
    assert (code, said.split(":")[0]) == (2, Reason.PROVENANCE_INVALID.value), said


def test_provenance_nests_as_deep_as_a_statement_has_room_for(
    lineward: Command, data: Path, out: Path, tmp_path: Path, key: Path
) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("extensions: {a: " + "[" * 29 + "]" * 29 + "}")
    assert lineward("attest", data, *WHAT, "--provenance", path, "--key", key, "--out", out) == (0, "")


def test_what_is_missing_is_named_before_hashing(
    lineward: Command, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = lineward("attest", data, *WHAT, "--strict", "--license", "MIT")
    assert (code, said.split(":")[0]) == (2, Reason.PROVENANCE_INVALID.value)
    assert "sources" in said
    assert "use.license" not in said
    lineward("attest", data, *WHAT)
    assert "does not say" in capsys.readouterr().err


def test_a_new_version_starts_from_the_previous_one(
    lineward: Command, data: Path, out: Path, tmp_path: Path, trust_config: Path, identity: list[str]
) -> None:
    first = ["--dataset", "german-credit", "--version", "0.9.0", "-n", "ml", "--license", "MIT", "--source", "s3://b"]
    earlier = tmp_path / "earlier"
    lineward("attest", data, *first, *identity, "--trust-config", trust_config, "--out", earlier)
    for previous in ("german-credit-0.9.0.yaml", "german-credit-0.9.0.sigstore"):
        call = ["attest", str(data), *WHAT, *identity, "--from-previous", str(earlier / previous), "--force"]
        assert lineward(*call, "--trust-config", trust_config, "--out", out) == (0, "")
        said = signed(out)
        assert said["dataset"] == {"name": "german-credit", "version": "1.0.0", "previousVersion": "0.9.0"}
        assert (said["use"]["license"], said["sources"][0]["uri"]) == ("MIT", "s3://b")
        assert objects(out)["DatasetVersion"]["spec"]["previousVersion"] == "0.9.0"


def test_a_file_over_the_previous_version_drops_no_restriction(
    lineward: Command, data: Path, out: Path, tmp_path: Path, trust_config: Path, identity: list[str]
) -> None:
    path, earlier = tmp_path / "p.yaml", tmp_path / "earlier"
    signed_by = [*identity, "--trust-config", str(trust_config)]
    use = {"license": "LicenseRef-X", "expires": "2099-01-01T00:00:00Z", "prohibited": ["ads"], "personalData": True}
    path.write_text(yaml.safe_dump({"use": use}))
    first = ["--dataset", "german-credit", "--version", "0.9.0", "-n", "ml", "--provenance", str(path)]
    lineward("attest", data, *first, *signed_by, "--out", earlier)
    path.write_text("use: {license: MIT, prohibited: [resale]}\ndataset: {description: d}\n")
    previous = ["--from-previous", str(earlier / "german-credit-0.9.0.yaml"), "--provenance", str(path)]
    assert lineward("attest", data, *WHAT, *previous, *signed_by, "--out", out) == (0, "")
    assert signed(out)["use"] == {**use, "license": "MIT", "prohibited": ["ads", "resale"]}
    assert signed(out)["dataset"]["previousVersion"] == "0.9.0"
    code, said = lineward("attest", data, *first[:-2], *previous, *signed_by, "--out", tmp_path / "own")
    assert (code, said.split(":")[0], "its own previous" in said) == (2, Reason.PROVENANCE_INVALID.value, True)


KEYS = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1(), None]


@pytest.mark.parametrize("curve", KEYS, ids=lambda curve: curve.name if curve else "ed25519")
@pytest.mark.parametrize("timed", [True, False])
def test_a_key_signs_with_or_without_a_time(
    curve: ec.EllipticCurve | None,
    timed: bool,  # noqa: FBT001 - a parameter of the test
    lineward: Command,
    data: Path,
    out: Path,
    tmp_path: Path,
    trust_config: Path,
    sigstore: PrivateSigstore,
) -> None:
    key = ec.generate_private_key(curve) if curve else ed25519.Ed25519PrivateKey.generate()
    path = tmp_path / "key.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    extra = ["--trust-config", str(trust_config)] if timed else []
    assert lineward("attest", data, *WHAT, "--key", path, *extra, "--out", out) == (0, "")
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    until = datetime.now(UTC) + timedelta(days=1)
    root = trustroot.make(
        "r", dumps(sigstore.trusted_root()).decode() if timed else "", (KeyAnchor("vault", pem, None, until),)
    )
    version = dataset.parse(objects(out)["DatasetVersion"])
    evidence = SigstoreVerifier().verify(version.attestations[0].bundle, root)
    assert (evidence.signed_at is not None) is timed
    policy = a_policy(authorities=[{"name": "vault", "key": {"pem": pem}}])
    assert judge(version, [evidence], policy, (), datetime.now(UTC)).verdict is Verdict.VERIFIED
    later = until + timedelta(seconds=1)
    assert (judge(version, [evidence], policy, (), later).reason is Reason.OUTSIDE_VALIDITY) is not timed


def test_the_git_commit_is_recorded_without_secrets(
    lineward: Command, data: Path, out: Path, trust_config: Path, identity: list[str], tmp_path: Path
) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "remote", "add", "origin", "https://me:secret@git.example/etl"], check=True)
    subprocess.run([*git, "add", "data"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "x"], check=True)
    lineward("attest", data, *WHAT, *identity, "--trust-config", trust_config, "--out", out)
    found = signed(out)["producer"]["environment"]
    assert found["git.repository"] == "https://git.example/etl"
    assert len(found["git.commit"]) == 40
    assert found["git.clean"] == "true"


def test_usage_errors_end_in_64(lineward: Command, data: Path) -> None:
    assert lineward("attest", data)[0] == 64
    assert lineward("attest")[0] == 64
    assert lineward("attest", data, *WHAT, "--personal-data", "perhaps")[0] == 64
    assert lineward("attest", data, *WHAT, "--workers", "0")[0] == 64
    assert lineward("attest", data, *WHAT, "--context", "prod")[0] == 64
