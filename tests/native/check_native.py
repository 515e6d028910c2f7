"""Builds the C code for those who watch it: strict warnings, ASan, UBSan, valgrind, and Armv8 under qemu.

The sanitizers see it twice: by a C program that drives it with random inputs, and as the Python module under the tests.

Run by `make test-native`. What a missing tool makes impossible is said. With LINEWARD_TOOLS=require root has Debian's
packages installed, and everybody else is told the command and fails.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NATIVE = ROOT / "core/lineward/native"
TOOLS = {
    "valgrind": "valgrind",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
    "qemu-aarch64": "qemu-user",
    "bindfs": "bindfs",
    "squashfuse": "squashfuse",
    "mksquashfs": "squashfs-tools",
}
"""Commands and the Debian packages that have them; the last three for `tests/manifest/test_file_systems.py`."""
MODULE = sorted(NATIVE.glob("module*.c"))
"""What needs Python; the rest does not."""
SOURCES = [str(path) for path in sorted(NATIVE.glob("*.c")) if path not in MODULE] + [str(HERE / "harness.c")]
SANITIZERS = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
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


def missing(tool: str) -> bool:
    if shutil.which(tool):
        return False
    print(f"{tool} is missing, so this part was not checked: apt-get install {TOOLS[tool]}", file=sys.stderr)
    return True


def require_tools() -> None:
    """Install what is missing, or say how and leave."""
    packages = [package for tool, package in TOOLS.items() if not shutil.which(tool)]
    if not packages:
        return
    command = f"apt-get install --yes --no-install-recommends {' '.join(packages)}"
    if os.geteuid() or not shutil.which("apt-get"):
        sys.exit(f"LINEWARD_TOOLS=require needs tools that are missing here: {command}")
    subprocess.run(["apt-get", "update", "--quiet"], check=True)
    subprocess.run(command.split(), check=True, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})


def module_flags() -> list[str]:
    """Warnings of Python's own headers are not ours."""
    return [*STRICT, "-fPIC", "-DPy_LIMITED_API=0x030b0000", f"-isystem{sysconfig.get_path('include')}"]


def strict_module(folder: Path, compiler: Sequence[str]) -> None:
    """The Python module too, and optimised: some warnings come from what the optimiser learns."""
    for source in MODULE:
        target = str(folder / f"{source.stem}.o")
        subprocess.run([*compiler, *module_flags(), "-O2", "-c", str(source), "-o", target], check=True)
    print("the Python module without a warning", flush=True)


def watched_module(folder: Path, compiler: Sequence[str]) -> None:
    """Run the tests of the engine against a sanitized build of it, in a copy of the package.

    Python allocates by malloc then, so that the ends of its buffers are watched too. Its own leaks are not ours.
    """
    find = [*compiler, "-print-file-name=libasan.so"]
    runtime = subprocess.run(find, check=True, capture_output=True, text=True).stdout.strip()
    if not Path(runtime).is_absolute():
        print(f"{compiler[0]} has no libasan.so, so the Python module was not checked: set CC=gcc", file=sys.stderr)
        return
    package = folder / "core" / "lineward"
    shutil.copytree(ROOT / "core" / "lineward", package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    sources = sorted(map(str, NATIVE.glob("*.c")))
    target = str(package / "native" / "_engine.abi3.so")
    subprocess.run([*compiler, *module_flags(), *SANITIZERS, "-shared", *sources, "-o", target], check=True)
    environment = os.environ | {
        "PYTHONPATH": str(package.parent),
        "PYTHONMALLOC": "malloc",
        "LD_PRELOAD": runtime,
        "ASAN_OPTIONS": "detect_leaks=0",
    }
    environment.pop("LINEWARD_ENGINE", None)
    used = "import lineward.native as n, sys; sys.exit(n.engine.__file__ != sys.argv[1])"
    subprocess.run([sys.executable, "-c", used, target], check=True, env=environment)
    tests = [str(ROOT / "tests/manifest/test_engines.py"), "-k", "not python"]
    options = ["-p", "no:cacheprovider", "--capture=no"]  # what a sanitizer says before it aborts must not be captured
    print("the Python module under address and undefined behaviour: ", end="", flush=True)
    subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests], check=True, timeout=600, cwd=ROOT, env=environment
    )


def wheel_for_arm(folder: Path) -> None:
    """The library as an aarch64 machine would build it into the wheel: it must hold the Armv8 instructions."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec
    assert spec.loader
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    library = folder / "_engine.abi3.so"
    if problem := hook.compile_engine(ROOT, library, ["aarch64-linux-gnu-gcc"]):
        sys.exit(problem)
    objdump = ["aarch64-linux-gnu-objdump", "--disassemble", "--no-show-raw-insn", str(library)]
    found = subprocess.run(objdump, check=True, capture_output=True, text=True).stdout
    for instruction in ("sha256h", "sha256h2", "sha256su0", "sha256su1"):
        if f"\t{instruction}\t" not in found:
            sys.exit(f"the library for aarch64 has no {instruction}")
    print("the wheel's library for aarch64 has the Armv8 lanes", flush=True)


def main() -> None:
    compiler = the_compiler()
    if os.environ.get("LINEWARD_TOOLS") == "require":
        require_tools()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        strict_module(folder, compiler)
        run("address and undefined behaviour", build(folder, compiler, *SANITIZERS), native_kernel(), ROUNDS)
        watched_module(folder, compiler)
        run("optimised", build(folder, compiler, "-O3"), native_kernel(), ROUNDS)
        if not missing("valgrind"):
            # valgrind emulates a CPU without SHA-NI, so this is the scalar kernel.
            kernel = "scalar" if platform.machine() == "x86_64" else native_kernel()
            command = ["valgrind", "-q", "--error-exitcode=1", "--leak-check=full", build(folder, compiler, "-O1")]
            run("valgrind", *command, kernel, "2000")
        if not missing("aarch64-linux-gnu-gcc"):
            wheel_for_arm(folder)
        if not missing("aarch64-linux-gnu-gcc") and not missing("qemu-aarch64"):
            arm = build(folder, ["aarch64-linux-gnu-gcc"], "-O3", "-fno-tree-pre", "-static")
            run("Armv8", "qemu-aarch64", "-cpu", "max", arm, "armv8", "20000")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"{shlex.join(error.cmd)} ended with {error.returncode}")
