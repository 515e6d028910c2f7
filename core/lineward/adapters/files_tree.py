"""Walks a folder in the manifest's order, relative to open directories, and never follows a link.

A path is looked up one name at a time from a directory that is held open, so a directory that somebody replaces by a
link on the way leads nowhere else (compare CVE-2021-25741).

No data classes, here and in all that a first byte waits for: docs/adr/0016.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lineward.adapters.files_listing import Listing
from lineward.adapters.files_lost import LOST_AND_FOUND, shows_nothing
from lineward.domain.entry import (
    MAX_DEPTH,
    MAX_NAME_BYTES,
    MAX_PATH_BYTES,
    MAX_TARGET_BYTES,
    Entry,
    Kind,
    printable,
)
from lineward.domain.errors import LinewardError
from lineward.domain.manifest import Profile
from lineward.domain.reasons import Reason

_LOST_AND_FOUND = os.fsencode(LOST_AND_FOUND)
_NAMES_BYTES = 2 * 1024 * 1024
_NAMES_LEAST = 32 * 1024
"""Names held: at most half of what the directories above have left, so that deep trees of huge ones are bounded too."""
_OPEN_LEAST = 64
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE}
_NOT_FILES = re.compile(rb"[^f]")


class TreeError(LinewardError):
    """A folder that cannot be hashed; `path` says where, relative to its top."""

    def __init__(self, reason: Reason, path: bytes, message: str) -> None:
        self.path = path
        super().__init__(reason, f"{printable(path)} {message}" if path else f"the folder {message}")


class Directory:
    """An open directory. It is closed, and checked for change, when its last user lets go of it."""

    __slots__ = ("fd", "prefix", "state", "users")

    def __init__(self, fd: int, prefix: bytes) -> None:
        """`prefix` is its path with a trailing slash, empty at the top."""
        self.fd = fd
        self.prefix = prefix
        self.users = 1
        self.state = self._state()

    def _state(self) -> tuple[int, int, int]:
        found = os.fstat(self.fd)
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns

    def release(self) -> None:
        """Let go; raises TreeError(ChangedWhileRead) where the last user finds names changed since the listing."""
        self.users -= 1
        if self.users or self.fd < 0:
            return
        now = self._state()
        self.close()
        if now != self.state:
            raise TreeError(Reason.CHANGED_WHILE_READ, self.prefix[:-1], "changed while it was read")

    def close(self) -> None:
        """Close without a check, after a failure elsewhere."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Run(NamedTuple):
    """Regular files that are neighbours in one directory, in order. Its holder releases the directory."""

    directory: Directory
    names: list[bytes]


class _Level(NamedTuple):
    directory: Directory
    listing: Listing


