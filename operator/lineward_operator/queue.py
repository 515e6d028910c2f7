"""A work queue of keys, in the manner of client-go's.

Each key is worked on by one worker at a time, however often it is added, and what fails comes back later. Watch events
only say *that* something changed; handlers look at the present state.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from typing import Generic, TypeVar

from lineward_operator.kubeio import KubeError

Key = TypeVar("Key", bound=Hashable)
Handler = Callable[[Key], Awaitable[float | None]]
"""Does what a key needs; a number asks to be called again after that many seconds."""

FIRST_RETRY = 0.5
LAST_RETRY = 300.0

_log = logging.getLogger(__name__)


class Queue(Generic[Key]):
    """Keys to work on. `add` and `add_after` may be called from the event loop only."""

    def __init__(self) -> None:
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._waiting: set[Key] = set()
        self._busy: set[Key] = set()
        self._again: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self.done = 0
        """How many times a handler has ended, well or not."""

    def add(self, key: Key) -> None:
        """Work on the key soon; once, however often it is added before."""
        if key in self._busy:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """Work on the key in `seconds`, or earlier if it is added or was due earlier."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= due:
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._due, key)

    @property
    def idle(self) -> bool:
        """Whether nothing is ready or being worked on; keys that wait for their time do not count."""
        return not self._waiting and not self._busy

    def pending(self) -> int:
        """How many keys are ready, being worked on, or wait for their time."""
        return len(self._waiting) + len(self._busy) + len(self._timers)

    async def run(self, handler: Handler[Key], workers: int) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work(handler))
        finally:
            for timer in self._timers.values():
                timer.cancel()

    async def _work(self, handler: Handler[Key]) -> None:
        while True:
            key = await self._ready.get()
            self._waiting.discard(key)
            self._busy.add(key)
            try:
                await self._once(handler, key)
            finally:
                self._busy.discard(key)
                self.done += 1
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)

    async def _once(self, handler: Handler[Key], key: Key) -> None:
        try:
            again = await handler(key)
        except Exception as error:  # noqa: BLE001 - whatever it is, the key must not be lost
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            delay = min(LAST_RETRY, FIRST_RETRY * 2 ** min(failures - 1, 16)) * random.uniform(0.8, 1.2)  # noqa: S311
            expected = isinstance(error, KubeError)
            level = logging.INFO if expected and error.conflict else logging.WARNING  # type: ignore[attr-defined]
            text = f"{key}: {error}; again in {delay:.1f} s"
            _log.log(level, text, exc_info=None if expected else error)
            self.add_after(key, delay)
            return
        self._failures.pop(key, None)
        if again is not None:
            self.add_after(key, again)

    def _due(self, key: Key) -> None:
        with suppress(KeyError):
            del self._timers[key]
        self.add(key)
