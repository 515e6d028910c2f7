"""Events that a receiver has not taken yet: in memory, and in files so that they outlive a restart of the sidecar.

Bounded in number and bytes. When it is full the oldest event goes, but never the START: without it a receiver cannot
make sense of the rest. The folder may be missing or full; then the spool lives in memory alone.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path

MAX_EVENTS = 200
MAX_BYTES = 1024 * 1024
MAX_EVENT_BYTES = 256 * 1024
"""What the ledger takes as one body."""
START = "start"
_NAME = re.compile(r"(\d{9})-([a-z]+)\.json")

_log = logging.getLogger("lineward.sidecar")


class Spool:
    """A queue of events for one receiver; safe to use from several threads. `changed` is told its length."""

    def __init__(self, folder: Path, changed: Callable[[int], object]) -> None:
        self._folder = folder
        self._changed = changed
        self._lock = threading.Condition()
        self._events: dict[str, bytes] = {}
        self._next = 1
        self.dropped = 0
        self._load()

    def _load(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            names = sorted(path.name for path in self._folder.iterdir() if _NAME.fullmatch(path.name))
            for name in names[-MAX_EVENTS:]:
                self._events[name] = (self._folder / name).read_bytes()
            if names:
                self._next = int(names[-1][:9]) + 1
        except OSError as error:
            _log.warning("events are kept in memory only: %s", error)
        self._changed(len(self._events))

    def put(self, kind: str, event: bytes) -> None:
        """Add an event; `kind` is lower-case letters, `START` for the one that is never dropped for want of room."""
        with self._lock:
            if len(event) > MAX_EVENT_BYTES:
                self._drop(f"an event of {len(event)} bytes is too large")
                return
            name = f"{self._next:09d}-{kind}.json"
            self._next += 1
            self._events[name] = event
            try:
                draft = self._folder / "draft"
                draft.write_bytes(event)
                draft.replace(self._folder / name)
            except OSError as error:
                _log.debug("event %s is in memory only: %s", name, error)
            self._make_room()
            self._changed(len(self._events))
            self._lock.notify_all()

    def _make_room(self) -> None:
        while len(self._events) > MAX_EVENTS or sum(map(len, self._events.values())) > MAX_BYTES:
            name = next((each for each in self._events if not each.endswith(f"-{START}.json")), None)
            if name is None:
                return
            self._remove(name)
            self._drop("the spool is full")

    def _drop(self, why: str) -> None:
        self.dropped += 1
        _log.warning("an event was dropped: %s", why, extra={"dropped": self.dropped})

    def first(self, seconds: float) -> tuple[str, bytes] | None:
        """Return name and content of the oldest event, waiting up to `seconds` for one."""
        with self._lock:
            self._lock.wait_for(lambda: bool(self._events), seconds)
            return next(iter(self._events.items()), None)

    def done(self, name: str) -> None:
        """Forget an event that the receiver has, or will never take."""
        with self._lock:
            self._remove(name)
            self._changed(len(self._events))

    def _remove(self, name: str) -> None:
        self._events.pop(name, None)
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            _log.debug("event %s cannot be removed: %s", name, error)

    def __len__(self) -> int:
        """Return how many events wait."""
        with self._lock:
            return len(self._events)
