"""The control group below which the kubelet puts every pod: what runs there is ours to stop, and nothing else is.

Both layouts: version 1 has one tree for each controller, version 2 one for all.
"""

import os
from pathlib import Path

from e2e.cluster.layout import CGROUP

ROOT = Path("/sys/fs/cgroup")
_V2_CONTROLLERS = "cgroup.controllers"


def create() -> None:
    """Make the group in every tree; the kubelet refuses to start without it."""
    for tree in _trees():
        (tree / CGROUP).mkdir(exist_ok=True)
    if (ROOT / _V2_CONTROLLERS).exists():
        for controller in (ROOT / _V2_CONTROLLERS).read_text().split():
            (ROOT / "cgroup.subtree_control").write_text(f"+{controller}")
        return
    for name in ("cpuset.cpus", "cpuset.mems"):  # version 1 starts a cpuset empty, and then nothing may run in it
        (ROOT / "cpuset" / CGROUP / name).write_text((ROOT / "cpuset" / name).read_text())


def pids() -> set[int]:
    """All processes of all pods."""
    found: set[int] = set()
    for group in _groups():
        try:
            found |= {int(line) for line in (group / "cgroup.procs").read_text().split()}
        except OSError:
            continue
    return found - {0}


def remove() -> None:
    """Take the groups away, innermost first; one that still has processes stays and shows in ``leftovers``."""
    for group in _groups():
        try:
            group.rmdir()
        except OSError:
            continue


def leftovers() -> list[str]:
    return [f"control group {tree / CGROUP}" for tree in _trees() if (tree / CGROUP).exists()]


def _trees() -> list[Path]:
    if (ROOT / _V2_CONTROLLERS).exists():
        return [ROOT]
    return sorted({path.resolve() for path in ROOT.iterdir() if (path / "cgroup.procs").exists()})


def _groups() -> list[Path]:
    return [Path(folder) for tree in _trees() for folder, _, _ in os.walk(tree / CGROUP, topdown=False)]
