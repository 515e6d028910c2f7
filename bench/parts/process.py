"""Runs commands and says what they took; compiles the C programs that the measurement needs."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "core/lineward/native"
_made = tempfile.TemporaryDirectory()


class Spent(NamedTuple):
    """Seconds and, of the largest of its processes, MiB of a command and its children."""

    wall: float
    cpu: float
    peak: float


class FailedError(Exception):
    """A command ended with another exit code than 0; says which and what it wrote."""


def build(target: Path, *sources: Path, compiler: str = "cc", flags: Sequence[str] = ()) -> str:
    command = [compiler, "-std=gnu11", "-O3", "-pthread", *flags, *map(str, sources), "-o", str(target)]
    subprocess.run(command, check=True)
    return str(target)


@functools.cache
def launcher() -> str:
    return build(Path(_made.name) / "spend", Path(__file__).with_name("spend.c"))


def run(command: Sequence[str]) -> Spent:
    """Raises FailedError."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as report, tempfile.TemporaryFile() as output:
        words = [launcher(), str(writing), *command]
        with subprocess.Popen(words, stdout=output, stderr=output, pass_fds=[writing]):
            os.close(writing)
            wall, cpu, peak, code = report.read().split()
        if code != "0":
            output.seek(0)
            said = output.read()[-400:].decode(errors="replace").strip()
            raise FailedError(f"{' '.join(command)} ended with {code}: {said}")
    return Spent(float(wall), float(cpu), int(peak) / 1024)
