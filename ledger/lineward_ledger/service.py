"""Between HTTP and disk: gathers what arrives at the same time into one transaction, so that one fsync serves many.

Nothing is acknowledged before it is on the disk, and what waits is bounded: a sender that is told to come back spools.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from lineward_ledger import metrics
from lineward_ledger.entries import Draft
from lineward_ledger.store import Head, Page, Query, Reader, Receipt, Store

MAX_WAITING = 1000
MAX_BATCH = 200
RESERVED_BYTES = 64 * 1024 * 1024
"""Disk that observed entries may not take, so that no pod can keep the writer's verdicts out."""
OBSERVED_BYTES_PER_SECOND = 512.0 * 1024
OBSERVED_BURST_BYTES = 8.0 * 1024 * 1024
"""What one namespace may send: about 2000 pods that start at once, and 40,000 that send one event each 5 minutes."""
LEAST_COST_BYTES = 4096.0
"""What the smallest event costs: an entry with its indices takes about as much of the disk."""
MAX_NAMESPACES = 10_000

_log = logging.getLogger("lineward.ledger")


class BusyError(Exception):
    """Too much is waiting, or the disk refuses: come back later. `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooManyError(BusyError):
    """One namespace sends more than its share."""


class FullError(Exception):
    """What is left of the disk is kept for the writer."""


@dataclass(slots=True)
class _Waiting:
    draft: Draft
    done: asyncio.Future[Receipt]


class Allowance:
    """A token bucket for each namespace; `clock` returns seconds."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, name: str, amount: float) -> bool:
        """Take `amount` from the bucket of `name`; False, and nothing taken, if there is not so much in it."""
        now = self._clock()
        left, then = self._buckets.pop(name, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._rate)
        enough = left >= amount
        self._buckets[name] = (left - amount if enough else left, now)
        if len(self._buckets) > MAX_NAMESPACES:
            self._buckets.pop(next(iter(self._buckets)))
        return enough


class Ledger:
    """The open ledger: `start` it once, `stop` it once; the rest may run concurrently."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writing = ThreadPoolExecutor(1, "ledger-write")
        self._reading = ThreadPoolExecutor(1, "ledger-read")
        self._waiting: asyncio.Queue[_Waiting | None] = asyncio.Queue(MAX_WAITING)
        self._grown = asyncio.Condition()
        self._allowance = Allowance(OBSERVED_BYTES_PER_SECOND, OBSERVED_BURST_BYTES)
        self._writer: asyncio.Task[None] | None = None
        self._head: Head | None = None
        self._store: Store | None = None
        self._closing = False
        self._reader: Reader | None = None

    async def start(self) -> None:
        """Open and check the store; raises StoreError, sqlite3.Error, OSError."""
        loop = asyncio.get_running_loop()
        self._store = await loop.run_in_executor(self._writing, Store, self._folder)
        self._reader = await loop.run_in_executor(self._reading, Reader, self._store.path)
        self._grow(self._store.head)
        self._writer = asyncio.create_task(self._write(self._store))

    @property
    def head(self) -> Head:
        """The head over all that was acknowledged; raises BusyError until the store is open."""
        if self._head is None:
            raise BusyError("the ledger is being opened", 5)
        return self._head

    async def append(self, draft: Draft) -> Receipt:
        """Append an entry; returns once it is on the disk.

        Raises BusyError.
        """
        if self._writer is None or self._writer.done():
            raise BusyError("the ledger does not write", 5)
        item = _Waiting(draft, asyncio.get_running_loop().create_future())
        try:
            self._waiting.put_nowait(item)
        except asyncio.QueueFull:
            raise BusyError("too many entries are waiting", 5) from None
        return await item.done

    def admit(self, namespace: str, size: int) -> None:
        """Ask whether an observed event of `size` bytes may come from a namespace, before it is read.

        Raises TooManyError, or FullError when the disk is nearly full.
        """
        if not self._allowance.take(namespace, max(float(size), LEAST_COST_BYTES)):
            raise TooManyError(f"namespace {namespace} sends too many events", 30)
        if shutil.disk_usage(self._folder).free < RESERVED_BYTES:
            raise FullError("the disk is nearly full; only verdicts are still taken")

    async def read(self, query: Query) -> Page:
        """Return entries among those acknowledged; raises BusyError until the store is open, sqlite3.Error."""
        head, reader = self.head, self._reader
        if reader is None:
            raise BusyError("the ledger is being opened", 5)
        return await asyncio.get_running_loop().run_in_executor(self._reading, reader.read, query, head.size)

    async def follow(self, query: Query, seconds: float) -> Page:
        """As `read`, but wait up to `seconds` for a first entry."""
        until = time.monotonic() + seconds
        page = await self.read(query)
        while not (page.entries or self._closing) and (left := until - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left), self._grown:
                    await self._grown.wait_for(lambda: self._closing or self.head.size > page.after)  # noqa: B023 - awaited here
            except TimeoutError:
                break
            page = await self.read(replace(query, after=page.after))
        return page

    async def _write(self, store: Store) -> None:
        loop = asyncio.get_running_loop()
        while (first := await self._waiting.get()) is not None:
            batch, last = [first], False
            while len(batch) < MAX_BATCH and not self._waiting.empty():
                more = self._waiting.get_nowait()
                if more is None:
                    last = True
                    break
                batch.append(more)
            await self._commit(loop, store, batch)
            self._grow(store.head)
            async with self._grown:
                self._grown.notify_all()
            if last:
                return

    async def _commit(self, loop: asyncio.AbstractEventLoop, store: Store, batch: list[_Waiting]) -> None:
        started = time.monotonic()
        drafts = [item.draft for item in batch]
        try:
            receipts = await loop.run_in_executor(self._writing, store.append, drafts, datetime.now(UTC))
        except Exception as error:  # noqa: BLE001 - those who wait must hear of it, and others can still write
            _log.exception("entries could not be written", extra={"entries": len(batch)})
            metrics.WRITE_FAILURES.inc()
            for item in batch:
                if not item.done.done():
                    item.done.set_exception(BusyError(f"the disk does not take entries: {error}", 30))
            return
        metrics.APPEND_SECONDS.observe(time.monotonic() - started)
        for item, receipt in zip(batch, receipts, strict=True):
            metrics.ENTRIES.labels(item.draft.kind, item.draft.trust, _outcome(receipt)).inc()
            if not item.done.done():
                item.done.set_result(receipt)

    def _grow(self, head: Head) -> None:
        self._head = head
        metrics.SIZE.set(head.size)

    async def release(self) -> None:
        """Let those go who wait for new entries: the ledger is about to stop."""
        self._closing = True
        async with self._grown:
            self._grown.notify_all()

    async def stop(self) -> None:
        """Write what waits, then close."""
        if self._writer:
            await self._waiting.put(None)
            await self._writer
        loop = asyncio.get_running_loop()
        if self._reader:
            await loop.run_in_executor(self._reading, self._reader.close)
        if self._store:
            await loop.run_in_executor(self._writing, self._store.close)
        self._writing.shutdown()
        self._reading.shutdown()


def _outcome(receipt: Receipt) -> str:
    if receipt.conflict:
        return "conflict"
    return "new" if receipt.new else "known"
