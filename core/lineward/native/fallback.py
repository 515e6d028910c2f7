"""What the compiled module does, in Python: the reference for its results, and what runs where it was not built.

Functions take and return plain bytes, lists and file descriptors, so that the two are exchangeable call by call.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import struct
import threading
from array import array
from collections.abc import Sequence

NAME = "python"
LANES = 1
ABI = 1
"""Raised, here and in module.c, whenever a function takes or returns something else."""

STAT = struct.Struct("<BBHiQQqq")
"""status, executable, unused, errno, size, inode, mtime and ctime in nanoseconds: 40 bytes for each file."""
DONE, DEFERRED, FAILED, NOT_REGULAR, CHANGED = range(5)
CURSOR = struct.Struct("<QQQ")
"""Next file to claim, files done, bytes done: shared by the workers of a batch. With spans the first counts the reads
that had to wait for a disk, which only the compiled engine knows."""

_CLAIM = 16
_PIECE = 256 * 1024
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | getattr(os, "O_NOCTTY", 0)
_HEAD = struct.Struct(">BHQ")
FILE, EXECUTABLE = ord("F"), ord("X")
_lock = threading.Lock()
_local = threading.local()

Group = tuple[int, Sequence[bytes]]
"""A directory's descriptor and names in it."""


def list_directory(fd: int, after: bytes, room: int) -> tuple[bytes, bytes, bool]:
    """The first names in a directory, in byte order, behind `after`: as many as take up `room` bytes, at least one.

    Returns the names, each with a NUL behind it, a letter for each (f file, d directory, l symlink, s special), and
    whether others follow. Memory is bounded by `room`, not by how many names there are. Raises OSError.
    """
    found: list[bytes] = []  # name, NUL, kind: in this form they sort as the names do
    size, bound = 0, b""
    os.lseek(fd, 0, os.SEEK_SET)
    with os.scandir(fd) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            if name <= after or (bound and name >= bound):
                continue
            found.append(name + b"\0" + _kind(entry))
            size += len(name) + 1
            if size > room + room // 4:
                kept, size = _first(found, room)
                if len(kept) < len(found):  # what comes before the first that is dropped may fit yet
                    bound = found[len(kept)][:-2]
                found = kept
    kept, _ = _first(found, room)
    names, kinds = b"".join(each[:-1] for each in kept), b"".join(each[-1:] for each in kept)
    return names, kinds, bool(bound) or len(kept) < len(found)


def _kind(entry: os.DirEntry[str]) -> bytes:
    if entry.is_symlink():
        return b"l"
    if entry.is_dir(follow_symlinks=False):
        return b"d"
    if entry.is_file(follow_symlinks=False):
        return b"f"
    entry.stat(
        follow_symlinks=False
    )  # raises where the name is gone, of which the others say only that it is not theirs
    return b"s"


def _first(found: list[bytes], room: int) -> tuple[list[bytes], int]:
    """The first that fit into `room`, and how much of it they take up."""
    found.sort()
    size = 0
    for at, each in enumerate(found):
        if at and size + len(each) - 1 > room:
            return found[:at], size
        size += len(each) - 1
    return found, size


def _claim(cursor: bytearray, total: int) -> range:
    with _lock:
        first, files, done = CURSOR.unpack_from(cursor)
        last = min(first + _CLAIM, total)
        CURSOR.pack_into(cursor, 0, max(first, last), files, done)
    return range(first, last)


def _count(cursor: bytearray, files: int, size: int) -> None:
    with _lock:
        first, all_files, done = CURSOR.unpack_from(cursor)
        CURSOR.pack_into(cursor, 0, first, all_files + files, done + size)


def hash_files(  # noqa: PLR0913, PLR0917 - the compiled one takes them by place too
    groups: Sequence[Group], cursor: bytearray, stats: bytearray, digests: bytearray, limit: int, mode: int
) -> int:
    """Hash files until all are claimed; several threads may work on the same arguments.

    `stats` gets one `STAT` and `digests` 32 bytes for each file, in order. A file above `limit` bytes is DEFERRED.
    `mode` bit 0: only stat, do not read; bit 1: advise the kernel ahead, for cold data (no effect here).
    Returns how many reads found no data in memory (always 0 here).
    """
    flat = [(fd, name) for fd, names in groups for name in names]
    while claimed := _claim(cursor, len(flat)):
        for index in claimed:
            fd, name = flat[index]
            record, digest = _hash_file(fd, name, limit, mode)
            stats[index * STAT.size : (index + 1) * STAT.size] = STAT.pack(*record)
            digests[index * 32 : (index + 1) * 32] = digest
            _count(cursor, 1, record[4] if record[0] == DONE and not mode & 1 else 0)
    return 0


