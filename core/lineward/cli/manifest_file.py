"""Commands that read manifests: show, diff and merge."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from lineward.adapters.files_merge import merge_shards
from lineward.cli import exits, terminal
from lineward.cli.manifest_tree import change_value, summary_rows, summary_value
from lineward.cli.output import replacing
from lineward.domain.changes import Changes, compare
from lineward.domain.entry import Entry, Kind, decode_all, printable
from lineward.domain.errors import InvalidInputError
from lineward.domain.manifest_reader import ManifestReader
from lineward.domain.reasons import Reason


def merge(arguments: argparse.Namespace) -> int:
    """Merge shards; 2 where they are not all parts of one folder."""
    with replacing(Path(arguments.out)) if arguments.out else contextlib.nullcontext() as out:
        summary = merge_shards([partial(_shard, Path(name)) for name in arguments.shards], out)
    terminal.show(summary_value(summary), summary_rows(summary), arguments.output)
    return exits.OK


def _shard(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise InvalidInputError(Reason.MANIFEST_INVALID, f"{error.filename}: {error.strerror}") from error


def show(arguments: argparse.Namespace) -> int:
    """Check a manifest and print its summary, or its entries."""
    with opened(arguments.manifest) as reader:
        lines = (
            _line(entry, arguments.output)
            for page in reader.pages()
            for entry in (decode_all(page.body) if arguments.entries else ())
        )
        _write(lines, arguments.output if arguments.entries else "table")
    if reader.summary and not arguments.entries:
        terminal.show(summary_value(reader.summary), summary_rows(reader.summary), arguments.output)
    return exits.OK


def diff(arguments: argparse.Namespace) -> int:
    """List the differences of two manifests; 0 equal, 1 differs."""
    changes = Changes(arguments.max_names)
    with opened(arguments.before) as before, opened(arguments.after) as after:
        for change in compare(before.pages(), after.pages()):
            changes.add(change)
    equal = before.summary and after.summary and before.summary.root == after.summary.root
    parameters = before.parameters == after.parameters
    value = {
        "root": str(after.summary.root) if after.summary else None,
        "files": after.totals.files,
        "bytes": after.totals.size,
        "equal": bool(equal),
        "sameParameters": parameters,
        "before": str(before.summary.root) if before.summary else None,
        "after": str(after.summary.root) if after.summary else None,
        "counts": {str(kind): count for kind, count in changes.counts.items()},
        "changes": [change_value(change) for change in changes.first],
    }
    rows = [("", str(change)) for change in changes.first]
    rows.append(("total", ", ".join(f"{count} {kind}" for kind, count in changes.counts.items()) or "no entry differs"))
    if not parameters:
        rows.append(("note", "the manifests have other profiles or chunk sizes, so their roots differ"))
    terminal.show(value, rows, arguments.output)
    return exits.OK if equal else exits.DIFFERS


@contextlib.contextmanager
def opened(path: str) -> Iterator[ManifestReader]:
    """A manifest being read; - is standard input. Raises InvalidInputError(ManifestInvalid), also if unreadable."""
    if path == "-":
        if sys.stdin is None:
            raise InvalidInputError(Reason.MANIFEST_INVALID, "standard input is closed")
        yield ManifestReader(sys.stdin.buffer)
        return
    try:
        file = Path(path).open("rb")  # noqa: SIM115 - closed below; only opening it maps its errors
    except OSError as error:
        raise InvalidInputError(Reason.MANIFEST_INVALID, f"{path}: {error.strerror}") from error
    with file:
        yield ManifestReader(file)


def _write(lines: Iterator[str], fmt: str) -> None:
    """Write as the lines come; in JSON, which is YAML too, as an array that is closed only if all was well."""
    if fmt == "table":
        sys.stdout.writelines(f"{line}\n" for line in lines)
        return
    before = "[\n"
    for line in lines:
        sys.stdout.write(before + line)
        before = ",\n"
    sys.stdout.write("\n]\n")


def _line(entry: Entry, fmt: str) -> str:
    content = printable(entry.content) if entry.kind is Kind.SYMLINK else entry.content.hex()
    path = printable(entry.path)
    if fmt == "table":
        arrow = f" -> {content}" if entry.kind is Kind.SYMLINK else ""
        digest = content if entry.is_file else "-" * 64
        return f"{entry.kind.value}  {digest}  {entry.size:>14}  {path}{arrow}"
    value = {"kind": entry.kind.word, "path": path, "size": entry.size}
    value |= {"target": content} if entry.kind is Kind.SYMLINK else {"digest": f"sha256:{content}"} if content else {}
    return json.dumps(value)
