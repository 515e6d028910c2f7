"""Arguments of `lineward manifest` that cannot be meant: usage errors, and nothing is read or written."""

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
