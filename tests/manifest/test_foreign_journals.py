"""A journal or cache never costs a file: neither one that is none, nor the progress of another run."""

import os
from pathlib import Path

import pytest

from lineward.adapters import files_recall
from lineward.adapters.files_engine import Engine
from lineward.adapters.files_recall import Journal
from lineward.adapters.files_tree import Tree
from lineward.cli import manifest
from lineward.cli.exits import UsageError
from lineward.domain.errors import LinewardError
from lineward.domain.manifest import Parameters, Profile
from lineward.domain.reasons import Reason

PARAMETERS = Parameters(Profile.PORTABLE, 4096)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/file").write_bytes(os.urandom(9000))
    return tmp_path / "set"


@pytest.fixture
def journal(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal that knows a digest."""
    monkeypatch.setattr(files_recall, "_TICK", -(1 << 60))
    path = tmp_path / "journal"
    with Journal(path, folder, PARAMETERS) as known, Engine(PARAMETERS, 1, recall=known) as engine:
        for _ in engine.hash(Tree(folder, PARAMETERS.profile)):
            pass
        known.complete()
    return path


def run(*arguments: str | Path) -> int:
    return manifest.run([str(argument) for argument in arguments], "lineward manifest")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["notes", "notes.partial"])
@pytest.mark.parametrize("option", ["--journal", "--cache"])
@pytest.mark.parametrize("content", [b"x", b"LWJ2", b"my notes"])
def test_what_is_no_journal_is_left_alone(folder: Path, tmp_path: Path, name: str, option: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LinewardError, match=f"{name} is neither a journal nor a cache") as refused:
        run("create", folder, option, tmp_path / "notes")
    assert refused.value.reason is Reason.UNWRITABLE
    assert (tmp_path / name).read_bytes() == content
    assert names(tmp_path) == sorted([name, "set"])


@pytest.mark.parametrize(("stands", "asked"), [("journal",) * 2, ("mine.partial", "mine")])
def test_the_journal_of_another_run_is_left_alone(
    folder: Path, journal: Path, tmp_path: Path, stands: str, asked: str
) -> None:
    journal = journal.rename(tmp_path / stands)
    content = journal.read_bytes()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").touch()
    for other, arguments in (
        ("chunk size", [folder]),
        ("profile", [folder, "--chunk-size", "4KiB", "--profile", "posix"]),
        ("folder", [tmp_path / "other", "--chunk-size", "4KiB"]),
        ("profile and chunk size and folder", [tmp_path / "other", "--profile", "posix"]),
    ):
        with pytest.raises(LinewardError, match=f"{stands} is the journal of a run with another {other}: ") as refused:
            run("create", *arguments, "--journal", tmp_path / asked)
        assert refused.value.reason is Reason.UNWRITABLE
        assert journal.read_bytes() == content
    assert run("create", folder, "--chunk-size", "4KiB", "--journal", tmp_path / asked) == 0
    assert names(tmp_path) == ["other", "set"]


def test_a_cache_of_another_set_begins_anew(folder: Path, journal: Path) -> None:
    content = journal.read_bytes()
    assert run("create", folder, "--cache", journal) == 0
    assert journal.read_bytes() != content


def test_a_header_that_a_kill_cut_short_begins_anew(folder: Path, journal: Path, tmp_path: Path) -> None:
    """Even one of another set: nothing is lost with it."""
    content = journal.read_bytes()
    for length in range(files_recall._HEADER.size + 1):
        for name in ("j", "j.partial"):
            for chunks in ("4KiB", "8KiB"):
                (tmp_path / name).touch(0o600)
                (tmp_path / name).write_bytes(content[:length])
                assert run("create", folder, "--chunk-size", chunks, "--journal", tmp_path / "j") == 0
                assert not (tmp_path / "j").exists()


@pytest.mark.parametrize("option", ["--journal", "--cache"])
@pytest.mark.parametrize("name", ["m.lwm", "sub/../m.lwm", "link.lwm", "m.lwm.partial"])
def test_a_journal_is_no_manifest(folder: Path, tmp_path: Path, option: str, name: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.lwm").symlink_to("m.lwm")
    with pytest.raises(UsageError):
        run("create", folder, "--out", tmp_path / name, option, tmp_path / "m.lwm")
    assert names(tmp_path) == ["link.lwm", "set", "sub"]
    assert run("create", folder, "--out", tmp_path / name) == 0
    content = (tmp_path / name).read_bytes()
    with pytest.raises(UsageError):
        run("verify", folder, "--manifest", tmp_path / name, option, tmp_path / "m.lwm")
    assert (tmp_path / name).read_bytes() == content
