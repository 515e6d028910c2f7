"""Files of more than one chunk: their chunks are spread over the threads, across files, in tasks of equal size."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from lineward import native
from lineward.adapters.files_batch import Batch, changed, disagreement, unreadable
from lineward.adapters.files_limits import below
from lineward.adapters.files_threads import Pool, Task
from lineward.adapters.files_tree import TreeError
from lineward.domain.merkle import HASH_BYTES, Frontier, leaf_hash
from lineward.native import fallback

if TYPE_CHECKING:
    from lineward.adapters.files_recall import Recall

SPAN_CHUNKS = 6
"""Chunks of a task; a multiple of the lanes of each compiled engine."""
RECHECK_ONE_IN = 64
TICK_SECONDS = 0.2
STREAM = 4
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class _Large:
    """A file while it is being hashed: memory does not grow with its chunks."""

    def __init__(self, index: int, fd: int, path: bytes, size: int, checked: int) -> None:
        """`index` is its place in the batch, `checked` the number of the chunk that is hashed again."""
        self.index = index
        self.fd = fd
        self.path = path
        self.size = size
        self.checked = checked
        self.digest = b""
        """What was found for the chunk that is hashed again."""
        self.tree = Frontier()
        """Over the digests so far."""

    def add(self, digest: bytes) -> None:
        if self.tree.size == self.checked:
            self.digest = digest
        self.tree.append(leaf_hash(digest))

    def state(self) -> tuple[int, ...]:
        found = os.fstat(self.fd)
        return found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns


_Span = tuple[_Large, int, int]
_Task = tuple[list[_Span], Task[bytes]]


class LargeHasher:
    """Hashes the large files of a batch. `cursor` counts bytes and reads that waited for a disk."""

    def __init__(self, chunk_bytes: int, *, stream: bool, recall: Recall | None, tick: Callable[[], None]) -> None:
        """`stream`: one sequential stream at a time, for file systems that fetch over a network."""
        self.cursor = bytearray(fallback.CURSOR.size)
        self.recalled = 0
        """Bytes whose digests were known."""
        self._chunk = chunk_bytes
        self.stream = stream
        self._recall = recall
        self._tick = tick
        self._first = True
        self._open: dict[int, _Large] = {}

    def hash(self, batch: Batch, indices: list[int], pool: Pool, ahead: int, mode: int) -> None:
        """Set the digests of these files; keeps up to `ahead` tasks going. Raises TreeError."""
        window: deque[_Task] = deque()
        for spans in self._tasks(batch, indices):
            jobs = [(large.fd, offset, length) for large, offset, length in spans]
            flags = mode | (STREAM if self.stream else 0)
            window.append((spans, pool.submit(partial(native.hash_spans, jobs, self.cursor, flags))))
            while len(window) > (0 if self.stream else ahead):
                self._collect(batch, *window.popleft())
        while window:
            self._collect(batch, *window.popleft())

    def close(self) -> None:
        """Close what a failure left open."""
        for large in self._open.values():
            os.close(large.fd)
        self._open.clear()

    def _tasks(self, batch: Batch, indices: list[int]) -> Iterator[list[_Span]]:
        spans: list[_Span] = []
        for large in (self._start(batch, index) for index in indices):
            for offset in range(large.tree.size * self._chunk, large.size, self._chunk):
                spans.append((large, offset, min(self._chunk, large.size - offset)))
                if len(spans) == SPAN_CHUNKS:
                    yield spans
                    spans = []
        if spans:
            yield spans

    def _start(self, batch: Batch, index: int) -> _Large:
        directory, name = batch.locate(index)
        path = batch.path(index)
        try:
            fd = os.open(name, _FLAGS, dir_fd=directory.fd)
        except OSError as error:
            raise unreadable(path, error.errno) from error
        size = batch.stat(index)[4]
        large = self._open[fd] = _Large(index, fd, path, size, below(-(-size // self._chunk)))
        if large.state() != batch.stat(index)[4:]:
            raise changed(path)
        if self._recall:
            self._take_over(large, self._recall.chunks(path, batch.record(index)))
        return large

    def _take_over(self, large: _Large, known: bytes) -> None:
        """Begin with digests from before; the last chunk is always hashed, so that a task finishes every file."""
        for number in range(min(len(known) // HASH_BYTES, (large.size - 1) // self._chunk)):
            large.add(known[number * HASH_BYTES : (number + 1) * HASH_BYTES])
        self.recalled += large.tree.size * self._chunk

    def _collect(self, batch: Batch, spans: list[_Span], task: Task[bytes]) -> None:
        while not task.wait(TICK_SECONDS):
            self._tick()
        try:
            digests = task.result()
        except (EOFError, OSError) as error:
            raise _failure(batch, spans, error) from error
        for at, (large, offset, length) in enumerate(spans):
            digest = digests[at * HASH_BYTES : (at + 1) * HASH_BYTES]
            large.add(digest)
            if self._recall:
                self._recall.note_chunk(large.path, batch.record(large.index), offset // self._chunk, digest)
            if offset + length == large.size:
                self._finish(batch, large)
        self._tick()

    def _finish(self, batch: Batch, large: _Large) -> None:
        if self._first or not below(RECHECK_ONE_IN):
            self._recheck(large)
        try:
            beyond = os.pread(large.fd, 1, large.size)
        except OSError as error:
            raise unreadable(large.path, error.errno) from error
        state = large.state()
        os.close(self._open.pop(large.fd).fd)
        if beyond or state != batch.stat(large.index)[4:]:
            raise changed(large.path)
        batch.put_digest(large.index, large.tree.root())

    def _recheck(self, large: _Large) -> None:
        """Hash a chunk again with hashlib."""
        self._first = False
        offset = large.checked * self._chunk
        span = (large.fd, offset, min(self._chunk, large.size - offset))
        try:
            found = hash_one(fallback.hash_spans, span)
            if found != large.digest:
                read = [partial(hash_one, engine, span) for engine in (native.hash_spans, fallback.hash_spans)]
                raise disagreement(large.path, (large.digest, found), read)
        except (EOFError, OSError) as error:
            raise changed(large.path) from error


def _failure(batch: Batch, spans: list[_Span], error: EOFError | OSError) -> TreeError:
    """The error of a task, by the name of the file that changed, or that cannot be read alone either."""
    for large, offset, length in spans:
        try:
            if large.state() != batch.stat(large.index)[4:]:
                return changed(large.path)
            hash_one(native.hash_spans, (large.fd, offset, length))
        except EOFError:
            return changed(large.path)
        except OSError as again:
            return unreadable(large.path, again.errno)
    return unreadable(b"", error.errno) if isinstance(error, OSError) else changed(b"")


def hash_one(hash_spans: Callable[..., bytes], span: tuple[int, int, int]) -> bytes:
    """Digest of one span by this engine; raises EOFError, OSError."""
    return hash_spans([span], bytearray(fallback.CURSOR.size), 0)
