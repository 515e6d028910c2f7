"""How fast folders are hashed, beside others that do it and beside the least that it can cost.

Makes the sets under --work, runs every tool on each by turns, and prints a table: best wall time of the rounds, CPU
time, ratio to Lineward's verify, and Lineward's share of two all-C programs with the same kernel (bench/floor.c).
Times are those of whole processes. Name the hash when you quote it: b3sum computes BLAKE3, dvc MD5.

Missing tools are left out; PEERS names a folder with model_signing and dvc (`make peers` makes one). "cold" drops the
data from the page cache (posix_fadvise), with --drop-caches as root also names and inodes. Full size takes 15 GiB of
disk; --minutes bounds the time: each set gets its share, and no round begins behind it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NATIVE = ROOT / "core/lineward/native"
KIB, MIB = 1024, 1024**2
SLOW_SECONDS = 20
"""A tool that takes longer is run once."""
PATIENCE = "300"
"""Seconds after which another tool is ended."""
SETS = {"a": (1, 8192 * MIB), "b": (16, 256 * MIB), "c": (100_000, 4 * KIB), "d": (20_000, 100 * KIB)}


@dataclass
class Tool:
    """A command that hashes a folder; `times` are (wall, CPU) in seconds by set and state."""

    name: str
    command: Callable[[Path], Sequence[str]]
    times: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def best(self, which: str) -> tuple[float, float] | None:
        return min(self.times[which]) if which in self.times else None


def make_set(folder: Path, count: int, size: int) -> None:
    """Files of random bytes, 1,000 a directory; no two are equal."""
    done = folder / ".done"
    if done.exists():
        return
    pool = os.urandom(min(size, 4 * MIB) + count)
    for number in range(count):
        path = folder / "data" / f"{number // 1000:04}" / f"{number:07}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            written = 0
            while written < size:
                piece = pool[number : number + min(size - written, 4 * MIB)]
                file.write(written.to_bytes(8, "big") + piece[8:] if len(piece) > 4096 else piece)
                written += len(piece)
    done.touch()


def forget(folder: Path, *, everything: bool) -> None:
    """Take the data out of the page cache."""
    os.sync()
    if everything:
        Path("/proc/sys/vm/drop_caches").write_text("3")
        return
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run(command: Sequence[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a process and its children; exits where it fails."""
    start = time.monotonic()
    with tempfile.TemporaryFile() as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - start
        if process.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(command)} failed: {output.read()[-400:].decode(errors='replace')}")
    return wall, used.ru_utime + used.ru_stime


def build_floor(folder: Path) -> str:
    target = folder / "floor"
    sources = [
        ROOT / "bench/floor.c",
        *(NATIVE / f"{n}.c" for n in ("files", "listing", "sha256", "sha256_x86", "sha256_arm")),
    ]
    flags = ["-std=gnu11", "-O3", "-fno-tree-pre", "-pthread"]
    subprocess.run(["cc", *flags, *map(str, sources), "-o", str(target)], check=True)
    return str(target)


def each_file(*command: str) -> Callable[[Path], Sequence[str]]:
    words = " ".join(command)
    return lambda data: ["sh", "-c", f"find '{data}' -type f -print0 | xargs -0 -n 512 {words} >/dev/null"]


def tools(work: Path, threads: int, roots: dict[Path, str]) -> list[Tool]:
    """What is there: Lineward first, then the floor, then the others."""
    lineward = str(Path(sys.executable).parent / "lineward")
    floor, all_c = build_floor(work), str(threads)
    found = [
        Tool("lineward verify", lambda d: [lineward, "manifest", "verify", str(d), "--root", roots[d]]),
        Tool("lineward create", lambda d: [lineward, "manifest", "create", str(d), "--out", str(work / "m.lwm")]),
        Tool("all-C floor", lambda d: [floor, str(d), all_c]),
        Tool("all-C, stat before and after", lambda d: [floor, str(d), all_c, "twice"]),
        Tool(
            "lineward, pure Python", lambda d: ["env", "LINEWARD_ENGINE=python", lineward, "manifest", "create", str(d)]
        ),
    ]
    others = {
        "sha256sum": each_file("sha256sum"),
        "openssl": each_file("openssl", "dgst", "-sha256"),
        "b3sum": each_file("b3sum"),
        "tar": lambda d: ["sh", "-c", f"tar cf - '{d}' | cat >/dev/null"],
        "dvc": lambda d: [
            "sh",
            "-c",
            f"cd '{d.parent}' && rm -rf .dvc data.dvc && dvc init --no-scm -q && dvc add -q --no-commit data",
        ],
    }
    if signing := shutil.which("model_signing"):
        python = str(Path(signing).resolve().parent / "python")
        for kind in ("file", "shard"):
            code = f"import sys, model_signing.hashing as h; h.Config().use_{kind}_serialization().hash(sys.argv[1])"
            found.append(
                Tool(f"model_signing {kind}s", lambda d, code=code: ["timeout", PATIENCE, python, "-c", code, str(d)])
            )  # type: ignore[misc]
    return found + [
        Tool(name, lambda d, command=command: ["timeout", PATIENCE, *command(d)])  # type: ignore[misc]
        for name, command in others.items()
        if shutil.which(name)
    ]


