"""Hashes a tree with several threads and hands the results on in the tree's order.

Files come in batches that all threads share, so no thread waits for a slow one; large files are cut into chunks that
are spread likewise. What is in flight is bounded, and so is memory.
"""

from __future__ import annotations

import errno
import os
import random
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Self

from lineward import native
from lineward.adapters.files_limits import usable_cpus
from lineward.adapters.files_tree import Directory, Run, Tree, TreeError
from lineward.domain import merkle
from lineward.domain.entry import Entry
from lineward.domain.errors import LinewardError
from lineward.domain.manifest import Parameters, Profile
from lineward.domain.reasons import Reason
from lineward.native import fallback

BATCH_FILES = 2048
BATCH_DIRECTORIES = 64
"""Directories of a batch stay open until it is done."""
BATCHES_AHEAD = 4
SPAN_CHUNKS = 6
"""Chunks of a task; a multiple of the lanes of each compiled engine."""
_STAT_ONLY = 1
_STOP = (1 << 63) - 1
_TICK_SECONDS = 0.2
_RECHECK_ONE_IN = 64
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come. `total_bytes` and `total_files` are 0 while they are not known; `seconds` since start."""

    files: int
    bytes: int
    total_files: int
    total_bytes: int
    seconds: float

    @property
    def rate(self) -> float:
        """Bytes each second so far."""
        return self.bytes / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimate from the rate so far; None while it cannot be told."""
        if not self.rate or not self.total_bytes:
            return None
        return max(0.0, (self.total_bytes - self.bytes) / self.rate)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A stretch of entries in order: encodings joined, their lengths as native u32, number and bytes of files."""

    blob: bytes
    lengths: bytes
    files: int
    bytes: int


@dataclass(slots=True)
class _Batch:
    """Neighbouring entries whose files are hashed together."""

    items: list[Run | Entry] = field(default_factory=list)
    files: int = 0
    directories: int = 0
    cursor: bytearray = field(default_factory=lambda: bytearray(fallback.CURSOR.size))
    stats: bytearray = field(default_factory=bytearray)
    digests: bytearray = field(default_factory=bytearray)
    futures: list[Future[int]] = field(default_factory=list)

    def add(self, item: Run | Entry) -> None:
        if isinstance(item, Run):
            self.files += len(item.names)
            self.directories += 1
        self.items.append(item)

    @property
    def full(self) -> bool:
        return self.files >= BATCH_FILES or self.directories >= BATCH_DIRECTORIES or len(self.items) >= BATCH_FILES

    def runs(self) -> Iterator[Run]:
        return (item for item in self.items if isinstance(item, Run))

    def locate(self, index: int) -> tuple[Directory, bytes]:
        """Directory and name of the batch's file number `index`."""
        for run in self.runs():
            if index < len(run.names):
                return run.directory, run.names[index]
            index -= len(run.names)
        raise IndexError(index)

    def path(self, index: int) -> bytes:
        directory, name = self.locate(index)
        return directory.prefix + name

    def stat(self, index: int) -> tuple[int, ...]:
        return fallback.STAT.unpack_from(self.stats, index * fallback.STAT.size)


