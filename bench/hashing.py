"""How fast folders are hashed, beside others that do it and beside the least that it can cost.

Makes the sets under --work, runs every tool on each by turns, quick ones twice, and prints a table: best wall time, CPU
time, peak memory, ratio to Lineward's verify, and Lineward's share of three all-C programs with the same kernel and,
cold, of what the disk gives (bench/floor.c). Times are those of whole processes. Name the hash when you quote it: b3sum
computes BLAKE3, dvc MD5.

PEERS names a folder with model_signing and dvc (`make peers` makes one); what is missing is named. "cold" is with names
and inodes dropped too where this may be done (root), else only the data: the tables say which. The full size takes
15 GiB of disk; --minutes bounds the time: each set gets its share, and no round but the first begins behind it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from parts import machine, sets
from parts.process import NATIVE, ROOT, build, run
from parts.tools import DISK, LINEWARD, Tool, all_tools

SLOW_SECONDS = 20
"""Another tool that takes longer is run once."""
QUICK_SECONDS = 5
"""A tool that takes less is run twice in a row on warm data: it is not to pay for the caches of the CPU that the tool
before it has filled with other things (Lineward took 14 % longer over set c behind dvc than behind a floor)."""


def root_of(folder: Path) -> str:
    command = [LINEWARD, "manifest", "create", str(folder), "-o", "json"]
    root: str = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["root"]
    return root


def measure(work: Path, options: argparse.Namespace) -> None:
    """Make the sets, then run every tool on each by turns, and print what came out."""
    folders, one = sets.make(work, options.sets, options.scale), one_file(work)
    roots = {folder: root_of(folder) for folder in (one, *folders.values())}
    every = all_tools(work, len(os.sched_getaffinity(0)), roots)
    states = options.states.split(",")

    def cool(tool: Tool, folder: Path) -> None:
        sets.forget(folder, everything=options.drop_caches)
        tool.measure("", one)  # the programs themselves have been dropped as well, which is not what is asked

    for name, folder in folders.items():
        count, size = sets.scaled(name, options.scale)
        for state in states:
            key, cold = f"{name} {state}", state == "cold"
            if not cold:
                every[0].measure("", folder)  # whatever of the set has left memory since it was made comes back
            share = options.minutes * 60 / (len(folders) * len(states))
            for _ in turns(options.rounds, share):
                one_round(every, folder, key, cool if cold else None)
            print(report(every, key, f"{key}: {count} x {size} bytes{coldness(key, options)}"), flush=True)


def turns(most: int, seconds: float) -> Iterator[int]:
    """Numbers of rounds; none begins after `seconds`, but the first."""
    start = time.monotonic()
    for number in range(most):
        if number and time.monotonic() - start > seconds:
            return
        yield number


def one_round(every: Sequence[Tool], folder: Path, key: str, prepare: Callable[[Tool, Path], None] | None) -> None:
    for tool in every:
        best = tool.best(key)
        slow = tool.peer and best and best.wall > SLOW_SECONDS
        if slow or key in tool.failures or (tool.cold_only and not prepare):
            continue
        if prepare:
            prepare(tool, folder)
        tool.measure(key, folder)
        if not prepare and (best := tool.best(key)) and best.wall < QUICK_SECONDS:
            tool.measure(key, folder)


def coldness(key: str, options: argparse.Namespace) -> str:
    if key.endswith("warm"):
        return ""
    return ", data, names and inodes dropped" if options.drop_caches else ", data dropped, names and inodes in memory"


def report(every: Sequence[Tool], key: str, title: str) -> str:
    """A table of one set in one state."""
    ours = every[0].best(key)
    assert ours
    lines = [f"#### {title} (load {os.getloadavg()[0]:.1f})", ""]
    lines += ["| tool | wall s | CPU s | peak MiB | wall against lineward verify |", "|---|---|---|---|---|"]
    for tool in every:
        if key in tool.failures:
            lines.append(f"| {tool.name} | failed | | | |")
            print(f"{title}: {tool.failures[key]}", file=sys.stderr)
        elif best := tool.best(key):
            ratio = best.wall / ours.wall
            lines.append(f"| {tool.name} | {best.wall:.2f} | {best.cpu:.2f} | {best.peak:.0f} | {ratio:.2f} |")
    lines.append("")
    for floor in (tool for tool in every if tool.name.startswith("all-C")):
        wall, cpu, _ = floor.best(key) or ours
        lines.append(f"Share of {floor.name}: {wall / ours.wall:.0%} by wall time, {cpu / ours.cpu:.0%} by CPU time.  ")
    for tool in every:
        if tool.name == DISK and (found := tool.best(key)):
            lines.append(f"Share of {DISK}: {found.wall / ours.wall:.0%} by wall time.  ")
    return "\n".join([*lines, ""])


def one_file(work: Path) -> Path:
    folder = work / "one" / "data"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "file").write_bytes(b"x")
    return folder


def start_up(work: Path) -> str:
    """How long a whole process takes over one small file, beside a Python that does nothing."""
    commands = ([LINEWARD, "manifest", "create", str(one_file(work))], [sys.executable, "-c", "pass"])
    ours, bare = (min(run(command) for _ in range(15)) for command in commands)
    return f"One small file: {ours.wall:.3f} s, {ours.cpu:.3f} s of CPU time; Python alone {bare.wall:.3f} s.\n"


def lanes(work: Path) -> str:
    """Speed of one, two and three lanes with each compiler: the kernel relies on how it orders instructions."""
    lines = ["| compiler | 1 lane GB/s | 2 lanes | 3 lanes |", "|---|---|---|---|"]
    sources = [ROOT / "bench/lanes.c", *(NATIVE / f"{n}.c" for n in ("sha256", "sha256_x86", "sha256_arm"))]
    for compiler in filter(shutil.which, ("gcc", "clang")):
        flags = ["-fno-tree-pre"] if compiler == "gcc" else []
        target = build(work / f"lanes-{compiler}", *sources, compiler=compiler, flags=flags)
        found = subprocess.run([target], check=True, capture_output=True, text=True).stdout.split()
        lines.append(f"| {compiler} | {' | '.join(found)} |")
    return "\n".join([*lines, ""])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="where the sets are made and kept (default: made and removed)")
    parser.add_argument("--sets", default="abcd")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1, help="1 is the full size, 15 GB (default: 1)")
    parser.add_argument("--minutes", type=float, default=25, help="about how long all rounds may take (default: 25)")
    parser.add_argument("--states", default="warm,cold")
    parser.add_argument(
        "--drop-caches",
        action=argparse.BooleanOptionalAction,
        default=sets.may_drop(),
        help="cold means names and inodes too, for the whole machine (default: where this user may)",
    )
    options = parser.parse_args()
    if options.drop_caches and not sets.may_drop():
        parser.error(f"--drop-caches needs to write {sets.DROP}")
    return options


def main() -> None:
    options = arguments()
    here = str(Path(sys.executable).parent)  # development installs model_signing there
    os.environ["PATH"] = os.pathsep.join([*filter(None, [os.environ.get("PEERS")]), os.environ["PATH"], here])
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed Lineward has its byte code
    with tempfile.TemporaryDirectory(dir=options.work and options.work.parent) as made:
        work = options.work or Path(made)
        work.mkdir(parents=True, exist_ok=True)
        print(machine.report(work), start_up(work), lanes(work), sep="\n", flush=True)
        measure(work, options)


if __name__ == "__main__":
    main()
