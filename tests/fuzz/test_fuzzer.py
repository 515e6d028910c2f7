"""Fuzzing works on every Python that has the fuzzer, and says so on the others."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

import pytest
from tests.fuzz import fuzzer

LINUX = {"implementation_name": "cpython", "sys_platform": "linux", "platform_machine": "x86_64"}
PYTHONS = ("3.11", "3.12", "3.13")


def test_there_is_a_wheel_for_every_python_that_the_marker_names() -> None:
    assert [
        version for minor in range(9, 20) if fuzzer.has_wheel(LINUX | {"python_version": (version := f"3.{minor}")})
    ] == [*PYTHONS]
    assert len(set(re.findall(r"--hash=sha256:([0-9a-f]{64})", fuzzer.REQUIREMENTS.read_text()))) == len(PYTHONS)


@pytest.mark.parametrize(
    "other", [{"platform_machine": "aarch64"}, {"sys_platform": "darwin"}, {"implementation_name": "pypy"}]
)
def test_there_is_none_for_other_machines(other: dict[str, str]) -> None:
    assert not fuzzer.has_wheel(LINUX | {"python_version": "3.12"} | other)


@pytest.mark.parametrize(("tools", "code"), [("", 0), ("require", 1)])
def test_what_cannot_be_fuzzed_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tools: str, code: int
) -> None:
    monkeypatch.setenv("LINEWARD_TOOLS", tools)
    monkeypatch.setattr(fuzzer, "has_wheel", lambda: False)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("nothing to run"))
    assert fuzzer.main() == code
    said = capsys.readouterr().err
    assert said.startswith(f"skipped: atheris has no wheel for {platform.python_implementation()} ")
    assert "make fuzz PYTHON=" in said


def test_the_oracle_needs_no_fuzzer() -> None:
    requirements = fuzzer.REQUIREMENTS.parent
    assert re.findall(r"^[\w.-]+==", (requirements / "oracle.txt").read_text(), re.MULTILINE) == [
        "cachetools==",
        "pymerkle==",
    ]
    makefile = (Path(__file__).resolve().parents[2] / "Makefile").read_text()
    (target,) = re.findall(r"^test-native:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert "requirements/oracle.txt" in target
    assert "fuzz" not in target
