"""Verifies bundles in the background, so that no request ever waits for a signature check.

The results are kept by the digest of the bundle and of the trust root: what is asked at admission is a dictionary
look-up. Verification runs in a process of its own, at a lower priority, since it holds the interpreter for milliseconds
and parses what strangers wrote.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from dataclasses import dataclass

from lineward.adapters.sigstore import SigstoreVerifier
from lineward.domain.digest import Digest
from lineward.domain.errors import LinewardError
from lineward.domain.evidence import Evidence, TrustRoot
from lineward.domain.plan import Refusal
from lineward.domain.reasons import Reason
from lineward_webhook import metrics
from lineward_webhook.fairqueue import FairQueue

TIMEOUT = 30.0
"""Seconds for one bundle; it takes milliseconds."""
ATTEMPTS = 2
"""How often in a row a bundle may end the verifying process."""
RETRY_SECONDS = 60.0
"""From then until it is tried again: what ended the process may have been a busy node, not the bundle."""
RETRY_SHARE = 0.1
"""Of the verifying process's time that such bundles get at most, however many and however bad they are."""
POLL = 0.2
"""Seconds until budgets are looked at again."""
NICENESS = 10

Result = Evidence | Refusal
Key = tuple[Digest, Digest]
UNDECIDED = Refusal(
    Reason.EVIDENCE_PENDING, "verifying it took too much time or memory; it is tried again within minutes"
)
Verify = Callable[[bytes, TrustRoot], Result]
_log = logging.getLogger("lineward.webhook.evidence")
_verifier: SigstoreVerifier | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One bundle to check against one trust root."""

    namespace: str
    key: Key
    bundle: bytes
    root: TrustRoot

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Task) and self.key == other.key


def verify(bundle: bytes, root: TrustRoot) -> Result:
    """Check a bundle in the verifying process; refusals are values there, since exceptions do not travel well."""
    global _verifier  # noqa: PLW0603 - one per process: it keeps parsed trust roots
    _verifier = _verifier or SigstoreVerifier()
    try:
        return _verifier.verify(bundle, root)
    except LinewardError as error:
        return Refusal(error.reason, error.message[:300])
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a refusal, whatever it is
        _log.exception("verifier failed")
        return Refusal(Reason.EVIDENCE_INVALID, f"cannot be verified: {type(error).__name__}")


def in_own_process() -> Executor:
    """The executor of production: one process, at a lower priority."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=context, initializer=os.nice, initargs=(NICENESS,))


class EvidenceStore:
    """What every known bundle proves; `results` may be read at any time."""

    def __init__(self, executor: Callable[[], Executor] = in_own_process, check: Verify = verify) -> None:
        self.results: dict[Key, Result] = {}
        self._queue: FairQueue[Task] = FairQueue()
        self._undecided: FairQueue[Task] = FairQueue()
        self._retry_at = 0.0
        self._wake = asyncio.Event()
        self._executor, self._check = executor, check
        self._busy = False

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be verified."""
        return not self._queue and not self._busy

    def want(self, namespace: str, bundle: bytes, digest: Digest, root: TrustRoot) -> None:
        """Have a bundle verified unless that has been done."""
        key = (digest, root.digest)
        if key not in self.results:
            self._queue.put(namespace, Task(namespace, key, bundle, root), time.monotonic())
            self._wake.set()
            metrics.QUEUED.set(len(self._queue))

    def keep_only(self, wanted: set[Key]) -> None:
        """Forget results that nothing refers to any more."""
        for key in self.results.keys() - wanted:
            del self.results[key]

    async def run(self) -> None:
        """Verify until cancelled."""
        pool = self._executor()
        try:
            while True:
                task = self._next(time.monotonic())
                if task is None:
                    await self._rest()
                else:
                    self._busy = True
                    pool = await self._verify(task, pool)
                    self._busy = False
                metrics.QUEUED.set(len(self._queue))
        finally:
            _end(pool)

    def _next(self, now: float) -> Task | None:
        while now >= self._retry_at and (task := self._undecided.get(now)):
            if self.results.get(task.key) is UNDECIDED:
                return task
        while task := self._queue.get(now):
            if task.key not in self.results:
                return task
        return None

    async def _rest(self) -> None:
        self._wake.clear()
        if self._queue or self._undecided:
            await asyncio.sleep(POLL)
        else:
            await self._wake.wait()

    async def _verify(self, task: Task, pool: Executor) -> Executor:
        loop, started = asyncio.get_running_loop(), time.monotonic()
        for _ in range(ATTEMPTS):
            try:
                running = loop.run_in_executor(pool, self._check, task.bundle, task.root)
                result = await asyncio.wait_for(running, TIMEOUT)
            except (BrokenExecutor, TimeoutError, MemoryError) as error:
                _log.warning("verifying process ended", extra={"bundle": str(task.key[0]), "error": repr(error)})
                _end(pool)
                pool = self._executor()
            else:
                self._note(task, result)
                return pool
        self._postpone(task, started, time.monotonic())
        return pool

    def _postpone(self, task: Task, started: float, now: float) -> None:
        """Have a bundle that ended the verifying process tried again.

        Only what retries cost puts the next one off for long: a busy node ends many good bundles once, and one good
        result costs milliseconds.
        """
        if self.results.get(task.key) is UNDECIDED:
            self._retry_at = now + max(RETRY_SECONDS, (now - started) / RETRY_SHARE)
        elif not self._undecided:
            self._retry_at = max(self._retry_at, now + RETRY_SECONDS)
        self._undecided.put(task.namespace, task, now)
        self._note(task, UNDECIDED)

    def _note(self, task: Task, result: Result) -> None:
        self.results[task.key] = result
        reason = result.reason if isinstance(result, Refusal) else Reason.VERIFIED
        outcome = "undecided" if result is UNDECIDED else "refused" if isinstance(result, Refusal) else "verified"
        metrics.VERIFICATIONS.labels(outcome, reason.value).inc()
        _log.info("evidence verified", extra={"bundle": str(task.key[0]), "reason": reason.value})


def _end(pool: Executor) -> None:
    """End a pool at once; a process that hangs in a check is killed."""
    processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()
