"""`trust-root fetch` against a TUF repository on loopback: what it brings verifies, what was changed is not taken."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from tests.cli.conftest import Command
from tests.private_sigstore import tuf_repository
from tests.private_sigstore.instance import PrivateSigstore, dumps

from lineward.adapters.sigstore import SigstoreVerifier
from lineward.domain import trustroot

URL = "http://127.0.0.1:1/"


def fetch(lineward: Command, url: str, root: Path, *arguments: str | Path) -> tuple[int, str]:
    return lineward("trust-root", "fetch", "--url", url, "--root", root, *arguments)


def test_what_is_fetched_is_what_verifies(
    lineward: Command, sigstore: PrivateSigstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tuf_repository.write(tmp_path / "repository", sigstore.trust_config(URL))
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    with tuf_repository.serve(tmp_path / "repository") as url:
        assert fetch(lineward, url, root, "--name", "private", "--out", tmp_path / "root.yaml") == (0, "")
        assert fetch(lineward, url, root, "--raw", "--out", tmp_path / "trusted_root.json") == (0, "")
    obj = yaml.safe_load((tmp_path / "root.yaml").read_text())
    assert (obj["kind"], obj["metadata"]["name"]) == ("TrustRoot", "private")
    bundle = dumps(sigstore.sign(b"{}"))
    for text in (obj["spec"]["trustedRoot"], (tmp_path / "trusted_root.json").read_text()):
        signed = SigstoreVerifier().check(bundle, trustroot.make("r", text))
        assert signed.signer.subject == "data-team@example.org"
    assert lineward("trust-root", "check", tmp_path / "root.yaml", "--days", "1") == (0, "")
    assert list(home.iterdir()) == []


def _another_target(folder: Path) -> None:
    (target,) = (folder / "targets").glob("*.trusted_root.json")
    changed = json.loads(target.read_text())
    changed["tlogs"] = []
    target.write_text(json.dumps(changed))


def _another_list(folder: Path) -> None:
    listed = json.loads((folder / "1.targets.json").read_text())
    listed["signed"]["targets"]["trusted_root.json"]["length"] += 1
    (folder / "1.targets.json").write_text(json.dumps(listed))


def _no_target(folder: Path) -> None:
    (target,) = (folder / "targets").glob("*.trusted_root.json")
    target.unlink()


@pytest.mark.parametrize("change", [_another_target, _another_list, _no_target])
def test_what_was_changed_is_not_taken(
    lineward: Command, sigstore: PrivateSigstore, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    root = tuf_repository.write(tmp_path / "repository", sigstore.trust_config(URL))
    change(tmp_path / "repository")
    with tuf_repository.serve(tmp_path / "repository") as url:
        code, said = fetch(lineward, url, root, "--out", tmp_path / "root.yaml")
    assert (code, said.split(":")[0]) == (2, "TrustRootMissing")
    assert not (tmp_path / "root.yaml").exists()


def test_a_root_of_another_repository_trusts_nothing(
    lineward: Command, sigstore: PrivateSigstore, tmp_path: Path
) -> None:
    tuf_repository.write(tmp_path / "repository", sigstore.trust_config(URL))
    foreign = tuf_repository.write(tmp_path / "foreign", sigstore.trust_config(URL))
    with tuf_repository.serve(tmp_path / "repository") as url:
        assert fetch(lineward, url, foreign)[1].startswith("TrustRootMissing")


def test_a_repository_that_nobody_renews_is_not_believed(
    lineward: Command, sigstore: PrivateSigstore, tmp_path: Path
) -> None:
    root = tuf_repository.write(tmp_path / "repository", sigstore.trust_config(URL), expires=timedelta(seconds=-1))
    with tuf_repository.serve(tmp_path / "repository") as url:
        code, said = fetch(lineward, url, root)
    assert (code, said.split(":")[0]) == (2, "TrustRootMissing")
    assert "timestamp.json is expired" in said
