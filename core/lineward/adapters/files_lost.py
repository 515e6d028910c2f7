"""The one directory that does not count: mkfs puts `lost+found` into a file system; it is no property of the data."""

from __future__ import annotations

import os

LOST_AND_FOUND = "lost+found"
_DIRECTORY = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def shows_nothing(name: str | bytes, parent: int) -> bool:
    """Whether this process gets at nothing in a directory: it is empty, or can be neither listed nor searched.

    One that can only be searched (mode 0711) gives what is in it to whoever knows the name. Raises OSError.
    """
    try:
        inner = os.open(name, os.O_RDONLY | _DIRECTORY, dir_fd=parent)
    except PermissionError:
        return not _searchable(name, parent)
    except NotADirectoryError:
        return False
    try:
        with os.scandir(inner) as entries:
            return next(entries, None) is None
    finally:
        os.close(inner)


def _searchable(name: str | bytes, parent: int) -> bool:
    inner = os.open(name, os.O_PATH | _DIRECTORY, dir_fd=parent)
    try:
        os.stat(".", dir_fd=inner)
    except PermissionError:
        return False
    finally:
        os.close(inner)
    return True
