"""A checkout can come with a vendor's delivery: facts are read from it, and no program that it names is run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lineward.adapters import surroundings

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

PROGRAMS = (
    "core.fsmonitor",
    "core.pager",
    "core.editor",
    "core.sshCommand",
    "core.gitProxy",
    "core.askPass",
    "core.alternateRefsCommand",
    "pager.status",
    "pager.config",
    "pager.rev-parse",
    "sequence.editor",
    "credential.helper",
    "gpg.program",
    "gpg.ssh.program",
    "gpg.ssh.defaultKeyCommand",
    "gpg.x509.program",
    "diff.external",
    "diff.evil.command",
    "diff.evil.textconv",
    "merge.evil.driver",
    "filter.evil.clean",
    "filter.evil.smudge",
    "filter.evil.process",
    "filter.lfs.clean",
    "interactive.diffFilter",
    "uploadpack.packObjectsHook",
    "remote.origin.uploadpack",
    "remote.origin.vcs",
    "trailer.evil.command",
    "ssh.variant",
)
"""What git-config(1) runs, by its key."""
HOOKS = ("post-index-change", "post-checkout", "pre-commit", "reference-transaction", "fsmonitor-watchman")


def git(folder: Path, *command: str) -> str:
    author = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always")
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", "-C", str(folder), *author, *command], capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "delivery"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "train.csv").write_text("age,income\n41,1\n")
    git(folder, "init", "-q")
    git(folder, "remote", "add", "origin", "https://me:secret@git.example/etl")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "x")
    return folder


def trap(folder: Path, mark: Path) -> None:
    """Let every configuration, attribute and hook of a checkout run a program that leaves a mark."""
    program = mark.with_name("program.sh")
    program.write_text(f"#!/bin/sh\necho $0 $* >> {mark}\ncat\n")
    program.chmod(0o755)
    directory = Path(git(folder, "rev-parse", "--absolute-git-dir"))
    for hook in HOOKS:
        shutil.copy(program, directory / "hooks" / hook)
    (directory / "info").mkdir(exist_ok=True)
    (directory / "info" / "attributes").write_text("* filter=evil diff=evil merge=evil\n")
    for key in PROGRAMS:
        git(folder, "config", key, str(program))
    git(folder, "config", "alias.status", f"!{program}")
    git(folder, "config", "filter.evil.required", "true")
    git(folder, "config", "status.submoduleSummary", "true")
    git(folder, "config", "log.showSignature", "true")
    git(folder, "config", "core.untrackedCache", "true")
    included = mark.with_name("included")
    included.write_text(f'[filter "included"]\n\tclean = {program}\n')
    git(folder, "config", "includeIf.gitdir:/**.path", str(included))
    (folder / ".gitattributes").write_text("*.csv filter=included\n")


def touch(folder: Path) -> None:
    for path in folder.rglob("*.csv"):
        os.utime(path, (1, 1))


def test_no_program_of_the_checkout_is_run(checkout: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init", "-q")
    (inner / "more.csv").write_text("x\n")
    git(inner, "add", ".")
    git(inner, "commit", "-q", "-m", "x")
    git(checkout, "submodule", "--quiet", "add", str(inner), "data/inner")
    git(checkout, "commit", "-q", "-m", "y")
    commit = git(checkout, "rev-parse", "HEAD")
    mark = tmp_path / "mark"
    for folder in (checkout, checkout / "data" / "inner"):
        trap(folder, mark)
    touch(checkout)
    found = surroundings.describe(checkout / "data", {})
    assert not mark.exists(), mark.read_text()
    assert found == {
        "git.commit": commit,
        "git.repository": "https://git.example/etl",
        "git.clean": "true",
    }
    subprocess.run(["git", "-C", checkout, "status"], capture_output=True, check=False)
    assert mark.exists(), "the traps must work, or the test proves nothing"


def test_a_promised_object_is_not_fetched(checkout: Path, tmp_path: Path) -> None:
    """A partial clone fetches what it lacks by a command of its configuration."""
    mark, program = tmp_path / "mark", tmp_path / "program.sh"
    program.write_text(f"#!/bin/sh\necho >{mark}\n")
    program.chmod(0o755)
    git(checkout, "config", "remote.origin.url", f"ext::{program}")
    git(checkout, "config", "protocol.ext.allow", "always")
    git(checkout, "config", "remote.origin.promisor", "true")
    git(checkout, "config", "extensions.partialClone", "origin")
    git(checkout, "config", "core.repositoryFormatVersion", "1")
    shutil.rmtree(checkout / ".git" / "objects")
    (checkout / ".git" / "objects").mkdir()
    assert "git.clean" not in surroundings.describe(checkout / "data", {})
    assert not mark.exists()
    subprocess.run(["git", "-C", checkout, "status"], capture_output=True, check=False)
    assert mark.exists(), "the trap must work, or the test proves nothing"


def test_what_changed_is_told(checkout: Path) -> None:
    assert surroundings.describe(checkout / "data", {})["git.clean"] == "true"
    (checkout / "elsewhere.csv").write_text("x")
    assert surroundings.describe(checkout / "data", {})["git.clean"] == "true"
    (checkout / "data" / "new.csv").write_text("x")
    assert surroundings.describe(checkout / "data", {})["git.clean"] == "false"
    (checkout / "data" / "new.csv").unlink()
    (checkout / "data" / "train.csv").write_text("x")
    assert surroundings.describe(checkout / "data", {})["git.clean"] == "false"


def test_a_linked_checkout_is_told_too(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "worktree", "add", "-q", str(tmp_path / "linked"))
    found = surroundings.describe(tmp_path / "linked" / "data", {})
    assert (found["git.commit"], found["git.clean"]) == (git(checkout, "rev-parse", "HEAD"), "true")


def test_what_cannot_be_found_out_is_left_out(checkout: Path) -> None:
    (checkout / ".git" / "index").write_bytes(b"broken")
    assert "git.clean" not in surroundings.describe(checkout / "data", {})
    (checkout / ".git" / "HEAD").write_text("ref: refs/heads/none\n")
    assert surroundings.describe(checkout / "data", {}) == {}


def test_git_is_asked_about_the_folder_and_no_other(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setenv("GIT_DIR", str(checkout / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(checkout))
    assert surroundings.describe(other, {}) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_checkout_of_another_user_says_nothing(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    for path in (checkout, checkout / ".git"):
        os.chown(path, 65534, 65534)
    assert surroundings.describe(checkout / "data", {}) == {}


def test_a_bare_repository_among_the_data_is_none(checkout: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(checkout), "bare")
    git(tmp_path / "bare", "config", "core.bare", "false")
    git(tmp_path / "bare", "config", "core.worktree", str(checkout))
    assert surroundings.describe(tmp_path / "bare", {}) == {}
