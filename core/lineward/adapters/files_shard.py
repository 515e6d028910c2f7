"""One n-th of a folder, hashed by one of n workers, and their results merged into the manifest of the whole.

Every worker looks at all names and sizes (a stat each) and cuts the folder at the same places, by bytes and files; a
large file is cut between chunks. It then reads only its own part. Merging costs no reading of data, and its result is
bit for bit what one worker would have written.

All shards of a folder must have seen one state of it: names, kinds, sizes, modification and change times, twice in each
worker, before and after it reads. Inode numbers are left out: FUSE and overlay mounts make them up for each mount.
Times of directories count, since renaming one touches no file below it, but not on FUSE: mounts of object stores make
them up too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from lineward import native
from lineward.adapters.files_batch import Work, changed
from lineward.adapters.files_engine import Engine
from lineward.adapters.files_shardfile import ENTRIES, PART, PART_HEAD, ShardWriter, Whole
from lineward.adapters.files_span import hash_chunks
from lineward.adapters.files_tree import Run, Tree, TreeError
from lineward.domain.entry import Entry
from lineward.domain.errors import InvalidInputError
from lineward.domain.manifest import Profile
from lineward.domain.merkle import HASH_BYTES
from lineward.domain.reasons import Reason
from lineward.native import fallback

MAX_SHARDS = 4096
_FILE_WEIGHT = 65536
"""What opening a file costs, in bytes that are hashed in that time."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Worker `number` (from 0) of `count`; raises InvalidInputError(RequestInvalid) for any other."""

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.count <= MAX_SHARDS:
            raise InvalidInputError(Reason.REQUEST_INVALID, f"a shard is 0/n to n-1/n, n at most {MAX_SHARDS}")


