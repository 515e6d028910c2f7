"""Exit codes that every command keeps (DESIGN section 7)."""

OK = 0
DIFFERS = 1
"""It differs, or it was refused."""
UNKNOWN = 2
"""It could not be told."""
USAGE = 64
"""EX_USAGE of sysexits.h."""


class UsageError(SystemExit):
    """A command line that cannot be meant; `message` says why."""

    def __init__(self, message: str) -> None:
        super().__init__(USAGE)
        self.message = message
