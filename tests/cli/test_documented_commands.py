"""The commands that the guides show are run as they stand, on what `attest` writes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from tests.cli.conftest import Command
from tests.cli.test_key_trust import FAR, write_key
from tests.unit.evidence.samples import POLICY, changed

DOCS = Path(__file__).resolve().parents[2] / "docs"
_SHOWN = re.compile(r"`(lineward (?:verify|policy test) [^`]*)`")


def shown() -> list[str]:
    """Commands of the guides on files; those with words in capitals are patterns, and no commands."""
    pages = ("data-engineer.md", "platform-engineer.md")
    found = [command for page in pages for command in _SHOWN.findall((DOCS / page).read_text())]
    return [command for command in found if not re.search(r"\b[A-Z]{2,}\b", command)]


@pytest.fixture
def folder(lineward: Command, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the guides speak of: data, what was attested with a key, policy and trust root."""
    monkeypatch.chdir(tmp_path)
    data.rename("credit")
    write_key(tmp_path, "key")
    what = ["--dataset", "german-credit", "--version", "1.0.0", "--namespace", "ml", "--pvc", "credit"]
    assert lineward("attest", "credit", *what, "--key", "key.pem", "--out", "attested") == (0, "")
    (tmp_path / "policy.yaml").write_text(
        yaml.safe_dump(changed(POLICY, "spec/authorities", [{"name": "team", "key": {"name": "key"}}]))
    )
    for name in ("root.yaml", "trust-root.yaml"):
        assert lineward("trust-root", "from-key", "key.pub", "--not-after", FAR, "--out", name) == (0, "")
    return tmp_path


def words(command: str) -> list[str]:
    """As the shell hands them over."""
    _, *given = shlex.split(command)
    return [word for each in given for word in (sorted(map(str, Path().glob(each))) if "*" in each else [each])]


def test_the_guides_show_some() -> None:
    assert len(shown()) >= 4


@pytest.mark.parametrize("command", shown())
def test_what_the_guides_show_works(
    command: str, folder: Path, lineward: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lineward(*words(command)) == (0, "")
    left_out = "attested/german-credit-1.0.0-manifest.yaml holds no DatasetVersion, only a ConfigMap: left out"
    assert (left_out in capsys.readouterr().err) is ("*" in command)


def test_a_manifest_alone_is_no_target(folder: Path, lineward: Command) -> None:
    given = ["attested/german-credit-1.0.0-manifest.yaml", "--policy", "policy.yaml", "--trust-root", "root.yaml"]
    assert lineward("verify", *given) == (2, "")


def test_the_trust_root_may_stand_beside_the_policy(folder: Path, lineward: Command) -> None:
    against = ["--against", "attested/german-credit-1.0.0.yaml"]
    assert lineward("policy", "test", "policy.yaml", *against) == (64, "usage")
    both = f"{Path('policy.yaml').read_text()}---\n{Path('root.yaml').read_text()}"
    Path("policy.yaml").write_text(both)
    assert lineward("policy", "test", "policy.yaml", *against) == (0, "")
    assert lineward("policy", "test", "policy.yaml", *against, "--trust-root", "root.yaml") == (0, "")
    assert lineward("verify", against[1], "--policy", "policy.yaml") == (0, "")
    assert lineward("policy", "check", "policy.yaml") == (0, "")
