"""Set-up on a fresh machine does not depend on what the registries released since."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = ("Makefile", "Dockerfile", "e2e/demo/trainer/Dockerfile")


@pytest.mark.parametrize("name", FILES)
def test_locked_packages_are_installed_without_resolving(name: str) -> None:
    """pip 23 refuses a hash-pinned set whose `package[extra]` has a newer release than the locked one."""
    lines = re.sub(r"\\\n\s*", " ", (ROOT / name).read_text()).splitlines()
    installs = [
        command
        for line in lines
        if "--require-hashes" in line
        for command in line.split(";")
        if "--require-hashes" in command
    ]
    assert installs
    assert all("--no-deps" in command for command in installs)
