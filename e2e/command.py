"""How the harness's commands end: what can be expected to go wrong is one line, an interrupt is one too."""

import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a polite kill, a closed terminal."""


def run(action: Callable[[], int], expected: tuple[type[Exception], ...]) -> int:
    """The action's exit code; 1 after one of the ``expected`` errors, 130 after one of the ``ENDINGS``."""
    heed()
    try:
        return action()
    except expected as error:
        tell(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        tell("interrupted")
        return 130


def heed() -> None:
    """Let the first of the ``ENDINGS`` raise KeyboardInterrupt, and ignore all after it.

    A terminal that is closed sends two or three, and none may stop the clearing away that the first began. One that is
    ignored already stays ignored, as under nohup.
    """
    for number in ENDINGS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def tell(text: str) -> None:
    """Print to stderr, if anybody is there: the terminal may be closed, or the Ctrl-C that is being heeded may have
    ended the `tee` behind a pipe, and what is started still has to be stopped.
    """
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
