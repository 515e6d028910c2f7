"""What commands share at a terminal: sizes for people, progress, output formats, and usage errors that end in 64."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, cast

from lineward.adapters.files_limits import MAX_WORKERS
from lineward.cli.exits import UsageError
from lineward.domain.errors import InvalidInputError
from lineward.domain.manifest import Parameters

if TYPE_CHECKING:
    from datetime import datetime

    from lineward.adapters.files_progress import Progress

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
FORMATS = ("table", "json", "yaml")
PROGRESS = ("auto", "bar", "json", "none")


class Parser(argparse.ArgumentParser):
    """An argument parser that leaves with the usage exit code of every command, and takes no half option names."""

    def __init__(
        self,
        prog: str | None = None,
        formatter_class: type[argparse.HelpFormatter] = argparse.HelpFormatter,
        **settings: Any,
    ) -> None:
        formatter = cast("type[argparse.HelpFormatter]", partial(formatter_class, width=_width()))
        super().__init__(prog, allow_abbrev=False, formatter_class=formatter, **settings)

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message. Raises UsageError, which leaves with 64."""
        self.print_usage(sys.stderr)
        print(f"{self.prog}: {clean(message)}", file=sys.stderr)
        raise UsageError(message)


def _width() -> int:
    """Columns for help, as shutil.get_terminal_size has them, whose import takes longer than parsing."""
    try:
        columns = int(os.environ.get("COLUMNS", "0"))
    except ValueError:
        columns = 0
    if columns <= 0:
        try:
            columns = os.get_terminal_size(sys.stdout.fileno()).columns
        except (AttributeError, ValueError, OSError):  # closed, replaced, or no terminal
            columns = 0
    return (columns or 80) - 2


def add_output(to: argparse._ActionsContainer) -> None:
    """The option that every command has for its result."""
    to.add_argument("-o", "--output", choices=FORMATS, default="table", help="format of the result (default: table)")


def add_hashing(to: argparse._ActionsContainer) -> None:
    """The options of every command that hashes."""
    to.add_argument(
        "--workers", type=workers_argument, metavar="N", help="hashing threads (default: what the CPU quota allows)"
    )
    add_progress(to)


def add_progress(to: argparse._ActionsContainer) -> None:
    """How long work shows that it goes on."""
    shown = "how progress is shown on standard error (default: auto, which is a bar on a terminal and none elsewhere)"
    to.add_argument("--progress", choices=PROGRESS, default="auto", help=shown)


def add_context(to: argparse._ActionsContainer, only: str = "") -> None:
    """Which cluster a command talks to; `only` says where it does."""
    to.add_argument("--context", metavar="NAME", help=f"{only}kubeconfig context (default: the current one)")


def clean(text: str) -> str:
    """Text for a terminal: what others wrote may hold control characters; bytes that are no text, streams escape."""
    return "".join(c if c.isprintable() or "\ud800" <= c <= "\udfff" else "?" for c in text)


def number_argument(low: int, high: int) -> Callable[[str], int]:
    """A reader for arguments that are whole numbers from `low` to `high`; it raises argparse.ArgumentTypeError."""

    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is no whole number from {low} to {high}")
        return int(text)

    return number


def file_argument(text: str) -> str:
    """A reader for files and folders: empty text is a variable without a value, not the current folder or no option.

    Raises argparse.ArgumentTypeError.
    """
    if not text:
        raise argparse.ArgumentTypeError("an empty text names no file")
    return text


workers_argument = number_argument(1, MAX_WORKERS)


def moment_argument(text: str) -> datetime:
    """A time of RFC 3339 with its zone. Raises argparse.ArgumentTypeError."""
    from lineward.domain import fields  # noqa: PLC0415 - start-up is not to pay for it

    try:
        return fields.moment(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 2026-01-31T12:00:00Z") from error


def size_text(size: float) -> str:
    """Bytes for people: `1.5 GiB`."""
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size /= 1024
        unit += 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"


def size_argument(text: str) -> int:
    """Inverse of `size_text` for arguments: a number of bytes, or with a binary unit such as `8MiB`.

    Raises argparse.ArgumentTypeError.
    """
    number, factor = text.strip(), 1
    for power, unit in enumerate(_UNITS[1:], 1):
        if number.endswith(unit):
            number, factor = number.removesuffix(unit).strip(), 1024**power
    if not number.isascii() or not number.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 8388608 or 8MiB")
    return int(number) * factor


def chunk_argument(text: str) -> int:
    """A size that chunks may have. Raises argparse.ArgumentTypeError."""
    try:
        return Parameters(chunk_bytes=size_argument(text)).chunk_bytes
    except InvalidInputError as error:
        raise argparse.ArgumentTypeError(error.message) from error


def duration_text(seconds: float) -> str:
    """Seconds for people: `2 h 05 min`, `3 min 20 s`, `4.2 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def progress_to(mode: str, stream: TextIO | None = None) -> Callable[[Progress], None] | None:
    """A callback that shows progress on `stream` (stderr): a line that is rewritten, or one JSON object a line."""
    stream = stream or sys.stderr
    if mode == "json":
        return lambda progress: _json_line(progress, stream)
    if mode == "bar" or (mode == "auto" and stream.isatty()):
        return lambda progress: _bar(progress, stream)
    return None


def end_progress(mode: str, stream: TextIO | None = None) -> None:
    """Leave the line that progress was shown on."""
    stream = stream or sys.stderr
    if mode == "bar" or (mode == "auto" and stream.isatty()):
        stream.write("\r\x1b[K")
        stream.flush()


def _bar(progress: Progress, stream: TextIO) -> None:
    total = f" of {size_text(progress.total_bytes)}" if progress.total_bytes else ""
    left = progress.seconds_left
    text = f"{size_text(progress.bytes)}{total}, {progress.files} files, {size_text(progress.rate)}/s"
    text += f", {duration_text(left)} left" if left is not None else ""
    stream.write(f"\r\x1b[K{text}")
    stream.flush()


def _json_line(progress: Progress, stream: TextIO) -> None:
    import json  # noqa: PLC0415 - start-up is not to pay for it

    left = progress.seconds_left
    line = {
        "event": "progress",
        "files": progress.files,
        "bytes": progress.bytes,
        "totalFiles": progress.total_files or None,
        "totalBytes": progress.total_bytes or None,
        "bytesPerSecond": round(progress.rate),
        "seconds": round(progress.seconds, 3),
        "secondsLeft": None if left is None else round(left, 1),
    }
    stream.write(json.dumps(line) + "\n")
    stream.flush()


def show(value: Mapping[str, Any], rows: Sequence[tuple[str, str]], fmt: str, stream: TextIO | None = None) -> None:
    """Print `value` as JSON or YAML, or `rows` as an aligned table."""
    stream = stream or sys.stdout
    if fmt == "json":
        import json  # noqa: PLC0415 - only this output needs it

        stream.write(json.dumps(value, indent=2) + "\n")
    elif fmt == "yaml":
        import yaml  # noqa: PLC0415 - only this output needs it

        yaml.safe_dump(dict(value), stream, sort_keys=False)
    else:
        width = max(len(name) for name, _ in rows)
        stream.writelines(f"{name:<{width}}  {clean(text)}\n" for name, text in rows)
