"""How many threads this process may keep busy: a container's CPU quota counts, not the node's cores."""

from __future__ import annotations

import os
import sys
from pathlib import Path

MAX_WORKERS = 1024
"""More threads than a node has cores only wait for each other."""
_CGROUP = Path("/sys/fs/cgroup")


def usable_cpus(cgroup: Path = _CGROUP) -> int:
    """Cores of the affinity mask, cut down to the cgroup's quota (v2 cpu.max, else v1 cpu.cfs_quota_us); at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return max(1, min(cores, -(-quota[0] // quota[1]))) if quota else cores


def below(count: int) -> int:
    """A number from 0 to `count` - 1 that nobody can foresee; `random` would cost more to import than to go without."""
    return int.from_bytes(os.urandom(8), "big") % count


def allow_descriptors() -> int:
    """Raise the soft limit of open files to the hard one: the usual 1,024 are for programs that call select(2)."""
    import resource  # noqa: PLC0415 - start-up is not to pay for it

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return sys.maxsize if most == resource.RLIM_INFINITY else most


def _quota(cgroup: Path) -> tuple[int, int] | None:
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text()
        except OSError:
            return None
    try:
        values = int(quota), int(period)
    except ValueError:
        return None
    return values if values[0] > 0 and values[1] > 0 else None
