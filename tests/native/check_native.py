"""Builds the C code for those who watch it: strict warnings, ASan, UBSan, valgrind, and Armv8 under qemu.

Run by `make test-native`. What a missing tool makes impossible is said, and fails where LINEWARD_TOOLS=require.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
NATIVE = HERE.parents[1] / "core/lineward/native"
SOURCES = [str(path) for path in sorted(NATIVE.glob("*.c")) if path.name != "module.c"] + [str(HERE / "harness.c")]
STRICT = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wvla", "-g"]
ROUNDS = os.environ.get("LINEWARD_ROUNDS", "200000")


def native_kernel() -> str:
    """The kernel that this machine should choose, from what the kernel says of the CPU."""
    try:
        words = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        words = []
    if platform.machine() == "x86_64" and {"sha_ni", "avx"} <= set(words):
        return "sha-ni"
    return "armv8" if platform.machine() == "aarch64" and "sha2" in words else "scalar"


def build(folder: Path, compiler: Sequence[str], *flags: str) -> str:
    target = str(folder / f"harness{len(list(folder.iterdir()))}")
    subprocess.run([*compiler, *STRICT, *flags, *SOURCES, "-o", target], check=True)
    return target


def run(name: str, *command: str) -> None:
    print(f"{name}: ", end="", flush=True)
    subprocess.run(command, check=True, timeout=600)


def the_compiler() -> list[str]:
    """Words that call the C compiler, CC where set; ends the process where there is none."""
    words = shlex.split(os.environ.get("CC", "cc"))
    if not shutil.which(words[0]):
        sys.exit(f"no C compiler ({words[0]}), so nothing was checked: apt-get install gcc libc6-dev, or set CC")
    return words


def missing(tool: str, package: str) -> bool:
    if shutil.which(tool):
        return False
    print(f"{tool} is missing, so this part was not checked: apt-get install {package}", file=sys.stderr)
    if os.environ.get("LINEWARD_TOOLS") == "require":
        sys.exit(1)
    return True


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compiler = the_compiler()
        sanitizers = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
        run("address and undefined behaviour", build(folder, compiler, *sanitizers), native_kernel(), ROUNDS)
        run("optimised", build(folder, compiler, "-O3"), native_kernel(), ROUNDS)
        if not missing("valgrind", "valgrind"):
            # valgrind emulates a CPU without SHA-NI, so this is the scalar kernel.
            kernel = "scalar" if platform.machine() == "x86_64" else native_kernel()
            command = ["valgrind", "-q", "--error-exitcode=1", "--leak-check=full", build(folder, compiler, "-O1")]
            run("valgrind", *command, kernel, "2000")
        if not missing("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu libc6-dev-arm64-cross") and not missing(
            "qemu-aarch64", "qemu-user"
        ):
            arm = build(folder, ["aarch64-linux-gnu-gcc"], "-O3", "-static")
            run("Armv8", "qemu-aarch64", "-cpu", "max", arm, "armv8", "20000")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"{shlex.join(error.cmd)} ended with {error.returncode}")
