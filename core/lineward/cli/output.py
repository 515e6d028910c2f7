"""Where a file goes: whole into its place or not at all, and a manifest never into the folder that it describes."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from lineward.domain.errors import LinewardError
from lineward.domain.reasons import Reason

_NEVER_SETTLED = {errno.EACCES, errno.EINVAL}
"""A folder that may be written to but not read, and a file system that has nothing to settle."""


@contextlib.contextmanager
def manifest_output(arguments: argparse.Namespace) -> Iterator[BinaryIO | None]:
    """The file of `--out`, standard output for `-`; a usage error where it lies inside `arguments.folder`."""
    if arguments.out is None:
        yield None
        return
    target = Path(f"/proc/self/fd/{sys.stdout.fileno()}" if arguments.out == "-" else arguments.out)
    if not _special(target) and target.resolve().is_relative_to(Path(arguments.folder).resolve()):
        arguments.parser.error("the manifest cannot lie inside the folder that it describes")
    if arguments.out == "-":
        yield sys.stdout.buffer
        return
    with replacing(target) as file:
        yield file


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `target` once all of it is on disk, and vanishes if anything fails.

    A link stays and what it leads to is replaced; a device or pipe is written to. A kill that cannot be caught leaves
    `.NAME.xxxxxxxx` beside it. Raises LinewardError(Unwritable) where it cannot be written, before anything is.
    """
    through, place = _special(target), target.resolve()
    try:
        file = target.open("wb") if through else _beside(place)
    except OSError as error:
        raise LinewardError(Reason.UNWRITABLE, f"{target} cannot be written: {error.strerror}") from error
    if through:
        with file:
            yield file
        return
    made = Path(cast("str", file.name))
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            mask = os.umask(0)
            os.umask(mask)
            os.fchmod(file.fileno(), 0o666 & ~mask)
        made.replace(place)
        settle(place.parent)
    except BaseException:
        made.unlink(missing_ok=True)
        raise


def settle(folder: Path) -> None:
    """Have the names in a folder on disk: a renamed file's own fsync(2) does not see to them."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno not in _NEVER_SETTLED:
            raise


def _special(target: Path) -> bool:
    """Whether it is there and no regular file, so that it must not be replaced."""
    try:
        return not stat.S_ISREG(target.stat().st_mode)
    except OSError:
        return False


def _beside(target: Path) -> BinaryIO:
    import tempfile  # noqa: PLC0415 - start-up is not to pay for it

    fd, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(fd)
    return Path(name).open("wb")
