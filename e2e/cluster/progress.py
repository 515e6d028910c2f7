"""Says what happens and since when, a line for each step."""

import time
from collections.abc import Callable
from pathlib import Path

from e2e import command


class Progress:
    """Lines with the seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def say(self, text: str) -> None:
        command.tell(f"[{self.seconds:5.1f} s] {text}")


class TimedOutError(RuntimeError):
    """A part did not become ready; the message ends with the last lines of its log."""


def wait_for(what: str, ready: Callable[[], bool], seconds: float, log: Path, alive: Callable[[], bool]) -> None:
    """Poll until ``ready``.

    Raises:
        TimedOutError: after ``seconds``, or as soon as ``alive`` says that it can't come any more.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if not alive() or time.monotonic() > deadline:
            reason = f"is not ready after {seconds:.0f} s" if alive() else "has ended"
            raise TimedOutError(f"{what} {reason}; the end of {log}:\n{tail(log, 15)}")
        time.sleep(0.1)


def tail(log: Path, lines: int) -> str:
    """The last lines of a log; empty when there is none."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
