"""What the hashing threads share: a batch of neighbouring entries with room for what is found out about them."""

from __future__ import annotations

import errno
import hashlib
import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from lineward import native
from lineward.adapters.files_threads import Task
from lineward.adapters.files_tree import Directory, Run, TreeError
from lineward.domain.entry import MAX_NAME_BYTES, Entry
from lineward.domain.merkle import HASH_BYTES
from lineward.domain.reasons import Reason
from lineward.native import fallback

BATCH_FILES = 2048
BATCH_BYTES = 2 * 1024 * 1024
"""Of entries, about: bounds a batch of long paths too. Those of less than 700 bytes never come near it."""
BATCH_DIRECTORIES = 64
"""Directories of a batch stay open until it is done."""
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE}
_STAT = fallback.STAT.size
_ENTRY_BYTES = 64
"""Of an entry, without path and target."""
_READ_AGAIN = 8
"""Somebody who writes two contents in turn looks like two engines that disagree once in 2 to the 16th times."""


class Encoded(NamedTuple):
    """A stretch of entries in order: encodings joined, their lengths as native u32, number and bytes of files."""

    blob: bytes
    lengths: bytes
    files: int
    bytes: int


class Work:
    """Files for the threads: groups of names, a shared place in them, and where the results go."""

    def __init__(self, groups: list[tuple[int, list[bytes]]], files: int) -> None:
        self.groups = groups
        self.files = files
        self.stats = bytearray(files * _STAT)
        self.digests = bytearray(files * HASH_BYTES)
        self.cursor = bytearray(fallback.CURSOR.size)
        self.tasks: list[Task[int]] = []

    def run(self, limit: int, mode: int) -> int:
        """Work until all files are taken; several threads may call it."""
        return native.hash_files(self.groups, self.cursor, self.stats, self.digests, limit, mode)


