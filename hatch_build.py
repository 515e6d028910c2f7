"""Compiles the hashing engine into the wheel where a C compiler is at hand; without one the wheel is pure Python.

LINEWARD_NATIVE=require makes a missing compiler an error (images and CI), LINEWARD_NATIVE=skip leaves it out.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NATIVE = Path("core/lineward/native")
TARGET = NATIVE / "_engine.abi3.so"
FLAGS = [
    "-std=gnu11",
    "-O3",
    "-fno-tree-pre",
    "-fPIC",
    "-shared",
    "-fvisibility=hidden",
    "-fstack-protector-strong",
    "-Wall",
    "-Wextra",
    "-Wl,-z,relro,-z,now",
    "-DPy_LIMITED_API=0x030b0000",
]


class NativeEngine(BuildHookInterface):  # type: ignore[type-arg]
    """Runs before each wheel, editable ones too."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - the interface
        """Compile, and tag the wheel for the stable ABI of CPython 3.11 (PEP 384) on this platform."""
        wish = os.environ.get("LINEWARD_NATIVE", "")
        if self.target_name != "wheel" or wish == "skip":
            return
        problem = compile_engine(Path(self.root), Path(self.root) / TARGET)
        if problem and wish == "require":
            raise RuntimeError(problem)
        if problem:
            self.app.display_warning(f"building without the compiled engine, hashing will be slower: {problem}")
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{platform}"
        build_data["artifacts"].append(str(TARGET))


def compile_engine(root: Path, target: Path, compiler: list[str] | None = None) -> str:
    """Compile to `target`, for the machine that the compiler is for; returns what went wrong, empty if nothing did."""
    if sys.platform != "linux" or sys.implementation.name != "cpython":
        return "it is written for CPython on Linux"
    compiler = compiler or shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    sources = sorted(str(path) for path in (root / NATIVE).glob("*.c"))
    include = sysconfig.get_path("include")
    partial = target.with_suffix(f".{os.getpid()}.tmp")
    try:
        command = [*compiler, *FLAGS, f"-I{include}", *sources, "-o", str(partial)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError as error:
        return f"{compiler[0]}: {error.strerror}"
    if done.returncode:
        partial.unlink(missing_ok=True)
        return done.stderr.strip() or f"{compiler[0]} ended with {done.returncode}"
    partial.replace(target)
    return ""


if __name__ == "__main__":
    here = Path(__file__).parent
    sys.exit(compile_engine(here, here / TARGET) or 0)
