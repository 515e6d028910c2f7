"""`attest --force` killed at any rename leaves the set that was there, the new one, or nothing that is believed."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.cli.conftest import Command
from tests.cli.test_attest import NAME, WHAT

MOVES = 9
"""Five files of the older set are taken away, and four of the new one put in place."""


@pytest.fixture
def keys(tmp_path: Path) -> list[Path]:
    """Private keys, each with its public key beside it."""
    made = [tmp_path / f"{i}.pem" for i in range(2)]
    for path in made:
        key = ec.generate_private_key(ec.SECP256R1())
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        path.with_suffix(".pub").write_bytes(public)
    return made


def killed(last: int, call: Callable[[], object]) -> int:
    """End of a fork that makes a call and kills itself at its rename number `last`."""
    child = os.fork()
    if child == 0:
        try:
            left = iter(range(last))

            def until(real: Callable[..., None], *names: Path) -> None:
                if next(left, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                real(*names)

            rename, replace = os.rename, os.replace
            vars(os).update(rename=lambda *n: until(rename, *n), replace=lambda *n: until(replace, *n))
            call()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def fits(folder: Path) -> bool:
    """Whether a set is of one piece: the object names the manifest, which is also in the ConfigMap."""
    manifest = (folder / f"{NAME}.lwm").read_bytes()
    version = yaml.safe_load((folder / f"{NAME}.yaml").read_text())
    shipped = yaml.safe_load((folder / f"{NAME}-manifest.yaml").read_text())
    digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    named = version["spec"]["integrity"]["manifest"]["digest"] == digest
    return named and base64.b64decode(shipped["binaryData"]["manifest.lwm"]) == manifest


def test_a_replacement_that_is_killed(
    lineward: Command, data: Path, tmp_path: Path, keys: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    older, first, out = tmp_path / "older", tmp_path / "first", tmp_path / "out"
    shutil.copytree(data, older)
    (data / "train.csv").write_text("age,income\n42,2\n")
    call = [*WHAT, "--key", str(keys[0]), "--out"]
    assert lineward("attest", older, *call, first, "--oms") == (0, "")
    known = f"{tmp_path}/0.pub"
    ends = []
    for last in range(MOVES + 1):
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(first, out)
        end = killed(last, lambda: lineward("attest", data, *call, out, "--force"))
        assert end == (0 if last == MOVES else -signal.SIGKILL)
        accepted = tuple(
            lineward("verify", folder, out / f"{NAME}.yaml", "--trust-root", known)[0] == 0 for folder in (older, data)
        )
        ends.append(accepted)
        assert (contents(out) == contents(first)) is accepted[0]
        assert not any(accepted) or fits(out)
        assert lineward("attest", data, *call, out, "--force") == (0, "")
        assert lineward("verify", data, out / f"{NAME}.yaml", "--trust-root", known)[0] == 0
        assert {path.name for path in out.iterdir()} == contents(first).keys() - {f"{NAME}.sig"}
        assert fits(out)
    assert ends == [(True, False), *[(False, False)] * (MOVES - 1), (False, True)]


@pytest.mark.parametrize("last", range(2))
def test_a_second_signature_that_is_killed(
    lineward: Command, data: Path, tmp_path: Path, keys: list[Path], last: int
) -> None:
    out = tmp_path / "out"
    assert lineward("attest", data, *WHAT, "--key", keys[0], "--out", out) == (0, "")
    before = contents(out)
    path = out / f"{NAME}.yaml"
    call = ["--add-signature", str(path), "--key", str(keys[1]), "--unverified-first"]
    killed(last, lambda: lineward("attest", data, *call))
    after = {name: content for name, content in contents(out).items() if not name.startswith(".")}
    assert {name for name in before if after[name] != before[name]} == ({path.name} if last else set())
    assert len(yaml.safe_load(path.read_text())["spec"]["attestations"]) == 1 + last
    assert lineward("verify", data, path, "--trust-root", f"{tmp_path}/0.pub")[0] == 0
