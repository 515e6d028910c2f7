"""What a command that hashes imports before its first byte: each of these costs more than hashing a small folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lineward.adapters.files import create_manifest

SLOW = {"asyncio", "concurrent", "dataclasses", "datetime", "inspect", "json", "logging", "random", "shutil", "yaml"}
"""Some standard for what they bring with them: dataclasses imports inspect, and that ast, dis and tokenize."""
PROGRAM = f"""
import sys
known = set(sys.modules)  # of the interpreter's own start, by whatever the environment has for it
from lineward.cli.main import main
code = main()
print(code, *sorted({SLOW!r} & set(sys.modules) - known))
"""


def test_nothing_slow_is_imported(tmp_path: Path) -> None:
    folder, manifest = tmp_path / "data", tmp_path / "data.lwm"
    folder.mkdir()
    (folder / "a.csv").write_text("a")
    with manifest.open("wb") as out:
        root = create_manifest(folder, out=out).root
    assert imported("create", folder) == ["0"]
    assert imported("verify", folder, "--root", str(root)) == ["0"]
    assert imported("verify", folder, "--manifest", manifest) == ["0"]


def imported(*arguments: str | Path) -> list[str]:
    """Exit code of the command, and the slow modules that it imported."""
    words = [sys.executable, "-c", PROGRAM, "manifest", *arguments]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()[-1].split()
