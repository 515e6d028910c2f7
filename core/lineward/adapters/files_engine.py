"""Hashes a tree with several threads and hands the results on in the tree's order.

Files come in batches that all threads share, so no thread waits for a slow one. What is in flight is bounded, and so is
memory. Where the disk makes a thread wait, more threads keep more reads on their way.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Self

from lineward import native
from lineward.adapters.files_batch import Batch, Encoded, batches, changed, disagreement, unreadable
from lineward.adapters.files_large import RECHECK_ONE_IN, TICK_SECONDS, LargeHasher
from lineward.adapters.files_limits import allow_descriptors, below, usable_cpus
from lineward.adapters.files_progress import Progress
from lineward.adapters.files_state import State
from lineward.adapters.files_threads import Pool, Result, Task
from lineward.adapters.files_tree import Run, Tree
from lineward.domain.entry import Entry
from lineward.domain.manifest import Parameters, Profile
from lineward.domain.merkle import HASH_BYTES
from lineward.native import fallback

if TYPE_CHECKING:
    from lineward.adapters.files_recall import Recall
    from lineward.adapters.files_total import Counting, Total

BATCHES_AHEAD = 4
COLD_THREADS = 8
"""Threads that wait for a disk; more gained nothing on an NVMe disk."""
_WINDOW = 67
"""Files that such a thread has open: 64 ahead, and one for each lane."""
_DIRECTORIES = 64 * (BATCHES_AHEAD + 2)
"""Descriptors that batches may hold, and what the walk is filling."""
_STAT_ONLY, _COLD = 1, 2
_WAITS_ONE_IN = 16
_PIECE = 64 * 1024
"""What the compiled engine reads of a large file at a time."""
_STOP = (1 << 63) - 1
_CLAIM = 16
"""Files that a thread takes at a time; a batch of fewer needs no second thread."""


class Engine:
    """One run over a tree. Use it as a context manager: leaving it stops the threads and closes what is open."""

    def __init__(
        self,
        parameters: Parameters,
        workers: int | None = None,
        progress: Callable[[Progress], None] | None = None,
        recall: Recall | None = None,
        *,
        state: State | None = None,
    ) -> None:
        """`workers` threads for data in memory (default: the CPU quota); `recall` knows digests from before.

        With a `state`, `settle` may be called after `hash`.
        """
        self.parameters = parameters
        self.workers = workers or usable_cpus()
        self.expected = (0, 0)
        """Files and bytes to expect, for the estimate of the time left; counted where nobody knows them."""
        self.recalled_files = self.recalled_bytes = 0
        """What was not hashed because its digest was known."""
        self._progress = progress
        self._recall = recall
        self._warm = Pool(self.workers, "lineward-hash")
        self._cold: Pool | None = None
        self._readers = 0
        self._waiting = False
        """Whether the disk makes threads wait, as of the last batch."""
        self._large = LargeHasher(parameters.chunk_bytes, stream=False, recall=recall, tick=self._tick)
        self._pending: deque[Batch] = deque()
        self._started = time.monotonic()
        self._ticked = 0.0
        self._files = self._bytes = 0
        self._total: Total | None = None
        self._rechecked = False
        self._state = state

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for batch in self._pending:
            fallback.CURSOR.pack_into(batch.work.cursor, 0, _STOP, 0, 0)
        for pool in filter(None, (self._warm, self._cold)):
            pool.close()
        if self._total:
            self._total.close()
        self._large.close()

    @property
    def seconds(self) -> float:
        """Time since hashing began."""
        return time.monotonic() - self._started

    def hash(self, tree: Tree) -> Iterator[Encoded]:
        """Hash every file below the tree and yield its entries in order.

        Raises TreeError for the first path in order that something is wrong with, EngineFault where a digest is not
        the one that hashlib finds.
        """
        self.start(tree)
        try:
            yield from self.hash_runs(tree.walk(), tree)
            if self._state:
                self._state.directories = tree.seen
        finally:
            tree.close()

    def start(self, tree: Tree, count: Counting | None = None) -> None:
        """Time runs from here on; who watches learns how much of the tree is to be hashed, all or what `count` says."""
        self._started = time.monotonic()
        if self._progress and not any(self.expected):
            from lineward.adapters.files_total import Total  # noqa: PLC0415 - start-up is not to pay for it

            self._total = Total(tree, partial(setattr, self, "expected"), count)

    def hash_runs(self, items: Iterator[Run | Entry], tree: Tree | None = None) -> Iterator[Encoded]:
        """`hash` for some items, and the tree whose walk they come from."""
        for batch in self._ahead(items, 0):
            self._large.stream = tree is not None and tree.remote
            yield from self._finish(batch)
        self._tick(final=True)

    def hash_spans(self, spans: list[tuple[int, int, int]], mode: int) -> bytes:
        """Digests of spans of one file by one thread, joined; the file counts with its first byte."""
        task = self._warm.submit(partial(native.hash_spans, spans, self._large.cursor, mode))
        (digests,) = self._wait([task])
        self._files += spans[0][1] == 0
        return digests

    def settle(self, tree: Tree) -> None:
        """Look at everything again after `hash`, without reading it: what was hashed must be one state of the folder.

        A file that changed after its turn, while others had still to come, would give a root that no state ever had.
        Raises TreeError(ChangedWhileRead).
        """
        if not self._state or max(self._state.newest[0], tree.newest) < self._state.long_ago:
            return
        now = State(self._state.long_ago)
        try:
            for batch in self._ahead(tree.walk(), _STAT_ONLY):
                self._wait(batch.work.tasks)
                now.add(batch)
                batch.release()
            now.directories = tree.seen
            self._state.refuse_changes(now)
        finally:
            tree.close()

    def _ahead(self, items: Iterator[Run | Entry], mode: int) -> Iterator[Batch]:
        for batch in batches(items):
            batch.prepare()
            if self._recall and not mode:
                self._remember(batch, self._recall)
            self._submit(batch, mode)
            self._pending.append(batch)
            if len(self._pending) > BATCHES_AHEAD:
                yield self._pending[0]
                self._pending.popleft()
        while self._pending:
            yield self._pending[0]
            self._pending.popleft()

    def _submit(self, batch: Batch, mode: int) -> None:
        work, limit = batch.work, self.parameters.chunk_bytes
        pool, threads, flags = self._pool()
        for _ in range(min(threads, -(-work.files // _CLAIM))):
            work.tasks.append(pool.submit(partial(work.run, limit, mode | flags)))

    def _remember(self, batch: Batch, recall: Recall) -> None:
        """Take known digests over; what is left is hashed."""
        batch.all.run(self.parameters.chunk_bytes, _STAT_ONLY)
        places = []
        for at, digest in enumerate(recall.digests(batch.paths(), bytes(batch.all.stats))):
            status = batch.all.stats[at * fallback.STAT.size]
            if digest and status in {fallback.DONE, fallback.DEFERRED}:
                batch.put_digest(at, digest)
                batch.all.stats[at * fallback.STAT.size] = fallback.DONE
                self.recalled_files += 1
                self.recalled_bytes += batch.stat(at)[4]
            elif status != fallback.DEFERRED:
                places.append(at)
        batch.narrow(places)

    def _finish(self, batch: Batch) -> Iterator[Encoded]:
        self._note_waits(sum(self._wait(batch.work.tasks)), batch.work.files)
        batch.gather()
        statuses = batch.statuses()
        if any(statuses):
            self._refuse_failures(batch, statuses)
            self._hash_large(batch, [at for at, status in enumerate(statuses) if status == fallback.DEFERRED])
        self._recheck(batch)
        if self._state:
            self._state.add(batch)
        if self._recall:
            self._recall.note_files(batch.paths(), bytes(batch.all.stats), bytes(batch.all.digests))
        self._bytes += fallback.CURSOR.unpack(batch.work.cursor)[2]
        self._files += batch.files
        yield from batch.encode(modes=self.parameters.profile is Profile.POSIX)
        batch.work.cursor = bytearray(fallback.CURSOR.size)
        self._tick()

    def _hash_large(self, batch: Batch, indices: list[int]) -> None:
        pool, threads, flags = self._pool()
        waits, _, size = fallback.CURSOR.unpack(self._large.cursor)
        self._large.hash(batch, indices, pool, 2 * threads, flags)
        waited, _, grown = fallback.CURSOR.unpack(self._large.cursor)
        self._note_waits(waited - waits, (grown - size) // _PIECE)
        self.recalled_bytes += self._large.recalled
        self._large.recalled = 0

    def _pool(self) -> tuple[Pool, int, int]:
        """Threads for the next work, how many, and their mode: more of them where the data is not in memory."""
        if not self._waiting:
            return self._warm, self.workers, 0
        if not self._cold:
            spare = allow_descriptors() - _DIRECTORIES
            self._readers = max(1, min(COLD_THREADS, spare // _WINDOW))
            self._cold = Pool(self._readers, "lineward-read")
        return self._cold, self._readers, _COLD

    def _note_waits(self, waits: int, reads: int) -> None:
        """Some reads wait even where nearly all data is in memory, since kernels let go of some of it at any time."""
        if reads:
            self._waiting = waits * _WAITS_ONE_IN > reads

    def _wait(self, tasks: list[Task[Result]]) -> list[Result]:
        for task in tasks:
            while not task.wait(TICK_SECONDS):
                self._tick()
        self._tick()
        return [task.result() for task in tasks]

    def _refuse_failures(self, batch: Batch, statuses: bytes) -> None:
        for at, status in enumerate(statuses):
            if status in {fallback.DONE, fallback.DEFERRED}:
                continue
            if status == fallback.FAILED:
                raise unreadable(batch.path(at), batch.stat(at)[3])
            raise changed(batch.path(at))

    def _recheck(self, batch: Batch) -> None:
        """Hash a random file again with hashlib: in the first batch that has one, and in some of the others."""
        work = batch.work
        if not work.files or (self._rechecked and below(RECHECK_ONE_IN)):
            return
        at = below(work.files)
        index = batch.places[at] if batch.places else at
        before = bytes(work.stats[at * fallback.STAT.size : (at + 1) * fallback.STAT.size])
        if before[0] != fallback.DONE:
            return
        self._rechecked = True
        hashed, found = before + batch.digest(index), self._hash_one(fallback.hash_files, batch, index)
        if found[: fallback.STAT.size] != before:
            raise changed(batch.path(index))
        if found != hashed:
            read = [partial(self._hash_one, each, batch, index) for each in (native.hash_files, fallback.hash_files)]
            raise disagreement(batch.path(index), (hashed, found), read)

    def _hash_one(self, hash_files: Callable[..., int], batch: Batch, index: int) -> bytes:
        """Stat record and digest of a file, joined."""
        directory, name = batch.locate(index)
        stats, digest = bytearray(fallback.STAT.size), bytearray(HASH_BYTES)
        cursor = bytearray(fallback.CURSOR.size)
        hash_files([(directory.fd, [name])], cursor, stats, digest, self.parameters.chunk_bytes, 0)
        return bytes(stats + digest)

    def _tick(self, *, final: bool = False) -> None:
        now = time.monotonic()
        if not self._progress or (now - self._ticked < TICK_SECONDS and not final):
            return
        self._ticked = now
        files = self._files
        size = self._bytes + self.recalled_bytes + fallback.CURSOR.unpack(self._large.cursor)[2]
        for batch in self._pending:
            _, done, read = fallback.CURSOR.unpack(batch.work.cursor)
            files, size = files + done, size + read
        self._progress(Progress(files, size, *self.expected, now - self._started))
