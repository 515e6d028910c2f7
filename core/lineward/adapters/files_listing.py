"""The names of a directory in order, a bounded part of them at a time: there may be more than memory should hold."""

from __future__ import annotations

from lineward import native

_PIECE = 64 * 1024
"""Bytes of names that are handed out as a list."""


class Listing:
    """Names of an open directory. `names` and `kinds` (a letter for each) are the piece at hand, `at` the next in it.

    A directory whose names do not fit into `room` is read again for each part: nothing is written anywhere, so this
    works where no disk is writable.
    """

    __slots__ = ("_all", "_fd", "_letters", "_more", "_room", "_start", "_taken", "at", "held", "kinds", "names")

    def __init__(self, fd: int, room: int) -> None:
        """Read the first part, up to `room` bytes of names; raises OSError."""
        self._fd = fd
        self._room = room
        self.names: list[bytes] = []
        self.kinds = b""
        self.at = 0
        self._read(b"")

    def _read(self, after: bytes) -> None:
        self._all, self._letters, self._more = native.list_directory(self._fd, after, self._room)
        self._start = self._taken = 0
        self.held = self._room if self._more else len(self._all)
        """Bytes of names that this holds, now or later."""

    def left(self) -> bool:
        """Whether a name is left; moves on to the next piece where this one is used up. Raises OSError."""
        if self.at < len(self.names):
            return True
        if self._start == len(self._all) and self._more:
            self._read(self.names[-1])
        if self._start == len(self._all):
            return False
        end = len(self._all)
        if end - self._start > _PIECE:
            end = self._all.rfind(b"\0", self._start, self._start + _PIECE) + 1
        self.names = self._all[self._start : end - 1].split(b"\0")
        self.kinds = self._letters[self._taken : self._taken + len(self.names)]
        self.at = 0
        self._start, self._taken = end, self._taken + len(self.names)
        return True
