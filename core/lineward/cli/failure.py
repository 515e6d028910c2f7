"""How a command ends that has no result: a line on stderr (one for each mistake), and one object for programs."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence

from lineward.cli import exits
from lineward.cli.exits import UsageError
from lineward.cli.terminal import clean
from lineward.domain.errors import LinewardError, MistakesError, RefusedError
from lineward.domain.reasons import Reason

_OUTCOMES = {exits.DIFFERS: "refused", exits.UNKNOWN: "unknown"}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}


def report(error: Exception | UsageError, argv: Sequence[str], prog: str, *, debug: bool) -> int:
    """Say what went wrong, with a reason; returns the exit code.

    With `-o json` or `yaml` in `argv` standard output gets `outcome` (unknown, refused or usage), `reason` and
    `message`; nothing where it is what cannot be written. With `debug` the traceback is shown too.
    """
    if isinstance(error, UsageError):  # the parser has told people already
        _tell({"outcome": "usage", "reason": "Usage", "message": error.message}, argv)
        return exits.USAGE
    reason, message = _explain(error)
    if debug:
        import traceback  # noqa: PLC0415 - seldom wanted

        traceback.print_exception(error)
    if not isinstance(error, BrokenPipeError):
        hint = f" ({prog} --debug shows where)" if reason is Reason.INTERNAL_ERROR and not debug else ""
        print(*_lines(f"{prog}: {reason}:", error, f"{message}{hint}"), sep="\n", file=sys.stderr)
    _tell({"outcome": _OUTCOMES[exit_code(error)], "reason": str(reason), "message": message}, argv)
    return exit_code(error)


def _tell(value: dict[str, str], argv: Sequence[str]) -> None:
    """Print the object for programs, where anybody can read it."""
    try:
        sys.stdout.flush()
        _print(value, _format(argv))
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter fails at it once more


def _lines(head: str, error: Exception, message: str) -> list[str]:
    """The message for people; several mistakes have a line each."""
    if isinstance(error, MistakesError) and len(error.mistakes) > 1:
        return [f"{head} there is more than one mistake", *(f"  {clean(mistake)}" for mistake in error.mistakes)]
    return [f"{head} {clean(message)}"]


def exit_code(error: Exception) -> int:
    """1 where something was looked at and refused, 2 for everything that kept us from looking."""
    return exits.DIFFERS if isinstance(error, RefusedError) else exits.UNKNOWN


def _explain(error: Exception) -> tuple[Reason, str]:
    if isinstance(error, LinewardError):
        return error.reason, error.message
    if isinstance(error, OSError):
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        message = f"{where}{error.strerror or error}"
        return (Reason.UNWRITABLE if error.errno in _NO_ROOM else Reason.INTERNAL_ERROR), message
    return Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}"


def _format(argv: Sequence[str]) -> str:
    """What the command line asks for, as far as it can be told without knowing the command."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("-o", "--output", default="table")
    try:
        return str(parser.parse_known_args(argv)[0].output)
    except argparse.ArgumentError:
        return "table"


def _print(value: dict[str, str], fmt: str) -> None:
    if fmt == "json":
        import json  # noqa: PLC0415 - only this output needs it

        print(json.dumps(value))
    elif fmt == "yaml":
        import yaml  # noqa: PLC0415 - only this output needs it

        yaml.safe_dump(value, sys.stdout, sort_keys=False)