class Engine:
    """One run over a tree. Use it as a context manager: leaving it stops the threads and closes what is open."""

    def __init__(
        self, parameters: Parameters, workers: int | None = None, progress: Callable[[Progress], None] | None = None
    ) -> None:
        self.parameters = parameters
        self.workers = workers or usable_cpus()
        self._progress = progress
        self._pool = ThreadPoolExecutor(self.workers, "lineward-hash")
        self._pending: deque[_Batch] = deque()
        self._spans = bytearray(fallback.CURSOR.size)
        self._random = random.SystemRandom()
        self._started = time.monotonic()
        self._ticked = 0.0
        self._files = self._bytes = 0
        self.expected = (0, 0)
        """Files and bytes to expect, for the estimate of the time left."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for batch in self._pending:
            fallback.CURSOR.pack_into(batch.cursor, 0, _STOP, 0, 0)
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def seconds(self) -> float:
        """Time since the engine was made."""
        return time.monotonic() - self._started

    def hash(self, tree: Tree) -> Iterator[Encoded]:
        """Hash every file below the tree and yield its entries in order.

        Raises TreeError, for the first path in order that something is wrong with, and LinewardError(EngineFault)
        where a digest is not the one that hashlib finds.
        """
        try:
            yield from self.hash_runs(tree.walk())
        finally:
            tree.close()

    def hash_runs(self, items: Iterator[Run | Entry]) -> Iterator[Encoded]:
        """`hash` for items that are already at hand."""
        self._started = time.monotonic()
        for batch in self._batches(items):
            self._submit(batch)
            self._pending.append(batch)
            if len(self._pending) > BATCHES_AHEAD:
                yield from self._finish(self._pending[0])
                self._pending.popleft()
        while self._pending:
            yield from self._finish(self._pending[0])
            self._pending.popleft()
        self._tick(final=True)

    def _batches(self, items: Iterator[Run | Entry]) -> Iterator[_Batch]:
        batch = _Batch()
        for item in items:
            for part in _cut(item):
                batch.add(part)
                if batch.full:
                    yield batch
                    batch = _Batch()
        if batch.items:
            yield batch

    def _submit(self, batch: _Batch) -> None:
        batch.stats = bytearray(batch.files * fallback.STAT.size)
        batch.digests = bytearray(batch.files * merkle.HASH_BYTES)
        groups = [(run.directory.fd, run.names) for run in batch.runs()]
        limit = self.parameters.chunk_bytes
        for _ in range(min(self.workers, -(-batch.files // 16))):
            batch.futures.append(
                self._pool.submit(native.hash_files, groups, batch.cursor, batch.stats, batch.digests, limit, 0)
            )

    def _finish(self, batch: _Batch) -> Iterator[Encoded]:
        self._await(batch.futures)
        statuses = bytes(batch.stats[:: fallback.STAT.size])
        if any(statuses):
            self._refuse_failures(batch, statuses)
            self._hash_large(batch, [at for at, status in enumerate(statuses) if status == fallback.DEFERRED])
        self._recheck(batch)
        _, _, size = fallback.CURSOR.unpack(batch.cursor)
        self._bytes += size
        self._files += batch.files
        yield from self._encode(batch)
        self._tick()

    def _await(self, futures: list[Future[int]]) -> None:
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, _TICK_SECONDS)
            for future in done:
                future.result()
            self._tick()

    def _refuse_failures(self, batch: _Batch, statuses: bytes) -> None:
        for at, status in enumerate(statuses):
            if status in {fallback.DONE, fallback.DEFERRED}:
                continue
            code = batch.stat(at)[3]
            if status == fallback.FAILED and code not in _GONE:
                raise TreeError(Reason.UNREADABLE, batch.path(at), f"cannot be read: {os.strerror(code)}")
            raise TreeError(Reason.CHANGED_WHILE_READ, batch.path(at), "changed while it was read")

    def _encode(self, batch: _Batch) -> Iterator[Encoded]:
        at = 0
        singles: list[bytes] = []
        for item in batch.items:
            if isinstance(item, Entry):
                singles.append(item.encode())
                continue
            if singles:
                yield _joined(singles)
                singles = []
            yield self._encode_run(batch, item, at)
            at += len(item.names)
            item.directory.release()
        if singles:
            yield _joined(singles)

    def _encode_run(self, batch: _Batch, run: Run, at: int) -> Encoded:
        end = at + len(run.names)
        stats = bytes(batch.stats[at * fallback.STAT.size : end * fallback.STAT.size])
        digests = bytes(batch.digests[at * merkle.HASH_BYTES : end * merkle.HASH_BYTES])
        modes = self.parameters.profile is Profile.POSIX
        blob, lengths = native.encode_files(run.directory.prefix, run.names, stats, digests, modes)
        size = sum(memoryview(stats).cast("Q")[1 :: fallback.STAT.size // 8])
        return Encoded(blob, lengths, len(run.names), size)

    def _hash_large(self, batch: _Batch, indices: list[int]) -> None:
        """Hash files above one chunk: their chunks, over all files, in tasks of equal size."""
        window: deque[tuple[list[tuple[_Large, int]], Future[bytes]]] = deque()
        spans: list[tuple[_Large, int, int]] = []
        for large in (self._open_large(batch, index) for index in indices):
            for offset in range(0, large.size, self.parameters.chunk_bytes):
                spans.append((large, offset, min(self.parameters.chunk_bytes, large.size - offset)))
                if len(spans) == SPAN_CHUNKS:
                    window.append(self._submit_spans(spans))
                    spans = []
                    while len(window) > 2 * self.workers:
                        self._collect(batch, *window.popleft())
        if spans:
            window.append(self._submit_spans(spans))
        while window:
            self._collect(batch, *window.popleft())

    def _open_large(self, batch: _Batch, index: int) -> _Large:
        directory, name = batch.locate(index)
        try:
            fd = os.open(name, _FLAGS, dir_fd=directory.fd)
        except OSError as error:
            raise _changed(batch.path(index)) from error
        large = _Large(index, fd, batch.path(index), batch.stat(index)[4])
        if large.state() != batch.stat(index)[4:]:
            os.close(fd)
            raise _changed(large.path)
        return large

    def _submit_spans(self, spans: list[tuple[_Large, int, int]]) -> tuple[list[tuple[_Large, int]], Future[bytes]]:
        jobs = [(large.fd, offset, length) for large, offset, length in spans]
        return [(large, length) for large, _, length in spans], self._pool.submit(
            native.hash_spans, jobs, self._spans, 0
        )

    def _collect(self, batch: _Batch, owners: list[tuple[_Large, int]], future: Future[bytes]) -> None:
        while not wait([future], _TICK_SECONDS).done:
            self._tick()
        try:
            digests = future.result()
        except (EOFError, OSError) as error:
            if isinstance(error, EOFError) or error.errno in _GONE:
                raise _changed(owners[0][0].path) from error
            raise TreeError(Reason.UNREADABLE, owners[0][0].path, f"cannot be read: {error.strerror}") from error
        for at, (large, length) in enumerate(owners):
            large.chunks += digests[at * merkle.HASH_BYTES : (at + 1) * merkle.HASH_BYTES]
            large.done += length
            if large.done == large.size:
                self._finish_large(batch, large)
        self._tick()

    def _finish_large(self, batch: _Batch, large: _Large) -> None:
        chunk = self.parameters.chunk_bytes
        which = self._random.randrange(len(large.chunks) // merkle.HASH_BYTES)
        expected = fallback.hash_spans(
            [(large.fd, which * chunk, min(chunk, large.size - which * chunk))], bytearray(fallback.CURSOR.size), 0
        )
        state = large.state()
        os.close(large.fd)
        if state != batch.stat(large.index)[4:]:
            raise _changed(large.path)
        if expected != large.chunks[which * merkle.HASH_BYTES : (which + 1) * merkle.HASH_BYTES]:
            raise _fault(large.path)
        lengths = array("I", [merkle.HASH_BYTES]) * (len(large.chunks) // merkle.HASH_BYTES)
        root = merkle.root_of(native.leaf_hashes(bytes(large.chunks), lengths.tobytes()))
        batch.digests[large.index * merkle.HASH_BYTES : (large.index + 1) * merkle.HASH_BYTES] = root

    def _recheck(self, batch: _Batch) -> None:
        """Hash a random file again with hashlib: in the first batch, and in some of the others."""
        if not batch.files or (self._files and self._random.randrange(_RECHECK_ONE_IN)):
            return
        index = self._random.randrange(batch.files)
        before = batch.stat(index)
        if before[0] != fallback.DONE:
            return
        directory, name = batch.locate(index)
        stats, digest = bytearray(fallback.STAT.size), bytearray(merkle.HASH_BYTES)
        cursor = bytearray(fallback.CURSOR.size)
        fallback.hash_files([(directory.fd, [name])], cursor, stats, digest, self.parameters.chunk_bytes, 0)
        if fallback.STAT.unpack(stats) != before:
            raise _changed(batch.path(index))
        if digest != batch.digests[index * merkle.HASH_BYTES : (index + 1) * merkle.HASH_BYTES]:
            raise _fault(batch.path(index))

    def _tick(self, *, final: bool = False) -> None:
        now = time.monotonic()
        if not self._progress or (now - self._ticked < _TICK_SECONDS and not final):
            return
        self._ticked = now
        files, size = self._files, self._bytes + fallback.CURSOR.unpack(self._spans)[2]
        for batch in self._pending:
            _, done, read = fallback.CURSOR.unpack(batch.cursor)
            files, size = files + done, size + read
        self._progress(Progress(files, size, *self.expected, now - self._started))


@dataclass(slots=True)
class _Large:
    """A file of more than one chunk while it is being hashed."""

    index: int
    fd: int
    path: bytes
    size: int
    done: int = 0
    chunks: bytearray = field(default_factory=bytearray)

    def state(self) -> tuple[int, ...]:
        found = os.fstat(self.fd)
        return found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def _cut(item: Run | Entry) -> Iterator[Run | Entry]:
    """Split a run that is longer than a batch; each part uses the directory once."""
    if isinstance(item, Entry) or len(item.names) <= BATCH_FILES:
        yield item
        return
    starts = range(0, len(item.names), BATCH_FILES)
    item.directory.users += len(starts) - 1
    for start in starts:
        yield Run(item.directory, item.names[start : start + BATCH_FILES])


def _joined(encodings: list[bytes]) -> Encoded:
    return Encoded(b"".join(encodings), array("I", map(len, encodings)).tobytes(), 0, 0)


def _changed(path: bytes) -> TreeError:
    return TreeError(Reason.CHANGED_WHILE_READ, path, "changed while it was read")


def _fault(path: bytes) -> LinewardError:
    return TreeError(Reason.ENGINE_FAULT, path, "was hashed twice with different results; nothing here can be trusted")