_Record = tuple[int, int, int, int, int, int, int, int]
_NOTHING = bytes(32)


def _hash_file(fd: int, name: bytes, limit: int, mode: int) -> tuple[_Record, bytes]:
    try:
        file = os.open(name, _FLAGS, dir_fd=fd)
    except OSError as error:
        status = NOT_REGULAR if error.errno in {errno.ELOOP, errno.ENXIO} else FAILED
        return (status, 0, 0, error.errno or 0, 0, 0, 0, 0), _NOTHING
    try:
        before = os.fstat(file)
        if not stat.S_ISREG(before.st_mode):
            return _record(NOT_REGULAR, before), _NOTHING
        if before.st_size > limit:
            return _record(DEFERRED, before), _NOTHING
        if mode & 1:
            return _record(DONE, before), _NOTHING
        length, digest = _read(file, 0, limit + 1)
        after = os.fstat(file)
    except OSError as error:
        return (FAILED, 0, 0, error.errno or 0, 0, 0, 0, 0), _NOTHING
    finally:
        os.close(file)
    same = length == before.st_size and _identity(before) == _identity(after)
    return _record(DONE if same else CHANGED, before), digest if same else _NOTHING


def _identity(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def _record(status: int, found: os.stat_result) -> _Record:
    executable = 1 if found.st_mode & stat.S_IXUSR else 0
    return status, executable, 0, 0, found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def _read(fd: int, offset: int, length: int) -> tuple[int, bytes]:
    piece = getattr(_local, "piece", None)
    if piece is None:
        piece = _local.piece = bytearray(_PIECE)
    view = memoryview(piece)
    hasher = hashlib.sha256()
    done = 0
    while done < length:
        got = os.preadv(fd, [view[: min(_PIECE, length - done)]], offset + done)
        if not got:
            break
        hasher.update(view[:got])
        done += got
    return done, hasher.digest()


def hash_spans(spans: Sequence[tuple[int, int, int]], cursor: bytearray, mode: int) -> bytes:  # noqa: ARG001
    """SHA-256 of each (descriptor, offset, length), joined; adds the bytes to the cursor's count.

    `mode` bit 2: one sequential stream, for file systems that fetch over a network (no effect here).
    Raises EOFError where a file ends before its span does, OSError where it cannot be read.
    """
    digests = []
    for fd, offset, length in spans:
        done, digest = _read(fd, offset, length)
        if done != length:
            raise EOFError("the file became shorter while it was read")
        digests.append(digest)
        _count(cursor, 0, length)
    return b"".join(digests)


def leaf_hashes(blob: bytes, lengths: bytes) -> bytes:
    """SHA-256(0x00 || part) of each part of `blob`, joined; `lengths` holds the parts' lengths as native u32."""
    start, hashes = 0, []
    for length in memoryview(lengths).cast("I"):
        hashes.append(hashlib.sha256(b"\0" + blob[start : start + length]).digest())
        start += length
    return b"".join(hashes)


def perfect_root(leaves: bytes) -> bytes:
    """Root over a power of two of joined leaf hashes (RFC 6962 section 2.1)."""
    sha256 = hashlib.sha256
    while len(leaves) > 32:
        leaves = b"".join([sha256(b"\1" + leaves[at : at + 64]).digest() for at in range(0, len(leaves), 64)])
    return leaves


def check_entries(body: bytes, previous: bytes, modes: int) -> tuple[bytes, int, int, bytes] | None:  # noqa: ARG001
    """Whether a page's entries follow every rule of the format after the path `previous` (empty: they are the first).

    Returns their lengths as native u32, number and sum of sizes of files, and the last path; or None where a rule is
    broken or, as here always, where the caller is to look for itself.
    """
    return None


def encode_files(
    prefix: bytes, names: Sequence[bytes], stats: bytes, digests: bytes, modes: int
) -> tuple[bytes, bytes]:
    """Manifest entries of files in one directory, joined, and their lengths as native u32.

    With `modes`, files that their owner may execute are of their own kind. `names` are in byte order.
    """
    entries = []
    for index, name in enumerate(names):
        record = STAT.unpack_from(stats, index * STAT.size)
        path = prefix + name
        kind = EXECUTABLE if modes and record[1] else FILE
        entries.append(_HEAD.pack(kind, len(path), record[4]) + path + digests[index * 32 : (index + 1) * 32])
    return b"".join(entries), array("I", map(len, entries)).tobytes()
