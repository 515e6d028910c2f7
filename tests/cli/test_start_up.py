"""What hashing a folder imports: each of these costs more than hashing a small folder does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lineward.adapters.files import create_manifest

SLOW = {
    *{"asyncio", "concurrent", "cryptography", "dataclasses", "datetime", "inspect", "json", "logging", "random"},
    *{"shutil", "sigstore", "subprocess", "tempfile", "yaml"},
}
"""Some stand for what they bring with them: dataclasses imports inspect, and that ast, dis and tokenize."""
PROGRAM = f"""
import sys
from lineward.cli.main import main
code = main()
print(code, *sorted({SLOW!r} & set(sys.modules)))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file of more than one chunk; beside it its manifest."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.csv").write_text("a")
    (data / "large").write_bytes(bytes(9 * 1024**2))
    with (tmp_path / "data.lwm").open("wb") as out:
        create_manifest(data, out=out)
    return data


@pytest.mark.parametrize("recall", [[], ["--cache", "c"], ["--journal", "j"]])
@pytest.mark.parametrize("command", [["create"], ["verify", "--manifest", "data.lwm"]])
def test_nothing_slow_is_imported(folder: Path, command: list[str], recall: list[str]) -> None:
    assert imported(folder, *command, "data", *recall) == ["0"]


def test_nothing_slow_is_imported_to_name_what_differs(folder: Path) -> None:
    (folder / "a.csv").write_text("b")
    assert imported(folder, "verify", "data", "--manifest", "data.lwm") == ["1"]


def imported(folder: Path, *arguments: str) -> list[str]:
    """Exit code of the command, and the slow modules that are there at its end."""
    words = [sys.executable, "-c", PROGRAM, "manifest", *arguments]
    done = subprocess.run(words, cwd=folder.parent, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()[-1].split()
