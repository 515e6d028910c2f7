"""Programs of the operating system that the harness needs: installed when that is possible, else named."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path


class MissingPrerequisiteError(RuntimeError):
    """Something the machine lacks; the message carries the command that installs it."""


def missing(needs: Mapping[str, str]) -> list[str]:
    """Debian packages of those needs that are absent.

    ``needs`` maps a command name, or the absolute path of a file, to the package that holds it.
    """
    absent = {package for need, package in needs.items() if not _present(need)}
    return sorted(absent)


def ensure(needs: Mapping[str, str]) -> None:
    """Install what is absent when this is root on Debian.

    Raises:
        MissingPrerequisiteError: with the command to run, when it can't be installed from here.
    """
    packages = missing(needs)
    if not packages:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise MissingPrerequisiteError(f"missing on this machine; install with: sudo {' '.join(command)}")
    print(f"installing {', '.join(packages)}", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for step in (["apt-get", "update", "--quiet=2"], command):
        done = subprocess.run(step, env=environment, capture_output=True, text=True, check=False)
    if missing(needs):
        raise MissingPrerequisiteError(f"{' '.join(command)} failed:\n{done.stderr.strip()}")


def _present(need: str) -> bool:
    return Path(need).exists() if need.startswith("/") else shutil.which(need) is not None
