"""Arguments of `lineward manifest` that cannot be meant or read, and what is said of them."""

import json
import os
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Command

ROOT = "sha256:" + "0" * 64


@pytest.fixture(autouse=True)
def inside(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty name would be the current folder."""
    monkeypatch.chdir(data)


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", ""],
        ["create", ".", "--out", ""],
        ["create", ".", "--journal", ""],
        ["create", ".", "--cache", ""],
        ["verify", "", "--root", ROOT],
        ["verify", ".", "--root", ROOT, "--manifest", ""],
        ["verify", ".", "--root", ROOT, "--journal", ""],
        ["verify", ".", "--root", ROOT, "--cache", ""],
        ["merge", ""],
        ["merge", "../shard", "--out", ""],
        ["show", ""],
        ["diff", "", "../m.lwm"],
        ["diff", "../m.lwm", ""],
        ["prove", "", "train.csv"],
        ["prove", "../m.lwm", "train.csv", "--out", ""],
        ["check-proof", "", "--root", ROOT, "--path", "train.csv"],
        ["check-proof", "../p.json", "--root", ROOT, "--path", "train.csv", "--data", ""],
    ],
)
def test_an_empty_name_is_no_file(lineward: Command, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert lineward("manifest", *arguments) == (64, "usage")
    assert "an empty text names no file" in capsys.readouterr().err


@pytest.fixture
def made(lineward: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The manifest of a set with a name that is no text."""
    Path(os.fsdecode(b"\xff\xfe")).touch()
    assert lineward("manifest", "create", ".", "--out", tmp_path / "m.lwm") == (0, "")
    capsys.readouterr()
    return tmp_path / "m.lwm"


@pytest.mark.parametrize("path", ["./part", "", "/", "part/../part", "part//x", "n" * 256])
def test_a_path_that_no_set_has_is_not_the_manifests_fault(
    lineward: Command, made: Path, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (
        ["prove", made, path],
        ["check-proof", "p.json", "--root", ROOT, "--path", path],
        ["verify", "part", "--manifest", made, "--directory", path],
    ):
        assert lineward("manifest", *command) == (64, "usage")
        assert "is no path in a set" in capsys.readouterr().err


def test_slashes_around_a_directory_do_not_matter(lineward: Command, made: Path) -> None:
    assert lineward("manifest", "verify", "part", "--manifest", made, "--directory", "/part/") == (0, "")


def test_a_directory_that_the_set_has_not_is_said_once(
    lineward: Command, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lineward("manifest", "verify", "part", "--manifest", made, "--directory", "nope")[0] == 2
    assert " RequestInvalid: the manifest has nothing at or below nope" in capsys.readouterr().out
    assert lineward("manifest", "verify", "part", "--manifest", made, "--directory", "nope", "-o", "json")[0] == 2
    assert json.loads(capsys.readouterr().out)["message"] == "the manifest has nothing at or below nope"


def test_a_proof_needs_a_manifest_that_can_be_read_again(lineward: Command, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(writing)
    pipe = f"/proc/self/fd/{reading}"
    found = lineward("manifest", "prove", pipe, "part")
    os.close(reading)
    assert found == (2, f"ManifestInvalid: {pipe} must be a file: it is read more than once")


def test_a_standard_input_that_is_closed(lineward: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    for command in (["show", "-"], ["diff", "-", "-"]):
        assert lineward("manifest", *command) == (2, "ManifestInvalid: standard input is closed")


def test_a_path_that_is_no_text_looks_the_same_everywhere(
    lineward: Command, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str | Path) -> dict[str, str]:
        assert lineward("manifest", *arguments, "-o", "json")[0] < 2
        out = capsys.readouterr().out
        assert "udc" not in out
        return dict(json.loads(out))

    odd, other, proof = os.fsdecode(b"\xff\xfe"), os.fsdecode(b"\xff\xfd"), tmp_path / "p.json"
    proven = said("prove", made, odd, "--out", proof)
    assert proven["path"] == r"\xff\xfe"
    check = ("check-proof", proof, "--root", proven["root"], "--path")
    assert said(*check, odd)["path"] == r"\xff\xfe"
    assert said(*check, other)["message"] == r"the proof is about \xff\xfe, not \xff\xfd"
    assert lineward("manifest", "prove", made, odd, "--out", tmp_path / "q.json") == (0, "")
    assert r"\xff\xfe" in capsys.readouterr().out
