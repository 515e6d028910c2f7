"""Files between runs that are believed: nobody else may have written them, and one run at a time writes them."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import BinaryIO

from lineward.domain.errors import LinewardError
from lineward.domain.reasons import Reason

_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_private(path: Path) -> BinaryIO | None:
    """An earlier run's file for reading, None where there is none.

    Raises OSError, and LinewardError(Unreadable) where somebody else owns it or may write to it.
    """
    try:
        fd = os.open(path, os.O_RDONLY | _FLAGS)
    except FileNotFoundError:
        return None
    return _checked(fd, path, "rb")


def take_private(path: Path) -> BinaryIO:
    """The file that this run writes, made where it is missing, with what an earlier one left in it.

    Raises OSError, and LinewardError(Unreadable) as `open_private` does, and where another run has it.
    """
    file = _checked(os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o600), path, "r+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except (BlockingIOError, FileNotFoundError):
        mine = False
    if not mine:
        file.close()
        raise LinewardError(Reason.UNREADABLE, f"{path} is in use by another run")
    return file


def _checked(fd: int, path: Path, mode: str) -> BinaryIO:
    file: BinaryIO = os.fdopen(fd, mode)  # type: ignore[assignment]  # a binary mode
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        file.close()
        problem = "is believed only as a file of the user who runs this, that neither group nor others may write"
        raise LinewardError(Reason.UNREADABLE, f"{path} {problem}")
    return file
