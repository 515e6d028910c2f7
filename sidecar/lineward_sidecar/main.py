"""The sidecar beside the trainer; this module only makes sure that SIGTERM works from the first moment.

As process 1 of its container, Python has no default action for SIGTERM: one that came while modules are still being
imported would be lost, and the pod would hang for its whole grace period.
"""

import os
import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run until SIGTERM; the exit code is 0 then, and 2 for wrong arguments."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    from lineward_sidecar.run import run  # noqa: PLC0415 - takes a while, see above

    run(sys.argv[1:])


if __name__ == "__main__":
    main()