class Batch:
    """Neighbouring entries whose files are hashed together."""

    def __init__(self) -> None:
        self.items: list[Run | Entry] = []
        self.files = self.directories = self.room = 0
        self.all = self.work = Work([], 0)
        """Every file of the batch, and those that are hashed: all, or only some where digests of others are known."""
        self.places: list[int] | None = None
        """Where the files of `work` stand among all; None where they are all."""

    def add(self, item: Run | Entry) -> None:
        """Append an entry or a run of files."""
        if isinstance(item, Run):
            self.files += len(item.names)
            self.directories += 1
            self.room += len(item.names) * _room(item)
        else:
            self.room += _ENTRY_BYTES + len(item.path) + len(item.content)
        self.items.append(item)

    @property
    def full(self) -> bool:
        """Whether nothing more should be added."""
        most = max(self.files, len(self.items))
        return most >= BATCH_FILES or self.directories >= BATCH_DIRECTORIES or self.room >= BATCH_BYTES

    def prepare(self) -> None:
        """Make room for the results."""
        self.all = self.work = Work([(run.directory.fd, run.names) for run in self.runs()], self.files)

    def narrow(self, places: list[int]) -> None:
        """Hash only the files at `places`; `gather` brings their results back."""
        groups: list[tuple[int, list[bytes]]] = []
        for directory, name in (self.locate(place) for place in places):
            if groups and groups[-1][0] == directory.fd:
                groups[-1][1].append(name)
            else:
                groups.append((directory.fd, [name]))
        self.work, self.places = Work(groups, len(places)), places

    def gather(self) -> None:
        """Put the results of a narrowed batch in their places among all."""
        for at, place in enumerate(self.places or ()):
            self.all.stats[place * _STAT : (place + 1) * _STAT] = self.work.stats[at * _STAT : (at + 1) * _STAT]
            self.put_digest(place, self.work.digests[at * HASH_BYTES : (at + 1) * HASH_BYTES])

    def runs(self) -> Iterator[Run]:
        """The runs of files among the items."""
        return (item for item in self.items if isinstance(item, Run))

    def paths(self) -> list[bytes]:
        """Paths of all files."""
        return [run.directory.prefix + name for run in self.runs() for name in run.names]

    def locate(self, index: int) -> tuple[Directory, bytes]:
        """Directory and name of file number `index`."""
        for run in self.runs():
            if index < len(run.names):
                return run.directory, run.names[index]
            index -= len(run.names)
        raise IndexError(index)

    def path(self, index: int) -> bytes:
        """Path of file number `index`."""
        directory, name = self.locate(index)
        return directory.prefix + name

    def record(self, index: int) -> bytes:
        """Stat record of file number `index`, encoded."""
        return bytes(self.all.stats[index * _STAT : (index + 1) * _STAT])

    def stat(self, index: int) -> tuple[int, ...]:
        """Stat record of file number `index`: see `fallback.STAT`."""
        return fallback.STAT.unpack_from(self.all.stats, index * _STAT)

    def digest(self, index: int) -> bytes:
        """Digest of file number `index`."""
        return bytes(self.all.digests[index * HASH_BYTES : (index + 1) * HASH_BYTES])

    def put_digest(self, index: int, digest: bytes | bytearray) -> None:
        """Set the digest of file number `index`."""
        self.all.digests[index * HASH_BYTES : (index + 1) * HASH_BYTES] = digest

    def statuses(self) -> bytes:
        """One byte for each file."""
        return bytes(self.all.stats[::_STAT])

    def mark(self) -> bytes:
        """Stands for names, kinds, sizes and times of all that is in the batch: equal marks, nothing changed.

        A file's status does not count: it says how this pass went about it, not what the file is.
        """
        stats = self.all.stats[:]
        stats[::_STAT] = bytes(self.files)
        hasher = hashlib.sha256(stats)
        for item in self.items:
            if isinstance(item, Run):
                hasher.update(item.directory.prefix + b"\0".join([str(item.directory.state).encode(), *item.names]))
            else:
                hasher.update(item.encode())
        return hasher.digest()

    def latest(self) -> int:
        """Change time of the file that changed last; 0 where there is none."""
        return max(self._times(), default=0)

    def newest(self) -> tuple[int, bytes]:
        """Change time and path of the file that changed last; (0, b"") where there is none."""
        times, latest = self._times(), self.latest()
        return (latest, self.path(times.index(latest))) if times else (0, b"")

    def _times(self) -> list[int]:
        return memoryview(self.all.stats).cast("q")[_STAT // 8 - 1 :: _STAT // 8].tolist()

    def encode(self, *, modes: bool) -> Iterator[Encoded]:
        """The entries in order; lets go of the directories, which may raise TreeError(ChangedWhileRead)."""
        at = 0
        singles: list[bytes] = []
        for item in self.items:
            if isinstance(item, Entry):
                singles.append(item.encode())
                continue
            if singles:
                yield _joined(singles)
                singles = []
            yield self._encode_run(item, at, modes=modes)
            at += len(item.names)
            item.directory.release()
        if singles:
            yield _joined(singles)

    def _encode_run(self, run: Run, at: int, *, modes: bool) -> Encoded:
        end = at + len(run.names)
        stats = bytes(self.all.stats[at * _STAT : end * _STAT])
        digests = bytes(self.all.digests[at * HASH_BYTES : end * HASH_BYTES])
        blob, lengths = native.encode_files(run.directory.prefix, run.names, stats, digests, modes)
        return Encoded(blob, lengths, len(run.names), sum(memoryview(stats).cast("Q")[1 :: _STAT // 8]))

    def release(self) -> None:
        """Let go of the directories without encoding anything."""
        for run in self.runs():
            run.directory.release()


def batches(items: Iterator[Run | Entry]) -> Iterator[Batch]:
    """Cut a walk into batches; a long run is spread over several, each of which holds its directory once."""
    batch = Batch()
    for item in items:
        for part in _cut(item):
            batch.add(part)
            if batch.full:
                yield batch
                batch = Batch()
    if batch.items:
        yield batch


def _cut(item: Run | Entry) -> Iterator[Run | Entry]:
    most = 1 if isinstance(item, Entry) else min(BATCH_FILES, BATCH_BYTES // _room(item))
    if isinstance(item, Entry) or len(item.names) <= most:
        yield item
        return
    starts = range(0, len(item.names), most)
    item.directory.users += len(starts) - 1
    for start in starts:
        yield Run(item.directory, item.names[start : start + most])


def _room(run: Run) -> int:
    """Bytes for the entry of each of its files, at most."""
    return len(run.directory.prefix) + MAX_NAME_BYTES + _ENTRY_BYTES


def _joined(encodings: list[bytes]) -> Encoded:
    return Encoded(b"".join(encodings), array("I", map(len, encodings)).tobytes(), 0, 0)


def changed(path: bytes) -> TreeError:
    """The error of every race that was noticed."""
    return TreeError(Reason.CHANGED_WHILE_READ, path, "changed while it was read")


def unreadable(path: bytes, code: int | None) -> TreeError:
    """The error of a file where opening or reading gave this errno."""
    if code in _GONE:
        return changed(path)
    return TreeError(Reason.UNREADABLE, path, f"cannot be read: {os.strerror(code or 0)}")


def fault(path: bytes) -> TreeError:
    """The error of a digest that another implementation does not confirm."""
    return TreeError(Reason.ENGINE_FAULT, path, "was hashed twice with different results; nothing here can be trusted")


def disagreement(path: bytes, found: Sequence[bytes], read: Sequence[Callable[[], bytes]]) -> TreeError:
    """The error of two engines whose digests differ: what each has `found`, and how to `read` with each once more.

    Only where each repeats itself, and often, is one of them wrong. Else the bytes changed between the readings and no
    time told, as where a program writes through a mapping. `read` may raise OSError and EOFError.
    """
    again = [{engine() for _ in range(_READ_AGAIN)} for engine in read]
    return fault(path) if again == [{digest} for digest in found] else changed(path)
