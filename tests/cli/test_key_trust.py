"""A bare key counts for the check it is given to, a key of a TrustRoot as in the cluster; from-key writes it down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.cli.conftest import Command
from tests.cli.test_verify import verify
from tests.private_sigstore.instance import PrivateSigstore, dumps

from lineward.adapters import sources
from lineward.domain.draft import API_VERSION
from lineward.domain.evidence import SigningTime, TrustRoot
from lineward.domain.plan import Refusal
from lineward.domain.reasons import Reason
from lineward_webhook import evidence, kinds

WHAT = ["--dataset", "d", "--version", "1", "--namespace", "ml", "--pvc", "credit"]
FAR = "2999-01-01T00:00:00Z"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A folder with the private key `vault.pem` and the public key `vault.pub`."""
    write_key(tmp_path, "vault")
    return tmp_path


def write_key(folder: Path, name: str) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub").write_bytes(public)
    (folder / f"{name}.pem").write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@pytest.fixture
def timeless(lineward: Command, data: Path, key: Path) -> Path:
    """A bundle by the key without a signing time."""
    assert lineward("attest", data, *WHAT, "--key", key / "vault.pem", "--out", key / "timeless") == (0, "")
    return key / "timeless" / "d-1.sigstore"


@pytest.fixture
def timed(lineward: Command, data: Path, key: Path, trust_config: Path) -> Path:
    """A bundle by the key, time-stamped now; `stripped` is the same one without its stamp."""
    signed: list[str | Path] = ["--key", key / "vault.pem", "--trust-config", trust_config, "--out", key / "timed"]
    assert lineward("attest", data, *WHAT, *signed) == (0, "")
    bundle = json.loads((key / "timed" / "d-1.sigstore").read_text())
    del bundle["verificationMaterial"]["timestampVerificationData"]
    (key / "timed" / "stripped").write_text(json.dumps(bundle))
    return key / "timed" / "d-1.sigstore"


def written(lineward: Command, key: Path, *arguments: str | Path) -> Path:
    """The TrustRoot that from-key writes."""
    path = key / "root.yaml"
    assert lineward("trust-root", "from-key", key / "vault.pub", *arguments, "--out", path) == (0, "")
    return path


def endless(public: Path) -> dict[str, Any]:
    """A TrustRoot that gives the key no end."""
    keys = [{"name": public.stem, "pem": public.read_text()}]
    return {"apiVersion": API_VERSION, "kind": "TrustRoot", "metadata": {"name": "default"}, "spec": {"keys": keys}}