class Tree:
    """A folder under a profile. `walk` may be called again for another pass."""

    def __init__(self, path: Path, profile: Profile, prefix: bytes = b"") -> None:
        """`prefix`: where the folder lies in the whole set, with a slash at its end; empty for the set itself."""
        self.path = path
        self.profile = profile
        self.prefix = prefix
        self.remote = False
        """Whether the file system fetches over a network by FUSE; known once walking has begun."""
        self.seen = b""
        """Stands for paths and times of the directories of this pass so far. Renaming one touches no file below it.

        No inode numbers: FUSE and overlay mounts make them up for each mount.
        """
        self.newest = 0
        """When the directory changed that changed last, in nanoseconds since the epoch."""
        self._open: set[Directory] = set()
        self._most = 0
        """How many of `_open` before the closed ones are dropped: each has a path, which may be long."""

    def walk(self) -> Iterator[Run | Entry]:
        """Yield runs of files, and entries for all that is not a file, in order.

        Raises TreeError with the reason: Unreadable, SpecialFile, EmptyDirectory, MountPoint, TreeTooDeep,
        ChangedWhileRead.
        """
        self.seen = b""
        stack = [self._top()]
        while stack:
            level, listing = stack[-1], stack[-1].listing
            if not self._left(level):
                stack.pop()
                level.directory.release()
                continue
            name, kind = listing.names[listing.at], listing.kinds[listing.at]
            if kind == ord("f"):
                yield self._run(level)
                continue
            listing.at += 1
            if kind == ord("d"):
                below = self._descend(level.directory, name, stack)
                if isinstance(below, Entry):
                    yield below
                elif below:
                    stack.append(below)
            else:
                yield self._other(level.directory, name, kind)

    def close(self) -> None:
        """Close what is still open, after a failure."""
        for directory in self._open:
            directory.close()
        self._open.clear()

    def _run(self, level: _Level) -> Run:
        listing = level.listing
        found = _NOT_FILES.search(listing.kinds, listing.at)
        end = found.start() if found else len(listing.names)
        run = Run(level.directory, listing.names[listing.at : end])
        level.directory.users += 1
        listing.at = end
        _check(level.directory.prefix, max(run.names, key=len))
        return run

    def _top(self) -> _Level:
        try:
            fd = os.open(self.path, _DIRECTORY)
        except OSError as error:
            message = f"{self.path} cannot be opened: {error.strerror}"
            raise LinewardError(Reason.UNREADABLE, message) from error
        refuse_mounts_below(fd)
        self.remote = on_fuse(fd)
        return self._level(fd, self.prefix, [])

    def _level(self, fd: int, prefix: bytes, above: list[_Level]) -> _Level:
        directory = Directory(fd, prefix)
        seen = b"%b%d %b %d %d" % (self.seen, len(prefix), prefix, *directory.state[1:])
        self.seen = hashlib.sha256(seen).digest()
        self.newest = max(self.newest, directory.state[2])
        if len(self._open) >= self._most:
            self._open = {other for other in self._open if other.fd >= 0}
            self._most = max(_OPEN_LEAST, 2 * len(self._open))
        self._open.add(directory)
        room = max(_NAMES_LEAST, (_NAMES_BYTES - sum(level.listing.held for level in above)) // 2)
        try:
            return _Level(directory, Listing(fd, room))
        except OSError as error:
            raise _unlisted(directory, error) from error

    def _left(self, level: _Level) -> bool:
        try:
            return level.listing.left()
        except OSError as error:
            raise _unlisted(level.directory, error) from error

    def _descend(self, parent: Directory, name: bytes, above: list[_Level]) -> _Level | Entry | None:
        path = parent.prefix + name
        _check(parent.prefix, name)
        try:
            if name == _LOST_AND_FOUND and parent.prefix == self.prefix and shows_nothing(name, parent.fd):
                return None
            fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent.fd)
        except OSError as error:
            reason = Reason.CHANGED_WHILE_READ if error.errno in _GONE else Reason.UNREADABLE
            raise TreeError(reason, path, f"cannot be opened: {error.strerror}") from error
        level = self._level(fd, path + b"/", above)
        if self._left(level):
            return level
        level.directory.release()
        if self.profile is Profile.PORTABLE:
            raise TreeError(Reason.EMPTY_DIRECTORY, path, "is an empty directory, which the portable profile refuses")
        return Entry(Kind.DIRECTORY, path, 0, b"")

    def _other(self, parent: Directory, name: bytes, kind: int) -> Entry:
        path = parent.prefix + name
        _check(parent.prefix, name)
        if kind != ord("l"):
            raise TreeError(Reason.SPECIAL_FILE, path, "is a socket, device or pipe")
        if self.profile is Profile.PORTABLE:
            raise TreeError(Reason.SPECIAL_FILE, path, "is a symlink, which the portable profile refuses")
        try:
            target = os.readlink(name, dir_fd=parent.fd)
        except OSError as error:
            raise TreeError(Reason.CHANGED_WHILE_READ, path, f"is no symlink any more: {error.strerror}") from error
        if not 0 < len(target) <= MAX_TARGET_BYTES:
            raise TreeError(Reason.SPECIAL_FILE, path, "is a symlink whose target is empty or too long")
        return Entry(Kind.SYMLINK, path, len(target), target)


def _check(prefix: bytes, name: bytes) -> None:
    """Refuse a path that the format has no room for (docs/formats/manifest-v1.md, section 1); FUSE has longer names."""
    if len(name) > MAX_NAME_BYTES or len(prefix) + len(name) > MAX_PATH_BYTES or prefix.count(b"/") >= MAX_DEPTH:
        raise TreeError(Reason.TREE_TOO_DEEP, (prefix + name)[:80], "begins a path that is too long or too deep")


def _unlisted(directory: Directory, error: OSError) -> TreeError:
    return TreeError(Reason.UNREADABLE, directory.prefix[:-1], f"cannot be listed: {error.strerror}")


def on_fuse(fd: int) -> bool:
    """Whether the open directory's file system is a FUSE one (proc(5), mountinfo); False where that is not known."""
    found = os.fstat(fd).st_dev
    device = f"{os.major(found)}:{os.minor(found)}".encode()
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return False
    kinds = {fields[fields.index(b"-") + 1] for line in lines if (fields := line.split(b" "))[2] == device}
    return any(kind == b"fuse" or kind.startswith(b"fuse.") for kind in kinds)


def refuse_mounts_below(fd: int) -> None:
    """Raise TreeError(MountPoint) where something is mounted inside the open directory.

    Another file system below would be read here and be absent, or another one, wherever the data is mounted alone.
    Needs /proc/self/mountinfo (proc(5)); says nothing on systems without it.
    """
    try:
        top = os.fsencode(Path(f"/proc/self/fd/{fd}").readlink())
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return
    below = top.rstrip(b"/") + b"/"
    for line in lines:
        point = _unescaped(line.split(b" ")[4])
        if point.startswith(below) and point != b"/":
            raise TreeError(Reason.MOUNT_POINT, point[len(below) :], "is a mount point inside the folder")


def _unescaped(field: bytes) -> bytes:
    return re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), field)
