"""Evidence is verified once, in turns, in a process that may die."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest
from tests.shell.webhook.fakeapi import running, until

from lineward.adapters import bundle as bundles
from lineward.domain import trustroot
from lineward.domain.digest import Digest
from lineward.domain.evidence import TrustRoot
from lineward.domain.plan import Refusal
from lineward.domain.reasons import Reason
from lineward_webhook import evidence
from lineward_webhook.evidence import UNDECIDED, EvidenceStore, Result
from lineward_webhook.fairqueue import FairQueue

ROOT = trustroot.make("default", "{}")
REFUSED = Refusal(Reason.WRONG_IDENTITY, "x")


def digest(number: int) -> Digest:
    return Digest(number.to_bytes(32))


def in_threads() -> Executor:
    return ThreadPoolExecutor(1)


async def test_a_bundle_is_verified_once() -> None:
    seen: list[bytes] = []

    def check(bundle: bytes, _: TrustRoot) -> Result:
        seen.append(bundle)
        return REFUSED

    store = EvidenceStore(in_threads, check)
    async with running(store.run()):
        for _ in range(3):
            store.want("ml", b"a", digest(1), ROOT)
        await until(lambda: store.idle)
        store.want("ml", b"a", digest(1), ROOT)
        store.want("other", b"b", digest(2), ROOT)
        await until(lambda: len(store.results) == 2)
    assert seen == [b"a", b"b"]
    assert store.results[digest(1), ROOT.digest] is REFUSED


async def test_the_loop_goes_on_while_a_bundle_is_verified() -> None:
    release = threading.Event()

    def check(_: bytes, __: TrustRoot) -> Result:
        release.wait(5)
        return REFUSED

    store = EvidenceStore(in_threads, check)
    async with running(store.run()):
        store.want("ml", b"a", digest(1), ROOT)
        await asyncio.sleep(0.05)
        assert not store.idle
        assert store.results == {}
        release.set()
        await until(lambda: store.idle)


@pytest.mark.parametrize("error", [BrokenProcessPool, MemoryError])
async def test_a_bundle_that_ends_the_verifier_is_not_admitted_and_the_next_one_is_judged(
    error: type[Exception],
) -> None:
    def check(bundle: bytes, _: TrustRoot) -> Result:
        if bundle == b"bomb":
            raise error
        return REFUSED

    store = EvidenceStore(in_threads, check)
    async with running(store.run()):
        store.want("ml", b"bomb", digest(1), ROOT)
        store.want("ml", b"fine", digest(2), ROOT)
        await until(lambda: len(store.results) == 2)
    assert store.results[digest(1), ROOT.digest] is UNDECIDED
    assert store.results[digest(2), ROOT.digest] is REFUSED
    assert store.idle


class Panic(BaseException):
    """What a panic in Rust is for Python: no `Exception`."""


async def test_a_panic_refuses_the_bundle_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise Panic

    monkeypatch.setattr(bundles, "parse", broken)
    store = EvidenceStore(in_threads)
    async with running(store.run()):
        store.want("ml", b"a", digest(1), ROOT)
        await until(lambda: bool(store.results))
    result = store.results[digest(1), ROOT.digest]
    assert isinstance(result, Refusal)
    assert (result.reason, result.message) == (Reason.EVIDENCE_INVALID, "the bundle does not verify: Panic")


async def test_memory_that_is_short_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(bundles, "parse", broken)
    with pytest.raises(MemoryError):
        evidence.verify(b"a", ROOT)


async def test_a_real_process_that_dies_is_replaced() -> None:
    pools: list[Executor] = []

    def executor() -> Executor:
        pools.append(evidence.in_own_process())
        return pools[-1]

    store = EvidenceStore(executor)
    async with running(store.run()):
        store.want("ml", b"{}", digest(1), ROOT)
        await until(lambda: len(store.results) == 1, 60)
        for process in pools[0]._processes.values():  # type: ignore[attr-defined]
            process.kill()
            process.join()
        store.want("ml", b"{}", digest(2), ROOT)
        await until(lambda: len(store.results) == 2, 60)
    assert len(pools) == 2
    assert store.results[digest(1), ROOT.digest] == store.results[digest(2), ROOT.digest]


async def test_a_verification_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "TIMEOUT", 0.05)
    release = threading.Event()

    def check(_: bytes, __: TrustRoot) -> Result:
        release.wait(5)
        return REFUSED

    store = EvidenceStore(in_threads, check)
    async with running(store.run()):
        store.want("ml", b"a", digest(1), ROOT)
        await until(lambda: bool(store.results))
    release.set()
    assert store.results[digest(1), ROOT.digest] is UNDECIDED


async def test_evidence_that_met_a_busy_node_is_verified_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(evidence, "POLL", 0.01)
    busy = True

    def check(_: bytes, __: TrustRoot) -> Result:
        if busy:
            raise BrokenProcessPool
        return REFUSED

    store = EvidenceStore(in_threads, check)
    async with running(store.run()):
        store.want("ml", b"a", digest(1), ROOT)
        store.want("other", b"b", digest(2), ROOT)
        await until(lambda: len(store.results) == 2)
        assert set(store.results.values()) == {UNDECIDED}
        busy = False
        await until(lambda: set(store.results.values()) == {REFUSED})


async def test_bundles_that_always_end_the_verifier_get_little_of_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs 20 ms, two attempts a turn; in between others are verified at once."""
    monkeypatch.setattr(evidence, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(evidence, "POLL", 0.005)
    spent: list[float] = []

    def check(bundle: bytes, _: TrustRoot) -> Result:
        if bundle == b"fine":
            return REFUSED
        time.sleep(0.02)
        spent.append(time.monotonic())
        raise BrokenProcessPool

    store = EvidenceStore(in_threads, check)
    async with running(store.run()):
        for number in range(3):
            store.want("noisy", b"bomb", digest(number), ROOT)
        await until(lambda: len(spent) >= 6 + 4, 60)
        store.want("ml", b"fine", digest(9), ROOT)
        await until(lambda: (digest(9), ROOT.digest) in store.results)
    first, second = spent[6:10:2]
    assert second - first > 0.02 * 2 / evidence.RETRY_SHARE


async def test_what_nobody_wants_any_more_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(evidence, "POLL", 0.01)
    seen: list[bytes] = []

    def check(bundle: bytes, _: TrustRoot) -> Result:
        seen.append(bundle)
        raise BrokenProcessPool

    store = EvidenceStore(in_threads, check)
    async with running(store.run()):
        store.want("ml", b"a", digest(1), ROOT)
        await until(lambda: bool(store.results))
        store.keep_only(set())
        await asyncio.sleep(0.2)
    assert seen == [b"a"] * evidence.ATTEMPTS


def test_rubbish_is_a_refusal_not_an_exception() -> None:
    for bundle in (b"", b"{}", b"\xff", b"[" * 100_000, b'{"a":1,"a":2}'):
        assert isinstance(evidence.verify(bundle, ROOT), Refusal)


def test_results_that_nothing_refers_to_are_forgotten() -> None:
    store = EvidenceStore(in_threads)
    store.results.update({(digest(i), ROOT.digest): REFUSED for i in range(3)})
    store.keep_only({(digest(1), ROOT.digest), (digest(9), ROOT.digest)})
    assert set(store.results) == {(digest(1), ROOT.digest)}


def test_namespaces_take_turns() -> None:
    queue: FairQueue[str] = FairQueue()
    for i in range(1000):
        queue.put("noisy", f"n{i}", 0)
    queue.put("quiet", "q", 0)
    assert [queue.get(0), queue.get(0)] == ["n0", "q"]


def test_a_namespace_that_has_spent_its_budget_waits_alone() -> None:
    queue: FairQueue[str] = FairQueue(burst=2, rate=1)
    for i in range(5):
        queue.put("noisy", f"n{i}", 0)
    assert [queue.get(0) for _ in range(3)] == ["n0", "n1", None]
    queue.put("quiet", "q", 0)
    assert [queue.get(0), queue.get(0), queue.get(1), queue.get(1)] == ["q", None, "n2", None]
    assert len(queue) == 2


def test_emptying_and_refilling_gives_no_new_budget() -> None:
    queue: FairQueue[str] = FairQueue(burst=1, rate=0.1)
    queue.put("noisy", "a", 0)
    assert queue.get(0) == "a"
    queue.put("noisy", "b", 0.1)
    assert queue.get(0.1) is None
    assert queue.get(10.1) == "b"