@pytest.mark.parametrize("kind", ["timeless", "timed"])
def test_an_endless_key_of_a_trust_root_counts_as_the_webhook_counts_it(
    kind: str, key: Path, lineward: Command, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    bundle: Path = request.getfixturevalue(kind)
    path = key / "endless.yaml"
    path.write_text(yaml.safe_dump(endless(key / "vault.pub")))
    root = kinds.read_trust_root(endless(key / "vault.pub"))
    assert isinstance(root, TrustRoot)
    assert [read.digest for read in sources.read_trust_root(path)] == [root.digest]
    there = evidence.verify(bundle.read_bytes(), root)
    assert isinstance(there, Refusal)
    code, (report,) = verify(lineward, capsys, bundle, "--trust-root", path)
    assert (code, report["reason"], report["message"]) == (1, there.reason, there.message)
    if kind == "timeless":
        assert "gives key vault no notAfter: lineward trust-root from-key writes one that does" in there.message


def test_a_bare_key_counts_for_this_check_and_says_so(
    timeless: Path, key: Path, data: Path, lineward: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    for target in (timeless, timeless.with_name("d-1.yaml")):
        code, (report,) = verify(lineward, capsys, data, target, "--trust-root", key / "vault.pub")
        assert (code, report["verdict"]) == (0, "Verified")
        (said,) = [step["detail"] for step in report["steps"] if step["name"] == "window of the key"]
        assert said.startswith("key given without a window: it counts for this check only; in a cluster")
    assert lineward("verify", data, timeless, "--trust-root", key / "vault.pub") == (0, "")
    assert "it counts for this check only" in capsys.readouterr().out
    root = written(lineward, key, "--not-after", FAR)
    code, (report,) = verify(lineward, capsys, data, timeless, "--trust-root", root)
    assert (code, [step for step in report["steps"] if step["name"] == "window of the key"]) == (0, [])
    code, (report,) = verify(lineward, capsys, timeless, "--trust-root", root, "--at", "2999-01-01T00:00:01Z")
    assert (code, report["reason"]) == (1, Reason.OUTSIDE_VALIDITY)


def test_bare_keys_stand_for_one_trust_root(
    timeless: Path, timed: Path, key: Path, sigstore: PrivateSigstore, lineward: Command
) -> None:
    """Also with a trusted_root.json, whose authorities tell the time of what was stamped."""
    write_key(key, "second")
    (key / "root.json").write_bytes(dumps(sigstore.trusted_root()))
    both: list[str | Path] = ["--trust-root", key / "second.pub", "--trust-root", key / "vault.pub"]
    assert lineward("verify", timeless, *both) == (0, "")
    assert lineward("verify", timeless, *both, "--trust-root", key / "vault.pub") == (0, "")
    assert lineward("verify", timeless, timed, *both, "--trust-root", key / "root.json") == (0, "")
    root = written(lineward, key, "--not-after", FAR)
    assert lineward("verify", timeless, "--trust-root", root, "--trust-root", root) == (0, "")
    assert lineward("verify", timeless, *both, "--trust-root", root) == (64, "usage")
    (key / "sub").mkdir()
    write_key(key / "sub", "vault")
    code, said = lineward("verify", timeless, *both, "--trust-root", key / "sub" / "vault.pub")
    assert (code, said.split(":")[0]) == (2, Reason.TRUST_ROOT_INVALID)


def broken_roots(key: Path) -> dict[str, str]:
    """Trust root files of which one part cannot be used, and what is to be said of it."""
    odd = rsa.generate_private_key(65537, 2048).public_key()
    (key / "odd.pub").write_bytes(odd.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (key / "cut.pub").write_text((key / "vault.pub").read_text().replace("\n", "", 2))
    keys = [{"name": name, "pem": (key / f"{name}.pub").read_text(), "notAfter": FAR} for name in ("odd", "vault")]
    for name, each in (("before", keys), ("after", keys[::-1])):
        root = {**endless(key / "vault.pub"), "spec": {"keys": each}}
        (key / f"{name}.yaml").write_text(yaml.safe_dump(root))
    (key / "empty.json").write_text('{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}')
    return {
        "odd.pub": "key odd: only P-256",
        "cut.pub": "key cut: not a public key",
        "before.yaml": "key odd: only P-256",
        "after.yaml": "key odd: only P-256",
        "empty.json": "trustedRoot lacks tlogs, certificateAuthorities, ctlogs",
    }


def test_a_trust_root_that_cannot_be_used_whole_is_noticed_when_it_is_read(
    timeless: Path, key: Path, lineward: Command
) -> None:
    """Not per bundle, where the order of keys would decide, and what was signed would look refused."""
    for name, says in broken_roots(key).items():
        for command in (["verify", timeless, "--trust-root"], ["trust-root", "check"]):
            code, said = lineward(*command, key / name)
            assert (code, said.split(":")[0]) == (2, Reason.TRUST_ROOT_INVALID), name
            assert says in said, name


def test_show_has_a_word_for_a_key_without_a_start(
    key: Path, lineward: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lineward("trust-root", "show", key / "vault.pub") == (0, "")
    assert "vault  open to open  valid" in capsys.readouterr().out


def test_a_key_that_did_not_sign_is_nobody(
    timeless: Path, key: Path, lineward: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    write_key(key, "vault")
    root = written(lineward, key, "--not-after", FAR)
    for given in (root, key / "vault.pub"):
        code, (report,) = verify(lineward, capsys, timeless, "--trust-root", given)
        assert (code, report["reason"]) == (1, Reason.WRONG_IDENTITY)


@pytest.mark.parametrize("word", SigningTime)
def test_a_stripped_stamp_is_noticed_only_where_a_time_is_required(
    word: SigningTime,
    timed: Path,
    key: Path,
    trust_config: Path,
    lineward: Command,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The key may sign from 2998 on; what it signed now must never count, and a year into its window none tells."""
    asked = ["--signing-time", word, "--trusted-root", str(trust_config)]
    root = written(lineward, key, *asked, "--not-after", FAR)
    assert verify(lineward, capsys, timed, "--trust-root", root)[0] == 0
    root = written(lineward, key, *asked, "--not-before", "2998-01-01T00:00:00Z", "--not-after", FAR)
    given = ["--trust-root", str(root), "--at", "2998-06-01T00:00:00Z"]
    code, (report,) = verify(lineward, capsys, timed, *given)
    assert (code, report["reason"]) == (1, Reason.OUTSIDE_VALIDITY)
    code, (report,) = verify(lineward, capsys, timed.with_name("stripped"), *given)
    assert code == (1 if word is SigningTime.REQUIRED else 0)
    if code:
        assert report["reason"] == Reason.OUTSIDE_VALIDITY
        assert "requires of key vault: lineward attest --trust-config" in report["message"]


@pytest.mark.parametrize(
    ("given", "word", "says"),
    [
        (["--not-after", FAR], "Optional", "signing time optional"),
        (["--not-after", FAR, "--signing-time", "Required"], "Required", "signing time required"),
        ([], "Optional", "signing time required, for want of a notAfter"),
    ],
)
def test_show_says_whether_a_time_is_required(
    given: list[str],
    word: str,
    says: str,
    key: Path,
    trust_config: Path,
    lineward: Command,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = written(lineward, key, *given, "--trusted-root", trust_config)
    capsys.readouterr()
    assert lineward("trust-root", "show", root, "-o", "json") == (0, "")
    shown, *authorities = json.loads(capsys.readouterr().out)["trustRoots"][0]["keys"]
    assert (shown["name"], shown["signingTime"]) == ("vault", word)
    assert not any("signingTime" in each for each in authorities)
    assert lineward("trust-root", "show", root) == (0, "")
    assert [line.endswith(says) for line in capsys.readouterr().out.splitlines() if "vault" in line] == [True]


def test_from_key_writes_what_was_asked_and_no_more(
    key: Path, lineward: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lineward("trust-root", "from-key", key / "vault.pub", "--not-after", FAR, "--name", "keys") == (0, "")
    obj = yaml.safe_load(capsys.readouterr().out)
    assert (obj["apiVersion"], obj["kind"], obj["metadata"]) == ("lineward.dev/v1alpha1", "TrustRoot", {"name": "keys"})
    pem = (key / "vault.pub").read_text()
    assert obj["spec"] == {"keys": [{"name": "vault", "pem": pem, "notAfter": FAR}]}


@pytest.mark.parametrize(
    ("name", "given", "code"),
    [
        ("vault.pub", [], 64),
        ("vault.pub", ["--not-after", "soon"], 64),
        ("vault.pub", ["--not-after", FAR, "--signing-time", "Always"], 64),
        ("vault.pub", ["--not-after", FAR, "--signing-time", "Required"], 2),
        ("vault.pub", ["--not-after", FAR, "--trusted-root", "vault.pub"], 2),
        ("vault.pem", ["--not-after", FAR], 2),
        ("nowhere", ["--not-after", FAR], 2),
    ],
)
def test_a_trust_root_that_could_not_count_is_not_written(
    name: str, given: list[str], code: int, key: Path, lineward: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(key)
    found, said = lineward("trust-root", "from-key", name, *given, "--out", "root.yaml")
    assert (found, said.split(":")[0]) == (code, "usage" if code == 64 else Reason.TRUST_ROOT_INVALID)
    assert not Path("root.yaml").exists()