@dataclass(slots=True)
class _Cut:
    """Walks along the weights of all entries; says which part of each belongs to the shard."""

    low: int
    high: int
    chunk: int
    at: int = 0

    def take(self, size: int) -> tuple[int, int]:
        """Range of the chunks of the next file that are ours: (0, number of chunks) for all, (0, 0) for none."""
        count = max(1, -(-size // self.chunk))
        start, self.at = self.at, self.at + _FILE_WEIGHT + size
        first = 0 if start >= self.low else min(count, -(-(self.low - start - _FILE_WEIGHT) // self.chunk))
        last = 0 if start >= self.high else min(count, -(-(self.high - start - _FILE_WEIGHT) // self.chunk))
        return max(first, 0 if start >= self.low else 1), max(last, 0 if start >= self.high else 1)


def create_shard(path: Path, shard: Shard, out: BinaryIO, engine: Engine) -> tuple[int, int]:
    """Hash the shard's part of the folder and write it to `out`; returns its files and bytes.

    Those of all shards add up to those of the folder: a file that is shared counts where its first chunk is.
    Raises what `create_manifest` raises; ChangedWhileRead also where names, sizes or times changed since it began.
    """
    parameters, chunk = engine.parameters, engine.parameters.chunk_bytes
    survey = _survey(Tree(path, parameters.profile), chunk)
    low, high = (survey.weight * n // shard.count for n in (shard.number, shard.number + 1))
    whole = Whole(parameters, shard.count, survey.fingerprint(), survey.totals)
    writer = ShardWriter(out, whole, shard.number)
    tree = Tree(path, parameters.profile)
    engine.start(tree, partial(_share, cut=_Cut(low, high, chunk)))
    files = size = 0
    try:
        own = _own(tree, _Cut(low, high, chunk), chunk)
        parts: list[_Part] = []
        while True:
            for done in engine.hash_runs(_until_part(own, parts), tree):
                writer.frame(ENTRIES, done.blob)
                files, size = files + done.files, size + done.bytes
            if not parts:
                break
            part = parts.pop()
            writer.frame(PART, _hash_part(part, engine, stream=tree.remote))
            files, size = files + (part.first == 0), size + _length(part.size, part.first, part.last, chunk)
    finally:
        tree.close()
    if _survey(Tree(path, parameters.profile), chunk).fingerprint() != survey.fingerprint():
        raise changed(b"")
    writer.finish()
    return files, size


def _length(size: int, first: int, last: int, chunk: int) -> int:
    return min(last * chunk, size) - first * chunk


def _until_part(own: Iterator[Run | Entry | _Part], parts: list[_Part]) -> Iterator[Run | Entry]:
    for item in own:
        if isinstance(item, _Part):
            parts.append(item)
            return
        yield item


def _hash_part(part: _Part, engine: Engine, *, stream: bool) -> bytes:
    digests = hash_chunks(part.run, part.size, range(part.first, part.last), engine, stream=stream)
    return PART_HEAD.pack(part.first, part.last, part.size, len(part.head)) + part.head + digests


class _Survey:
    """Weight of all entries, and what stands for all names, sizes and times."""

    def __init__(self) -> None:
        self.totals = (0, 0, 0)
        """Entries, files, bytes."""
        self._hasher = hashlib.sha256()

    @property
    def weight(self) -> int:
        entries, _, size = self.totals
        return entries * _FILE_WEIGHT + size

    def add_entry(self, entry: Entry) -> None:
        self._add(0, 0)
        self._hasher.update(entry.encode())

    def add_run(self, run: Run, stats: bytearray) -> None:
        for name, record in zip(run.names, fallback.STAT.iter_unpack(stats), strict=True):
            _, executable, _, _, size, _, mtime, ctime = record
            self._add(1, size)
            state = (size, executable, mtime, ctime, run.directory.prefix + name)
            self._hasher.update(b"%d %d %d %d %b\0" % state)

    def add_directories(self, seen: bytes) -> None:
        self._hasher.update(seen)

    def _add(self, files: int, size: int) -> None:
        self.totals = (self.totals[0] + 1, self.totals[1] + files, self.totals[2] + size)

    def fingerprint(self) -> bytes:
        return self._hasher.digest()


@dataclass(frozen=True, slots=True)
class _Part:
    """Chunks `first` to `last` of a large file; `head` is its entry with an empty digest."""

    run: Run
    size: int
    first: int
    last: int
    head: bytes


def _stats(run: Run, chunk: int) -> bytearray:
    work = Work([(run.directory.fd, run.names)], len(run.names))
    work.run(chunk, 1)
    for at, status in enumerate(bytes(work.stats[:: fallback.STAT.size])):
        if status not in {fallback.DONE, fallback.DEFERRED}:
            raise changed(run.directory.prefix + run.names[at])
    return work.stats


def _survey(tree: Tree, chunk: int) -> _Survey:
    survey = _Survey()
    try:
        for item in tree.walk():
            if isinstance(item, Entry):
                survey.add_entry(item)
            else:
                survey.add_run(item, _stats(item, chunk))
                item.directory.release()
        if not tree.remote:
            survey.add_directories(tree.seen)
    finally:
        tree.close()
    if not survey.weight:
        raise TreeError(Reason.EMPTY_DATASET, b"", "holds no file")
    return survey


def _share(tree: Tree, cut: _Cut) -> Iterator[tuple[int, int]]:
    """Files and bytes that belong to the shard; a file that is shared counts where its first chunk is."""
    for item in tree.walk():
        if cut.at >= cut.high:
            return
        if isinstance(item, Entry):
            cut.take(0)
            continue
        stats = _stats(item, cut.chunk)
        item.directory.release()
        for record in fallback.STAT.iter_unpack(stats):
            first, last = cut.take(record[4])
            if first < last:
                yield int(first == 0), _length(record[4], first, last, cut.chunk)


def _own(tree: Tree, cut: _Cut, chunk: int) -> Iterator[Run | Entry | _Part]:
    """What belongs to the shard, in order; each run holds its directory."""
    for item in tree.walk():
        if isinstance(item, Entry):
            first, last = cut.take(0)
            if first < last:
                yield item
            continue
        yield from _own_of_run(item, _stats(item, chunk), cut, chunk, tree.profile)
        item.directory.release()


def _own_of_run(run: Run, stats: bytearray, cut: _Cut, chunk: int, profile: Profile) -> Iterator[Run | _Part]:
    whole: list[bytes] = []
    for at, name in enumerate(run.names):
        record = stats[at * fallback.STAT.size : (at + 1) * fallback.STAT.size]
        size = fallback.STAT.unpack(record)[4]
        first, last = cut.take(size)
        if first == 0 and last == max(1, -(-size // chunk)):
            whole.append(name)
        elif first < last:
            yield from _held(run, whole)
            whole = []
            modes = profile is Profile.POSIX
            head, _ = native.encode_files(run.directory.prefix, [name], bytes(record), bytes(HASH_BYTES), modes)
            yield _Part(run._replace(names=[name]), size, first, last, head)
    yield from _held(run, whole)


def _held(run: Run, names: list[bytes]) -> Iterator[Run]:
    if names:
        run.directory.users += 1
        yield run._replace(names=names)
