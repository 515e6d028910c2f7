"""Builds a tool into the cache: atomic, safe beside another builder, with progress."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from e2e import cache, prerequisites
from e2e.tools.description import DescriptionError, Tool, go_name, load_all

_QUIET_SECONDS = 15.0
OLDEST_GO = 21
"""Minor release of Go 1 from which on it fetches the release that a go.mod names by itself."""


class BuildError(RuntimeError):
    """``go build`` failed; the message ends with what it said."""


def build(names: Iterable[str] = ()) -> dict[str, Path]:
    """Build the named tools (all, if none is named) that the cache lacks; returns the folder of each.

    Raises:
        DescriptionError: a name that no tool has.
        MissingPrerequisiteError: Go, or a library that a tool links.
        BuildError: the compiler refused.
    """
    tools = load_all()
    wanted = list(names) or list(tools)
    if unknown := [name for name in wanted if name not in tools]:
        raise DescriptionError(f"no tool named {', '.join(unknown)}; there are: {', '.join(tools)}")
    return {name: _ensure(tools[name]) for name in wanted}


def binary(name: str) -> Path:
    """Path of one binary, built if the cache lacks it; ``name`` is the binary's own name, as in ``kubectl``."""
    for tool in load_all().values():
        if name in tool.binaries:
            return _ensure(tool) / name
    raise DescriptionError(f"no tool has a binary named {name}")


def _ensure(tool: Tool) -> Path:
    if tool.built:
        return tool.output
    _require_go()
    prerequisites.ensure(tool.needs)
    lock = cache.root() / "bin" / f".{tool.name}.lock"
    with cache.locked(lock, f"{tool.name}: another process is building it, waiting"):
        if not tool.built:
            _build_now(tool)
    return tool.output


def _require_go() -> None:
    """A Go that understands our go.mod files, or fetches one that does."""
    try:
        said = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        said = ""
    release = re.match(r"go1\.(\d+)", said)
    if release is None or int(release[1]) < OLDEST_GO:
        found = f"found {said.strip()}" if said else "found none"
        raise prerequisites.MissingPrerequisiteError(
            f"Go 1.{OLDEST_GO} or newer is needed to build Kubernetes ({found});"
            " install a current release from the Go project,"
            " or on Debian 12: apt-get install -t bookworm-backports golang-go"
        )


def _build_now(tool: Tool) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{tool.name}-", dir=tool.output.parent) as scratch:
        folder = Path(scratch) / "out"
        folder.mkdir()
        _go_build(tool, folder)
        for name, package in tool.binaries.items():
            produced = folder / go_name(package, tool.name)
            if produced.name != name:
                produced.rename(folder / name)
        folder.rename(tool.output)


def _go_build(tool: Tool, folder: Path) -> None:
    command = ["go", "build", "-v", "-trimpath", "-buildvcs=false", "-mod=readonly", "-o", f"{folder}/"]
    command += ["-tags", ",".join(tool.tags), "-ldflags", " ".join(("-s -w", *tool.ldflags)), *tool.binaries.values()]
    environment = os.environ | {
        "CGO_ENABLED": "1" if tool.cgo else "0",
        "GOFLAGS": "",
        "GOWORK": "off",
        "GOTMPDIR": str(folder.parent),  # go leaves it behind when interrupted
    }
    go = subprocess.Popen(
        command, cwd=tool.folder, env=environment, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        said = _follow(tool.name, go)
    finally:
        if go.poll() is None:
            go.send_signal(signal.SIGINT)  # on SIGTERM go would leave its work folder
            go.wait()
    if go.returncode:
        raise BuildError(f"{tool.name}: go build failed\n" + "\n".join(said[-20:]))


def _follow(name: str, go: "subprocess.Popen[str]") -> list[str]:
    """Show how far ``go build -v`` is, a line in place on a terminal and now and then elsewhere."""
    assert go.stderr is not None
    start = shown = time.monotonic()
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns - 1
    said: list[str] = []
    print(f"{name}: building", flush=True)
    for line in go.stderr:
        said.append(line.rstrip())
        now = time.monotonic()
        if now - shown > (0.2 if terminal else _QUIET_SECONDS):
            shown = now
            text = f"{name}: {now - start:4.0f} s, {len(said)} packages, {said[-1]}"
            print(f"\r\033[K{text[:width]}" if terminal else text, end="" if terminal else "\n", flush=True)
    go.wait()
    if not go.returncode:
        end = "\r\033[K" if terminal else ""
        print(f"{end}{name}: built in {time.monotonic() - start:.0f} s", flush=True)
    return said
