"""Images inside the cluster: containerd's store is filled from archives, since there is no registry."""

import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from e2e import tools
from e2e.cluster.layout import Layout, Node


class LoadError(RuntimeError):
    """containerd does not have the image; the message says why."""


def answers(node: Node) -> bool:
    """Whether containerd takes commands."""
    return node.socket.exists() and _ctr(node, "version").returncode == 0


def load(layout: Layout, archive: Path, key: str) -> bool:
    """Import an archive into every node that does not have this ``key`` yet; says whether any lacked it.

    Raises:
        LoadError: no cluster runs, or containerd refused it.
    """
    imported = False
    for node in layout.nodes:
        if not node.socket.exists():
            raise LoadError("no cluster is running; start it with: make cluster")
        record = node.folder / "images" / key
        if record.exists():
            continue
        done = _ctr(node, "images", "import", str(archive))
        if done.returncode:
            raise LoadError(f"containerd can't import {archive.name}: {done.stderr.strip()}")
        record.parent.mkdir(exist_ok=True)
        record.touch()
        imported = True
    return imported


def load_all(layout: Layout, archives: Sequence[tuple[Path, str]]) -> list[bool]:
    """`load` for each archive and key, as many at a time as there are processors: an import uses one.

    Raises:
        LoadError: as `load` does.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda archive: load(layout, *archive), archives))


def present(node: Node) -> list[str]:
    """References of the images that a node holds."""
    listed = _ctr(node, "images", "list", "--quiet").stdout.split()
    return sorted(reference for reference in listed if not reference.startswith("sha256:"))


def _ctr(node: Node, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(tools.binary("ctr")), "--address", str(node.socket), "--namespace", "k8s.io", *arguments]
    return subprocess.run(command, text=True, capture_output=True, check=False)
