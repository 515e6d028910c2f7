"""Keys are worked on one at a time, once for many additions, and come back after failures."""

from __future__ import annotations

import asyncio

from lineward_operator import queue as queues
from lineward_operator.queue import Queue


async def running(queue: Queue[str], handler: queues.Handler[str], until: asyncio.Event) -> None:
    task = asyncio.create_task(queue.run(handler, workers=4))
    async with asyncio.timeout(10):
        await until.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_many_additions_are_one_piece_of_work() -> None:
    queue, seen, done = Queue[str](), list[str](), asyncio.Event()

    async def handle(key: str) -> None:
        seen.append(key)
        if key == "b":
            done.set()

    for key in ("a", "a", "a", "b"):
        queue.add(key)
    await running(queue, handle, done)
    assert seen == ["a", "b"]


async def test_a_key_added_while_it_is_worked_on_is_worked_on_again_and_never_twice_at_once() -> None:
    queue, done = Queue[str](), asyncio.Event()
    active = most = calls = 0

    async def handle(key: str) -> None:
        nonlocal active, most, calls
        calls += 1
        active += 1
        most = max(most, active)
        if calls < 3:
            queue.add(key)
        await asyncio.sleep(0)
        active -= 1
        if calls == 3:
            done.set()

    queue.add("a")
    await running(queue, handle, done)
    assert (most, calls) == (1, 3)


async def test_what_fails_comes_back() -> None:
    queue, done = Queue[str](), asyncio.Event()
    calls = 0

    async def handle(_key: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("not now")
        done.set()

    queue.add("a")
    await running(queue, handle, done)
    assert calls == 2
    assert queue._failures == {}


async def test_a_sooner_time_wins_and_a_handler_may_ask_for_another_look() -> None:
    queue, done = Queue[str](), asyncio.Event()
    calls = 0

    async def handle(_key: str) -> float | None:
        nonlocal calls
        calls += 1
        if calls == 2:
            done.set()
            return None
        return 0.01

    queue.add_after("a", 1000)
    queue.add_after("a", 0.01)
    queue.add_after("a", 500)
    await running(queue, handle, done)
    assert calls == 2
