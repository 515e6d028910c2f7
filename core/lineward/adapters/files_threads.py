"""Threads that run calls, and nothing else.

`concurrent.futures` does the same and brings `logging` with it, which takes a tenth of the time until the first byte of
a folder is hashed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

Result = TypeVar("Result")


class Task(Generic[Result]):
    """A call that a thread has run or will run."""

    def __init__(self, call: Callable[[], Result]) -> None:
        self._call = call
        self._done = threading.Event()
        self._outcome: Result | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Run the call and keep what it returns or raises."""
        try:
            self._outcome = self._call()
        except BaseException as error:  # noqa: BLE001 - handed on to whoever waits
            self._error = error
        self._done.set()

    def wait(self, seconds: float) -> bool:
        """Wait for the end; False where it has not come by then."""
        return self._done.wait(seconds)

    def result(self) -> Result:
        """What the call returned, once it has; raises what it raised."""
        self._done.wait()
        if self._error is not None:
            raise self._error
        return cast("Result", self._outcome)


class Pool:
    """A number of threads that take calls in order."""

    def __init__(self, threads: int, name: str) -> None:
        self._waiting: deque[Task[Any]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [threading.Thread(target=self._work, name=f"{name}-{at}", daemon=True) for at in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, call: Callable[[], Result]) -> Task[Result]:
        """Have a thread run the call."""
        task = Task(call)
        with self._changed:
            self._waiting.append(task)
            self._changed.notify()
        return task

    def close(self) -> None:
        """Drop the calls that no thread has begun, and wait for the others."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                task = self._waiting.popleft()
            task.run()
