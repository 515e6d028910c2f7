"""Digests from an earlier run, so that what has not changed since need not be read again.

A file counts as unchanged while its size, inode and both times are. That trusts the file system and the clock, so a run
that used a single such digest on the way to a verdict is `cached`, never `full`. A file that changed just before a run
is not noted by it: it could change again within the same tick of the clock, and nothing would show it.

A journal is a header and frames in the tree's order. A frame that a kill cut short ends the journal: what comes before
it is kept. It is read beside the walk, so memory does not grow with the set. What is no journal is never written over:
a name mistyped must not cost a file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from lineward.adapters.files_private import open_private, take_private
from lineward.domain.entry import order
from lineward.domain.errors import LinewardError
from lineward.domain.manifest import Parameters
from lineward.domain.merkle import HASH_BYTES
from lineward.domain.reasons import Reason
from lineward.native import fallback

_MAGIC = b"LWJ1"
_HEADER = struct.Struct("4s11sc4s16s")
_PARTS = ("magic", "format", "profile", "chunk size", "folder")
"""What the header's fields say of the run; the middle three are `Parameters`."""
_FRAME = struct.Struct("=cI8s")
_FILES, _CHUNK = b"f", b"c"
_STAT = fallback.STAT.size
_MAX_FRAME = 1 << 27
_LENGTH = struct.Struct("=H")
_PLACE = struct.Struct("=Q")
_CTIME = struct.Struct("=q")
_TICK = 2_000_000_000
"""Nanoseconds: the coarsest times of a file system in use (FAT's), and more than any kernel's tick."""


class Recall(Protocol):
    """Knows digests of files, asked in the order of the walk."""

    def digests(self, paths: list[bytes], stats: bytes) -> list[bytes | None]:
        """Digest of each file if it is known for this state; `stats` holds a `fallback.STAT` for each."""
        ...

    def chunks(self, path: bytes, record: bytes) -> bytes:
        """Digests of the first chunks of a file that had not been finished, joined."""
        ...

    def note_chunk(self, path: bytes, record: bytes, number: int, digest: bytes) -> None:
        """A chunk of a large file was hashed."""
        ...

    def note_files(self, paths: list[bytes], stats: bytes, digests: bytes) -> None:
        """Neighbouring files have these digests."""
        ...


