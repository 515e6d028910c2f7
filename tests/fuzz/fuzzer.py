"""`python fuzzer.py ARGUMENTS...`: installs atheris and runs Python with the arguments, or says that it has no wheel.

What is skipped is a failure where LINEWARD_TOOLS=require.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from packaging.requirements import Requirement

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements" / "fuzz.txt"


def has_wheel(environment: Mapping[str, str] | None = None) -> bool:
    """Whether the requirement is one for this Python, or for one with these markers (PEP 508)."""
    (line,) = [line for line in REQUIREMENTS.read_text().splitlines() if "==" in line]
    marker = Requirement(line.rstrip("\\ ")).marker
    return marker is None or marker.evaluate(dict(environment or {}))


def main() -> int:
    if not has_wheel():
        here = f"{platform.python_implementation()} {platform.python_version()} on {platform.machine()} {sys.platform}"
        sys.stderr.write(
            f"skipped: atheris has no wheel for {here}, only for CPython 3.11 to 3.13 on x86-64 Linux: "
            "make clean, then make fuzz PYTHON=python3.13\n"
        )
        return int(os.environ.get("LINEWARD_TOOLS") == "require")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--require-hashes"]
    subprocess.run([*pip, "--requirement", str(REQUIREMENTS)], check=True)
    return subprocess.run([sys.executable, *sys.argv[1:]], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
