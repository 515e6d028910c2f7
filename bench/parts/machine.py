"""What figures were measured on: machine, versions, date."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from parts.tools import PEERS, model_signing_python

from lineward import native

EXPECTED = {"model_signing": "1.1.1"}
"""Versions that the figures are to be compared with."""


def first_line(*command: str) -> str:
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    return next(iter((found.stdout or found.stderr).splitlines()), "unknown")


def field(path: str, key: str) -> str:
    """The value of the first `key : value` or `key=value` in a file."""
    for line in Path(path).read_text().splitlines():
        name, _, value = line.partition("=" if "=" in line else ":")
        if name.strip() == key:
            return value.strip().strip('"')
    return "unknown"


def version(peer: str) -> str:
    if peer == "model_signing":
        code = "import importlib.metadata as m; print(m.version('model-signing'))"
        return first_line(model_signing_python(), "-c", code)
    return first_line(peer, "version" if peer == "openssl" else "--version")


def report(work: Path) -> str:
    """Machine, date, versions, and the tools that are not here."""
    memory = int(field("/proc/meminfo", "MemTotal").split()[0]) / 1024**2
    disk = subprocess.run(["df", "--output=fstype", str(work)], check=True, capture_output=True, text=True).stdout
    processor = f"{field('/proc/cpuinfo', 'model name')}, {platform.machine()}"
    lines = [
        f"- {datetime.now(UTC):%d %B %Y, %H:%M} UTC, load {os.getloadavg()[0]:.1f}",
        f"- {len(os.sched_getaffinity(0))} CPUs, {processor}, {memory:.1f} GiB memory",
        f"- Linux {platform.release()}, {field('/etc/os-release', 'PRETTY_NAME')}, sets on {disk.split()[-1]}",
        f"- Lineward, engine {native.NAME}, CPython {platform.python_version()}; {first_line('cc', '--version')}",
    ]
    for peer, (_, hint) in PEERS.items():
        if not shutil.which(peer):
            lines.append(f"- **not here, so in no table: {peer}** ({hint})")
            continue
        found = version(peer)
        wanted = EXPECTED.get(peer, found)
        lines.append(f"- {peer}: {found}" + (f" (**not the {wanted} to compare with**)" if found != wanted else ""))
    for line in lines:
        if "**" in line:
            print(line, file=sys.stderr)
    return "\n".join([*lines, ""])
