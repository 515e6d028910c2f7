"""`make test-native` says what it lacks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("check_native.py")


def check(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the checks where no program is to be found."""
    clean = {name: value for name, value in os.environ.items() if name != "CC"}
    return subprocess.run(
        [sys.executable, str(SCRIPT)],
        env=clean | {"PATH": str(tmp_path)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("environment", "compiler"), [({}, "cc"), ({"CC": "clang -m32"}, "clang")])
def test_without_a_compiler_the_missing_package_is_named(
    tmp_path: Path, environment: dict[str, str], compiler: str
) -> None:
    done = check(tmp_path, **environment)
    assert done.returncode == 1
    assert done.stderr == (
        f"no C compiler ({compiler}), so nothing was checked: apt-get install gcc libc6-dev, or set CC\n"
    )


def test_a_failing_check_is_one_line(tmp_path: Path) -> None:
    compiler = tmp_path / "broken"
    compiler.write_text("#!/bin/sh\nexit 3\n")
    compiler.chmod(0o755)
    done = check(tmp_path, CC=str(compiler))
    assert done.returncode == 1
    assert done.stderr.endswith(" ended with 3\n")
    assert "Traceback" not in done.stderr
