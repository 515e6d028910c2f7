"""`lineward` and `kubectl lineward`: finds the command and imports only that one, so start-up stays quick."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import cast

from lineward import __version__
from lineward.cli import exits
from lineward.cli.exits import UsageError
from lineward.domain.errors import LinewardError
from lineward.domain.reasons import Reason

COMMANDS = {
    "attest": ("lineward.cli.attest", "vouch for a folder of data: hash it, sign a statement, write the objects"),
    "audit": ("lineward.cli.audit", "list what policies under audit and warn would have denied under enforce"),
    "ledger": ("lineward.cli.ledger", "read, follow and check the record of verdicts, runs and lineage"),
    "verify": ("lineward.cli.verify", "run the webhook's checks on data, DatasetVersions, bundles and OMS signatures"),
    "policy": ("lineward.cli.policy", "check policies, and try them on evidence"),
    "trust-root": ("lineward.cli.trust_root", "show, check, fetch and write the keys that evidence is believed by"),
    "manifest": ("lineward.cli.manifest", "make, check and compare manifests of a folder"),
}
"""Name to (module with `run(argv, prog) -> int`, one line for people)."""


def main() -> int:
    """Run one command; Ctrl-C leaves no traceback, and an error of any kind never the code of a difference."""
    prog = "kubectl lineward" if os.path.basename(sys.argv[0]).startswith("kubectl") else "lineward"  # noqa: PTH119
    signal.signal(signal.SIGTERM, _terminated)
    debug = sys.argv[1:2] == ["--debug"]
    argv = sys.argv[1 + debug :]
    try:
        _open_streams()
        try:
            return dispatch(argv, prog)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return 130
    except (UsageError, Exception) as error:  # noqa: BLE001 - the last place that can give it its exit code
        from lineward.cli import failure  # noqa: PLC0415 - start-up is not to pay for it

        return failure.report(error, argv, prog, debug=debug)


def _open_streams() -> None:
    """Make every name printable; raises LinewardError(Unwritable) where nobody could read what is printed."""
    closed = sys.stdout is None
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - open to the end
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - open to the end
    cast("TextIOWrapper", sys.stdout).reconfigure(errors="backslashreplace")
    if closed:
        raise LinewardError(Reason.UNWRITABLE, "standard output is closed")


def _terminated(*_: object) -> None:
    """Leave as Ctrl-C does, so that what is only half written goes away (a CI job that is cancelled)."""
    sys.exit(128 + signal.SIGTERM)


def dispatch(argv: Sequence[str], prog: str) -> int:
    """Run the command that `argv` names and return its exit code."""
    if not argv or argv[0] in {"-h", "--help", "help"}:
        print(_usage(prog))
        return exits.OK if argv else exits.USAGE
    if argv[0] in {"-V", "--version", "version"}:
        print(f"lineward {__version__}")
        return exits.OK
    if argv[0] not in COMMANDS:
        problem = f"unknown command {argv[0]!r}"
        print(f"{prog}: {problem}\n\n{_usage(prog)}", file=sys.stderr)
        raise UsageError(problem)
    gc.disable()  # what is imported stays, so looking through it is time lost
    module = importlib.import_module(COMMANDS[argv[0]][0])
    gc.freeze()
    gc.enable()
    code: int = module.run(list(argv[1:]), f"{prog} {argv[0]}")
    return code


def _usage(prog: str) -> str:
    width = max(map(len, COMMANDS))
    lines = [f"usage: {prog} COMMAND [ARGUMENT ...]", "", "commands:"]
    lines += [f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        [
            *lines,
            "",
            f"{prog} COMMAND --help tells more; {prog} --version names the release",
            f"{prog} --debug COMMAND shows where an unexpected error comes from",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
