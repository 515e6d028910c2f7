"""Plain SHA-256 of each file of a folder: what other tools' signatures list. The walk is the manifest's own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from lineward.adapters.files_tree import Run, Tree, TreeError
from lineward.domain.digest import Digest
from lineward.domain.manifest import Profile
from lineward.domain.reasons import Reason

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def digests(folder: Path) -> Iterator[tuple[str, Digest]]:
    """Yield name (relative, "/" between components) and digest of every file, in the manifest's order.

    Raises LinewardError: SpecialFile (also for symlinks and names that are no UTF-8), EmptyDirectory, Unreadable,
    ChangedWhileRead.
    """
    tree = Tree(folder, Profile.PORTABLE)
    try:
        for run in tree.walk():
            if isinstance(run, Run):
                for name in run.names:
                    yield _text(run.directory.prefix + name), _digest(run, name)
                run.directory.release()
    finally:
        tree.close()


def _digest(run: Run, name: bytes) -> Digest:
    path = run.directory.prefix + name
    try:
        fd = os.open(name, _FLAGS, dir_fd=run.directory.fd)
        with os.fdopen(fd, "rb") as file:
            before = os.fstat(fd)
            digest = hashlib.file_digest(file, "sha256").digest()
            after = os.fstat(fd)
    except OSError as error:
        raise TreeError(Reason.UNREADABLE, path, f"cannot be read: {error.strerror}") from error
    if _state(before) != _state(after):
        raise TreeError(Reason.CHANGED_WHILE_READ, path, "changed while it was read")
    return Digest(digest)


def _state(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _text(path: bytes) -> str:
    try:
        return path.decode()
    except UnicodeDecodeError as error:
        raise TreeError(Reason.SPECIAL_FILE, path, "has a name that is no UTF-8") from error
