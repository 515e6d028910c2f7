"""What a pass over a folder saw, so that another can tell whether it saw the same; memory does not grow with it."""

from __future__ import annotations

import hashlib

from lineward.adapters.files_batch import Batch, changed


class State:
    """Stands for the names, kinds, sizes and times of all files and directories of a pass."""

    __slots__ = ("_files", "directories", "newest")

    def __init__(self) -> None:
        self.directories = b""
        """`Tree.seen` at the end of the pass: also of directories that hold only directories, which no batch has."""
        self._files = b""
        self.newest = (0, b"")
        """Change time, in nanoseconds since the epoch, and path of the file that changed last."""

    def add(self, batch: Batch) -> None:
        """The next batch of the pass."""
        self._files = hashlib.sha256(self._files + batch.mark()).digest()
        self.newest = max(self.newest, batch.newest())

    def refuse_changes(self, later: State) -> None:
        """Raise TreeError(ChangedWhileRead) unless the later pass saw the same."""
        if (self._files, self.directories) != (later._files, later.directories):
            raise changed(later.newest[1] if later.newest[0] > self.newest[0] else b"")