def measure(work: Path, options: argparse.Namespace, states: Sequence[str]) -> None:
    """Make the sets, then run every tool on each by turns, and print what came out."""
    threads, scale = len(os.sched_getaffinity(0)), options.scale
    folders = {}
    for name in options.sets:
        count, size = SETS[name]
        count, size = (max(1, int(count * scale)), size) if count > 100 else (count, max(MIB, int(size * scale)))
        print(f"set {name}: {count} files of {size} bytes", file=sys.stderr)
        make_set(work / name, count, size)
        folders[name] = work / name / "data"
    lineward = str(Path(sys.executable).parent / "lineward")
    roots = {}
    for folder in folders.values():
        output = subprocess.run(
            [lineward, "manifest", "create", str(folder), "-o", "json"], check=True, capture_output=True
        )
        roots[folder] = json.loads(output.stdout)["root"]
    every = tools(work, threads, roots)
    for name, folder in folders.items():
        for state in states:
            rounds(every, folder, f"{name} {state}", options, options.minutes * 60 / (len(folders) * len(states)))
            print(report(every, f"{name} {state}"), flush=True)


def rounds(every: Sequence[Tool], folder: Path, key: str, options: argparse.Namespace, seconds: float) -> None:
    """Run every tool by turns; no round begins after `seconds`, but the first."""
    if key.endswith("warm"):
        run(every[0].command(folder))  # whatever of the set has left memory since it was made comes back
    start = time.monotonic()
    for number in range(options.rounds):
        if number and time.monotonic() - start > seconds:
            break
        for tool in every:
            best = tool.best(key)
            if best and best[0] > SLOW_SECONDS:
                continue
            if key.endswith("cold"):
                forget(folder, everything=options.drop_caches)
            tool.times.setdefault(key, []).append(run(tool.command(folder)))


def report(every: Sequence[Tool], key: str) -> str:
    """A table of one set in one state."""
    ours = every[0].best(key) or (1.0, 1.0)
    floors = [tool for tool in every if tool.name.startswith("all-C")]
    lines = [f"### {key} (load {os.getloadavg()[0]:.1f})", ""]
    lines += ["| tool | wall s | CPU s | wall against lineward verify |", "|---|---|---|---|"]
    for tool in every:
        if best := tool.best(key):
            lines.append(f"| {tool.name} | {best[0]:.2f} | {best[1]:.2f} | {best[0] / ours[0]:.2f} |")
    lines.append("")
    for floor in floors:
        wall, cpu = floor.best(key) or ours
        lines.append(f"Share of {floor.name}: {wall / ours[0]:.0%} by wall time, {cpu / ours[1]:.0%} by CPU time.")
    return "\n".join([*lines, ""])


def start_up(work: Path) -> str:
    """How long a whole process takes over one small file, beside a Python that does nothing."""
    (work / "one").mkdir(exist_ok=True)
    (work / "one" / "file").write_bytes(b"x")
    lineward = str(Path(sys.executable).parent / "lineward")
    commands = ([lineward, "manifest", "create", str(work / "one")], [sys.executable, "-c", "pass"])
    ours, bare = (min(run(command) for _ in range(15)) for command in commands)
    return f"One small file: {ours[0]:.3f} s, {ours[1]:.3f} s of CPU time; Python alone {bare[0]:.3f} s.\n"


def lanes(work: Path) -> str:
    """Speed of one, two and three lanes with each compiler: the kernel relies on how it orders instructions."""
    lines = ["| compiler | 1 lane GB/s | 2 lanes | 3 lanes |", "|---|---|---|---|"]
    for compiler in filter(shutil.which, ("gcc", "clang")):
        sources = [ROOT / "bench/lanes.c", *(NATIVE / f"{n}.c" for n in ("sha256", "sha256_x86", "sha256_arm"))]
        target = work / f"lanes-{compiler}"
        flags = ["-std=gnu11", "-O3", *(["-fno-tree-pre"] if compiler == "gcc" else [])]
        subprocess.run([compiler, *flags, *map(str, sources), "-o", str(target)], check=True)
        found = subprocess.run([str(target)], check=True, capture_output=True, text=True).stdout.split()
        lines.append(f"| {compiler} | {' | '.join(found)} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="where the sets are made and kept (default: made and removed)")
    parser.add_argument("--sets", default="abcd")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=0.1, help="1 is the full size, 14 GB (default: 0.1)")
    parser.add_argument("--minutes", type=float, default=25, help="about how long all rounds may take (default: 25)")
    parser.add_argument("--states", default="warm,cold")
    parser.add_argument(
        "--drop-caches", action="store_true", help="as root: names and inodes too, for the whole machine"
    )
    options = parser.parse_args()
    os.environ["PATH"] = os.pathsep.join([*filter(None, [os.environ.get("PEERS")]), os.environ["PATH"]])
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed Lineward has its byte code
    states = options.states.split(",")
    with tempfile.TemporaryDirectory(dir=options.work and options.work.parent) as made:
        work = options.work or Path(made)
        work.mkdir(parents=True, exist_ok=True)
        print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} CPUs, Linux {platform.release()}\n")
        print(start_up(work), lanes(work), sep="\n", flush=True)
        measure(work, options, states)


if __name__ == "__main__":
    main()
