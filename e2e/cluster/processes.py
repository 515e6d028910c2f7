"""Starts the cluster's daemons and stops exactly those again, whatever happened in between.

A pid alone may belong to somebody else by the time it is used, so a record also holds when that process started and in
which boot. Daemons and their children carry a marker in their environment, which finds those that a crash kept from
being recorded.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from e2e.cluster.layout import MARKER, Layout

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_START_TIME_FIELD = 22  # proc(5), /proc/pid/stat, counted from 1
_GRACE_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Process:
    """One process of this boot: ``started`` is in clock ticks since the boot named by ``boot``."""

    name: str
    pid: int
    started: int
    boot: str


def start(
    layout: Layout, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None
) -> Process:
    """Start a daemon in its own session, with its output in the log folder, and record it."""
    for folder in (layout.logs, layout.processes):
        folder.mkdir(parents=True, exist_ok=True)
    with (layout.logs / f"{name}.log").open("ab") as log:
        child = subprocess.Popen(
            [str(part) for part in command],
            env=dict(os.environ) | dict(environment or {}) | {MARKER: str(layout.state)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    process = Process(name, child.pid, started(child.pid) or 0, boot_id())
    (layout.processes / f"{name}.json").write_text(json.dumps(asdict(process)))
    return process


def recorded(layout: Layout) -> list[Process]:
    """What ``start`` recorded, by name; a record cut short by a crash is left to ``marked``."""
    found = []
    for path in sorted(layout.processes.glob("*.json")):
        try:
            found.append(Process(**json.loads(path.read_text())))
        except (ValueError, TypeError):
            continue
    return found


def alive(process: Process) -> bool:
    """Whether that very process still runs."""
    return process.boot == boot_id() and process.started > 0 and started(process.pid) == process.started


def marked(layout: Layout) -> list[int]:
    """Pids of all processes that carry this cluster's marker, oldest first."""
    marker = f"{MARKER}={layout.state}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and marker in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return sorted(found, key=lambda pid: started(pid) or 0)


def stop(pids: Iterable[int], grace: float = _GRACE_SECONDS) -> None:
    """Ask to end, wait up to ``grace`` seconds in all, then kill; returns when all are gone."""
    waiting = {pid: when for pid in pids if (when := started(pid)) is not None}
    _signal(waiting, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while (waiting := _running(waiting)) and time.monotonic() < deadline:
        time.sleep(0.05)
    while waiting := _running(waiting):
        _signal(waiting, signal.SIGKILL)
        time.sleep(0.05)


def started(pid: int) -> int | None:
    """Start time in clock ticks since boot; None when there is no such process, or only its zombie."""
    _reap(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] == "Z" else int(fields[_START_TIME_FIELD - 3])


def boot_id() -> str:
    return _BOOT_ID.read_text().strip()


def _running(pids: Mapping[int, int]) -> dict[int, int]:
    return {pid: when for pid, when in pids.items() if started(pid) == when}


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _reap(pid: int) -> None:
    """Collect a child of ours that has ended; other processes have other parents."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
