"""What a merge runs: every target, and none of them passes by skipping."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKE = """#!/bin/sh
echo "$1 ${LINEWARD_TOOLS:-}" >> "$MADE"
test "$1" != "$FAILS"
"""


def ran(folder: Path, fails: str = "") -> tuple[int, list[str]]:
    """Exit code of `.ci/run`, and the targets that it made, each with what LINEWARD_TOOLS was."""
    program, made = folder / "make", folder / "made"
    program.write_text(MAKE)
    program.chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    environment = {key: value for key, value in os.environ.items() if key != "LINEWARD_TOOLS"}
    done = subprocess.run(
        [ROOT / ".ci" / "run"], env={**environment, "PATH": path, "MADE": str(made), "FAILS": fails}, check=False
    )
    return done.returncode, made.read_text().splitlines()


def test_a_missing_tool_fails_a_merge(tmp_path: Path) -> None:
    code, made = ran(tmp_path)
    assert code == 0
    assert made == [
        "check ",
        "test ",
        "test-native require",
        "fuzz require",
        "fuzz-evidence require",
        "e2e require",
    ]


@pytest.mark.parametrize("target", ["check", "test", "fuzz", "e2e"])
def test_the_first_failure_ends_it(tmp_path: Path, target: str) -> None:
    code, made = ran(tmp_path, target)
    assert code != 0
    assert made[-1].split()[0] == target
