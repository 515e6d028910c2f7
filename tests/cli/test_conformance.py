"""Others' tests of our verifier: every bundle-verify case of sigstore-conformance, by path and by digest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.conftest import vectors_folder, without_vectors
from tests.private_sigstore.instance import PrivateSigstore, dumps
from tests.private_sigstore.server import token

from lineward.cli import conformance
from lineward.domain import statement
from lineward.domain.digest import Digest
from lineward.domain.errors import LinewardError
from lineward.domain.statement import Statement

SUITE = vectors_folder() / "sigstore-conformance" / "bundle-verify"
CASES = sorted(path.name for path in SUITE.iterdir() if path.is_dir()) if SUITE.is_dir() else []
ANY = CASES or (pytest.param("none", marks=pytest.mark.skip(reason=without_vectors())),)
IDENTITY = (
    "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/"
    "extremely-dangerous-oidc-beacon.yml@refs/heads/main"
)
ISSUER = "https://token.actions.githubusercontent.com"


def arguments(case: Path) -> list[str]:
    def given(name: str, default: str) -> str:
        return (case / name).read_text().strip() if (case / name).exists() else default

    made = ["verify-bundle", "--bundle", str(case / "bundle.sigstore.json")]
    if (case / "key.pub").exists():
        made += ["--key", str(case / "key.pub")]
    else:
        made += ["--certificate-identity", given("identity", IDENTITY)]
        made += ["--certificate-oidc-issuer", given("issuer", ISSUER)]
    if (case / "trusted_root.json").exists():
        made += ["--trusted-root", str(case / "trusted_root.json")]
    return made


def test_the_whole_suite_is_there(vectors: Path) -> None:
    assert (len(CASES), sum(name.endswith("_fail") for name in CASES)) == (70, 49)


@pytest.mark.parametrize("by_digest", [False, True], ids=["path", "digest"])
@pytest.mark.parametrize("name", ANY)
def test_a_case_ends_as_its_authors_say(name: str, by_digest: bool) -> None:  # noqa: FBT001 - a parameter of the test
    case = SUITE / name
    path = case / "artifact" if (case / "artifact").exists() else SUITE / "a.txt"
    artifact = "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest() if by_digest else str(path)
    if name.endswith("_fail"):
        with pytest.raises(LinewardError):
            conformance.run([*arguments(case), artifact], "test")
    else:
        assert conformance.run([*arguments(case), artifact], "test") == 0


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("intoto-expired-certificate_fail", "not valid at validation time"),
        ("intoto-set-outside-signing-cert-validity_fail", "not valid at validation time"),
        ("intoto-tsa-timestamp-outside-cert-validity_fail", "not valid at validation time"),
        ("bundle-from-wrong-instance_fail", "names 0 transparency logs"),
        ("invalid-ct-key_fail", "names 0 certificate transparency logs"),
        ("managed-key-no-key_fail", "no key of the trust root"),
    ],
)
def test_a_bad_case_fails_for_the_reason_in_its_name(name: str, says: str, vectors: Path) -> None:
    with pytest.raises(LinewardError, match=says):
        conformance.run([*arguments(SUITE / name), str(SUITE / "a.txt")], "test")


@pytest.mark.parametrize("in_toto", [True, False])
def test_what_it_signs_it_verifies(
    in_toto: bool,  # noqa: FBT001 - a parameter of the test
    tmp_path: Path,
    trust_config: Path,
) -> None:
    config = json.loads(trust_config.read_text())
    (tmp_path / "root.json").write_bytes(dumps(config["trustedRoot"]))
    (tmp_path / "signing.json").write_bytes(dumps(config["signingConfig"]))
    artifact = tmp_path / "artifact"
    artifact.write_bytes(b"hello")
    signed = artifact
    if in_toto:
        signed = tmp_path / "statement"
        digest = Digest(hashlib.sha256(b"hello").digest())
        signed.write_bytes(statement.build(Statement("artifact", digest, "https://example.org/p", {})))
    bundle = ["--bundle", str(tmp_path / "b.json"), "--trusted-root", str(tmp_path / "root.json")]
    sign = ["--identity-token", token(), "--signing-config", str(tmp_path / "signing.json"), str(signed)]
    assert conformance.run(["sign-bundle", *(["--in-toto"] if in_toto else []), *bundle, *sign], "test") == 0
    who = ["--certificate-identity", "data-team@example.org", "--certificate-oidc-issuer", "https://issuer.example"]
    assert conformance.run(["verify-bundle", *bundle, *who, str(artifact)], "test") == 0
    artifact.write_bytes(b"other")
    with pytest.raises(LinewardError):
        conformance.run(["verify-bundle", *bundle, *who, str(artifact)], "test")
    artifact.write_bytes(b"hello")
    who[1] = "someone@example.org"
    with pytest.raises(LinewardError):
        conformance.run(["verify-bundle", *bundle, *who, str(artifact)], "test")


def test_a_key_needs_no_time_there(tmp_path: Path) -> None:
    """The suite's protocol has one key and no window of it, so that only the signature is judged."""
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key.pub").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "artifact").write_bytes(b"hello")
    digest = Digest(hashlib.sha256(b"hello").digest())
    signed = statement.build(Statement("artifact", digest, "https://example.org/p", {}))
    (tmp_path / "b.json").write_bytes(dumps(PrivateSigstore().sign_with_key(signed, key)))
    call = ["verify-bundle", "--bundle", str(tmp_path / "b.json"), "--key", str(tmp_path / "key.pub")]
    assert conformance.run([*call, str(tmp_path / "artifact")], "test") == 0


def test_an_error_becomes_an_exit_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bundle = tmp_path / "b"
    bundle.write_bytes(dumps(PrivateSigstore().sign(b"x")))
    who = ["--certificate-identity", "a", "--certificate-oidc-issuer", "b"]
    monkeypatch.setattr("sys.argv", ["x", "verify-bundle", "--bundle", str(bundle), *who, str(bundle)])
    assert conformance.main() == 1
