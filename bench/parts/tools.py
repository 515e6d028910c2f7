"""The commands that hash a folder: Lineward, the floors, and the others."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from parts.process import NATIVE, ROOT, FailedError, Spent, build, run

LINEWARD = str(Path(sys.executable).parent / "lineward")
DISK_READERS = "32"
DISK = f"disk, O_DIRECT, {DISK_READERS} readers"
"""What the disk gives to readers that hash nothing, where its file system can be read past the page cache."""
PATIENCE = "300"
"""Seconds after which another tool is ended."""
Command = Callable[[Path], Sequence[str]]


@dataclass
class Tool:
    """A command that hashes a folder; `runs` by set and state. A peer's failure ends only its own part."""

    name: str
    command: Command
    peer: bool = False
    cold_only: bool = False
    runs: dict[str, list[Spent]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def best(self, which: str) -> Spent | None:
        """The round with the least wall time, and the largest peak of all rounds."""
        runs = self.runs.get(which)
        return min(runs)._replace(peak=max(run.peak for run in runs)) if runs else None

    def measure(self, which: str, folder: Path) -> None:
        try:
            self.runs.setdefault(which, []).append(run(self.command(folder)))
        except FailedError as error:
            if not self.peer:
                sys.exit(str(error))
            self.failures[which] = str(error)


def each_file(*command: str) -> Command:
    words = " ".join(command)
    return lambda data: ["sh", "-c", f"find '{data}' -type f -print0 | xargs -0 -n 512 {words} >/dev/null"]


def with_dvc(data: Path) -> Sequence[str]:
    """Without the processes that it leaves behind (news, statistics), for which the next tool would pay."""
    alone = "export CI=1 DVC_NO_ANALYTICS=1"
    fresh = f"cd '{data.parent}' && rm -rf .dvc data.dvc && export DVC_SITE_CACHE_DIR='{data.parent}/.dvc-site'"
    return ["sh", "-c", f"{alone} && {fresh} && dvc init --no-scm -q && dvc add -q --no-commit '{data.name}'"]


def model_signing_python() -> str:
    """The interpreter that its command runs with: it is measured without the command line, which imports much more."""
    return str(Path(shutil.which("model_signing") or "").resolve().parent / "python")


def with_model_signing(kind: str) -> Command:
    code = f"import sys, model_signing.hashing as h; h.Config().use_{kind}_serialization().hash(sys.argv[1])"
    return lambda data: [model_signing_python(), "-c", code, str(data)]


SYSTEM = "part of most systems"
PEERS: dict[str, tuple[dict[str, Command], str]] = {
    "model_signing": (
        {f"model_signing {kind}s": with_model_signing(kind) for kind in ("file", "shard")},
        "make peers, then PEERS=FOLDER",
    ),
    "sha256sum": ({"sha256sum": each_file("sha256sum")}, SYSTEM),
    "openssl": ({"openssl": each_file("openssl", "dgst", "-sha256")}, SYSTEM),
    "b3sum": ({"b3sum": each_file("b3sum")}, "apt-get install b3sum"),
    "tar": ({"tar": lambda data: ["sh", "-c", f"tar cf - '{data}' | cat >/dev/null"]}, SYSTEM),
    "dvc": ({"dvc": with_dvc}, "make peers, then PEERS=FOLDER"),
}
"""By command: how it hashes a folder, in one way or several, and where it comes from."""


def build_floor(folder: Path) -> str:
    names = ("listing", "sha256", "sha256_x86", "sha256_arm")
    sources = [ROOT / "bench/floor.c", *(NATIVE / f"{name}.c" for name in names)]
    return build(folder / "floor", *sources, flags=["-fno-tree-pre"])


def all_tools(work: Path, threads: int, roots: dict[Path, str]) -> list[Tool]:
    """What is there: Lineward's verify first, then the floors, then the others."""
    floor, all_c = build_floor(work), str(threads)
    pure = ["env", "LINEWARD_ENGINE=python", LINEWARD, "manifest", "create"]
    found = [
        Tool("lineward verify", lambda d: [LINEWARD, "manifest", "verify", str(d), "--root", roots[d]]),
        Tool("lineward create", lambda d: [LINEWARD, "manifest", "create", str(d), "--out", str(work / "m.lwm")]),
        Tool("all-C, bare pread", lambda d: [floor, str(d), all_c, "bare"]),
        Tool("all-C floor", lambda d: [floor, str(d), all_c]),
        Tool("all-C, stat before and after", lambda d: [floor, str(d), all_c, "twice"]),
        Tool(DISK, lambda d: [floor, str(d), DISK_READERS, "disk"], peer=True, cold_only=True),
        Tool("lineward, pure Python", lambda d: [*pure, str(d)]),
    ]
    for peer, (ways, _) in PEERS.items():
        if shutil.which(peer):
            found += [Tool(name, patiently(command), peer=True) for name, command in ways.items()]
    return found


def patiently(command: Command) -> Command:
    return lambda data: ["timeout", PATIENCE, *command(data)]
