"""Opens a volume's manifest, which whoever fills the volume, or names the image, may have prepared.

A link, a pipe or a device in its place must neither lead out of the mount nor make verify wait.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lineward.domain.plan import PlannedVolume

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = _FILE | os.O_DIRECTORY
_GENERATION = "..data"
"""The one link of a ConfigMap's mount that is followed (Kubernetes, pkg/volume/util/atomic_writer.go)."""


@contextmanager
def opened(volume: PlannedVolume) -> Iterator[BinaryIO | None]:
    """Yield the volume's manifest if there is one: it only names what differs, so its absence is no failure."""
    try:
        file = _open(volume) if volume.manifest_path and volume.manifest_digest else None
    except OSError:
        file = None
    if file is None:
        yield None
        return
    with file:
        yield file


def _open(volume: PlannedVolume) -> BinaryIO:
    """Raises OSError."""
    inside = volume.manifest_path.removeprefix(f"{volume.path}/")
    if inside != volume.manifest_path:
        return _regular(volume.path, inside.split("/"))
    folder, _, name = volume.manifest_path.rpartition("/")
    return _regular(folder, (*_generation(folder), name))


def _generation(folder: str) -> tuple[str, ...]:
    """The folder in which the kubelet keeps a ConfigMap's files; other mounts have none."""
    try:
        return (str(Path(folder, _GENERATION).readlink()),)
    except FileNotFoundError:
        return ()


def _regular(root: str, parts: Sequence[str]) -> BinaryIO:
    """Open a regular file below the folder `root`, whatever stands in the place of any part of its path."""
    *folders, name = parts
    if any(part in {"", ".", ".."} or "/" in part for part in parts):
        raise PermissionError("leads out of the volume")
    folder = os.open(root, _FOLDER)
    try:
        for part in folders:
            inner = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        descriptor = os.open(name, _FILE, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PermissionError("not a regular file")
    return os.fdopen(descriptor, "rb")
