"""How the harness's commands end: what can be expected to go wrong is one line, an interrupt is one too."""

import signal
import sys
from collections.abc import Callable


def run(action: Callable[[], int], expected: tuple[type[Exception], ...]) -> int:
    """The action's exit code; 1 after one of the ``expected`` errors, 130 after Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return action()
    except expected as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
