"""What a pass over a folder saw, so that another can tell whether it saw the same; memory does not grow with it."""

from __future__ import annotations

import hashlib
import time

from lineward.adapters.files_batch import Batch, changed

_CLOCKS_APART = 60 * 10**9
"""Nanoseconds that the clock of a file server may be behind ours; coarse times are within it too."""


class State:
    """Stands for the names, kinds, sizes and times of all files and directories of a pass.

    Batches before the first that has a file changed since `long_ago` count by number only: who changes one of their
    files after that time makes it the first, and who changes their names changes a directory.
    """

    __slots__ = ("_files", "_old", "directories", "long_ago", "newest")

    def __init__(self, long_ago: int = 0) -> None:
        """`long_ago`: nanoseconds since the epoch, before the pass; 0 counts all batches whole."""
        self.long_ago = long_ago
        self._old = 0
        self.directories = b""
        """`Tree.seen` at the end of the pass: also of directories that hold only directories, which no batch has."""
        self._files = b""
        self.newest = (0, b"")
        """Change time, in nanoseconds since the epoch, and path of the file that changed last."""

    @classmethod
    def of_late(cls) -> State:
        """For a pass from now on that need not be looked at again where times say that nothing has changed of late."""
        return cls(time.time_ns() - _CLOCKS_APART)

    def add(self, batch: Batch) -> None:
        """The next batch of the pass."""
        if max(batch.latest(), self.newest[0]) < self.long_ago:
            self._old += batch.files
            return
        self.newest = max(self.newest, batch.newest())
        self._files = hashlib.sha256(self._files + batch.mark()).digest()

    def refuse_changes(self, later: State) -> None:
        """Raise TreeError(ChangedWhileRead) unless the later pass saw the same."""
        if (self._files, self._old, self.directories) != (later._files, later._old, later.directories):
            raise changed(later.newest[1] if later.newest[0] > self.newest[0] else b"")