class Journal:
    """A journal on disk: read from the earlier run, written anew beside it. Use it as a context manager.

    Leaving it keeps what was written, so that a later run can go on from there.
    """

    def __init__(
        self,
        path: Path,
        folder: Path,
        parameters: Parameters,
        clock: Callable[[], int] = time.time_ns,
        *,
        keeps: bool = False,
    ) -> None:
        """With `keeps` what a run over another set wrote is refused, not begun anew: it is progress, not a cache.

        Raises LinewardError(Unreadable) where the journal cannot be opened or believed, or another run has it, and
        LinewardError(Unwritable), leaving all as it is, where something else stands in its place.
        """
        self._settled = clock() - _TICK
        """No file is looked at earlier, so what changed before can only change to a later time from then on."""
        self._path = path
        self._partial = path.with_name(path.name + ".partial")
        self.used = False
        """Whether a digest from the earlier run was given."""
        try:
            self._header = _MAGIC + parameters.encode() + _identity(folder)
            for place in (path, self._partial):
                _refuse_foreign(place, self._header, keeps=keeps)
            self._new = self._keep_the_longer()
            self._old = _Reader(open_private(path), self._header)
            self._new.truncate()
            self._new.write(self._header)
        except OSError as error:
            raise LinewardError(Reason.UNREADABLE, f"{error.filename or path}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # said once already, by the frame that found no room
            self._new.close()
        self._old.close()

    def complete(self) -> None:
        """The run is done: its journal takes the place of the earlier one."""
        self._new.flush()
        self._partial.replace(self._path)

    def digests(self, paths: list[bytes], stats: bytes) -> list[bytes | None]:
        """Digest of each file that stands unchanged in the earlier run's journal."""
        known = [self._old.find(path, stats[at * _STAT : (at + 1) * _STAT]) for at, path in enumerate(paths)]
        self.used = self.used or any(known)
        return known

    def chunks(self, path: bytes, record: bytes) -> bytes:
        """Digests of a large file's first chunks from the earlier run; they are written anew."""
        known = self._old.chunks(path, record)
        self.used = self.used or bool(known)
        for number in range(len(known) // HASH_BYTES):
            self.note_chunk(path, record, number, known[number * HASH_BYTES : (number + 1) * HASH_BYTES])
        return known

    def note_chunk(self, path: bytes, record: bytes, number: int, digest: bytes) -> None:
        """Write a frame for one chunk."""
        if self._fresh(record):
            return
        self._frame(_CHUNK, _LENGTH.pack(len(path)) + path + record + _PLACE.pack(number) + digest)

    def note_files(self, paths: list[bytes], stats: bytes, digests: bytes) -> None:
        """Write a frame for neighbouring files."""
        parts = []
        for at, path in enumerate(paths):
            record = b"\0" + stats[at * _STAT + 1 : (at + 1) * _STAT]
            if self._fresh(record):
                continue
            parts.append(_LENGTH.pack(len(path)) + path + record + digests[at * HASH_BYTES : (at + 1) * HASH_BYTES])
        if parts:
            self._frame(_FILES, b"".join(parts))

    def _fresh(self, record: bytes) -> bool:
        changed: int = _CTIME.unpack_from(record, _STAT - _CTIME.size)[0]
        return changed > self._settled

    def _frame(self, kind: bytes, data: bytes) -> None:
        try:
            self._new.write(_FRAME.pack(kind, len(data), _check(data)) + data)
            self._new.flush()
        except OSError as error:
            message = f"{self._partial} cannot be written: {error.strerror}"
            raise LinewardError(Reason.UNWRITABLE, message) from error

    def _keep_the_longer(self) -> BinaryIO:
        """After a second kill there are two journals; the run that came further counts. Returns the one to write."""
        left = take_private(self._partial)
        before = open_private(self._path)
        with before or contextlib.nullcontext():
            size = os.fstat(before.fileno()).st_size if before else 0
        if os.fstat(left.fileno()).st_size <= size:
            return left
        with left:
            self._partial.replace(self._path)
            return take_private(self._partial)


class _Reader:
    """Reads a journal once, in order; a journal of another folder or other parameters is empty."""

    def __init__(self, file: BinaryIO | None, header: bytes) -> None:
        self._file = file
        if self._file and self._file.read(len(header)) != header:
            self.close()
        self._started: dict[bytes, tuple[bytes, bytearray]] = {}
        self._records = self._read()
        self._current = next(self._records, None)

    def close(self) -> None:
        if self._file:
            self._file.close()
        self._file = None

    def find(self, path: bytes, record: bytes) -> bytes | None:
        wanted = order(path)
        while self._current and order(self._current[0]) < wanted:
            self._current = next(self._records, None)
        if not self._current or self._current[0] != path:
            return None
        known = self._current[1] == b"\0" + record[1:]
        return self._current[2] if known else None

    def chunks(self, path: bytes, record: bytes) -> bytes:
        known, chunks = self._started.get(path, (b"", bytearray()))
        return bytes(chunks) if known == record else b""

    def _read(self) -> Iterator[tuple[bytes, bytes, bytes]]:
        while self._file:
            head = self._file.read(_FRAME.size)
            if len(head) < _FRAME.size:
                return
            kind, length, check = _FRAME.unpack(head)
            data = self._file.read(length) if length <= _MAX_FRAME else b""
            if len(data) != length or _check(data) != check:
                return
            if kind == _FILES:
                self._started.clear()
                yield from _files(data)
            else:
                self._chunk(data)

    def _chunk(self, data: bytes) -> None:
        end = _LENGTH.size + _LENGTH.unpack_from(data)[0]
        path, record = data[_LENGTH.size : end], data[end : end + _STAT]
        number = _PLACE.unpack_from(data, end + _STAT)[0]
        known, chunks = self._started.setdefault(path, (record, bytearray()))
        if known == record and len(chunks) == number * HASH_BYTES:
            chunks += data[-HASH_BYTES:]


def _refuse_foreign(path: Path, header: bytes, *, keeps: bool) -> None:
    """Pass what a kill left of a header, since nothing is lost with it."""
    file = open_private(path)
    with file or contextlib.nullcontext():
        head = file.read(len(header) + 1) if file else b""
    if not _MAGIC.startswith(head[: len(_MAGIC)]):
        raise LinewardError(Reason.UNWRITABLE, f"{path} is neither a journal nor a cache, and is not written over")
    if keeps and len(head) > len(header) and not head.startswith(header):
        fields = zip(_PARTS, _HEADER.unpack_from(head), _HEADER.unpack(header), strict=True)
        other = " and ".join(part for part, theirs, ours in fields if theirs != ours)
        message = f"{path} is the journal of a run with another {other}: remove it if that run is not to go on"
        raise LinewardError(Reason.UNWRITABLE, message)


def _files(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    at = 0
    while at < len(data):
        end = at + _LENGTH.size + _LENGTH.unpack_from(data, at)[0]
        digest_at = end + _STAT
        yield data[at + _LENGTH.size : end], data[end:digest_at], data[digest_at : digest_at + HASH_BYTES]
        at = digest_at + HASH_BYTES


def _check(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:8]


def _identity(folder: Path) -> bytes:
    found = folder.stat()
    return struct.pack("=QQ", found.st_dev, found.st_ino)
