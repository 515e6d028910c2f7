"""Looks for change in mounted data while training runs: names, sizes and times, never contents.

A census is an observation, not a proof: whoever can write the data can also set its times. It costs one stat for each
file at a bounded rate, so that it can go on beside any training.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

MAX_DEPTH = 256
"""Directories kept open at once; deeper ones are counted by name only."""
ENTRIES_PER_STEP = 500
STEP_SECONDS = 0.05
"""At most 10,000 entries each second, one core to about a tenth."""
_CHANGING = {errno.ENOENT, errno.ESTALE, errno.ENOTDIR, errno.ELOOP}
"""What an entry answers that vanishes or is replaced while we look: a trace of change, so it counts."""
_MODULUS = 1 << 128
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Count:
    """What one walk saw. `fingerprint` is a sum over all entries, so their order does not matter."""

    files: int
    bytes: int
    fingerprint: int


class Walk:
    """One walk over a folder; `pause` is called with the seconds to wait between steps."""

    def __init__(self, pause: Callable[[float], object]) -> None:
        self._pause = pause
        self._seen = 0
        self._files = self._bytes = self._fingerprint = 0

    def count(self, path: str) -> Count:
        """Walk everything below `path` without following links.

        Raises OSError where the storage fails; what cannot be read for lack of rights, or vanishes, is counted as such.
        """
        folder = os.open(path, _FOLDER)
        try:
            self._folder(folder, b"", 1)
        finally:
            os.close(folder)
        return Count(self._files, self._bytes, self._fingerprint)

    def _folder(self, folder: int, prefix: bytes, depth: int) -> None:
        with os.scandir(folder) as entries:
            for entry in entries:
                self._step()
                path = prefix + os.fsencode(entry.name)
                try:
                    self._entry(folder, entry, path, depth)
                except PermissionError:
                    self._add(path, b"unreadable")
                except OSError as error:
                    if error.errno not in _CHANGING:
                        raise
                    self._add(path, b"vanished")

    def _entry(self, folder: int, entry: os.DirEntry[str], path: bytes, depth: int) -> None:
        found = entry.stat(follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            self._files += 1
            self._bytes += found.st_size
            self._add(path, b"%d %d %d" % (stat.S_IFMT(found.st_mode), found.st_size, found.st_mtime_ns))
            return
        self._add(path, b"folder")
        if depth < MAX_DEPTH:
            inner = os.open(entry.name, _FOLDER, dir_fd=folder)
            try:
                self._folder(inner, path + b"/", depth + 1)
            finally:
                os.close(inner)

    def _add(self, path: bytes, state: bytes) -> None:
        digest = hashlib.blake2b(path + b"\0" + state, digest_size=16).digest()
        self._fingerprint = (self._fingerprint + int.from_bytes(digest)) % _MODULUS

    def _step(self) -> None:
        self._seen += 1
        if self._seen % ENTRIES_PER_STEP == 0:
            self._pause(STEP_SECONDS)
