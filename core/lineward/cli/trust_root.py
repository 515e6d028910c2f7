"""`lineward trust-root`: show, check, fetch and write the keys that evidence is believed by."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lineward.adapters import sources
from lineward.adapters.trustroots import windows
from lineward.cli import exits, trust_root_write
from lineward.cli.terminal import Parser, add_output, number_argument, show
from lineward.domain.evidence import SigningTime, TrustRoot
from lineward.domain.trustwindow import Window, warnings

MAX_DAYS = 36_500
"""A century; the calendar of `datetime` ends, and no key is meant for longer."""


def run(argv: Sequence[str], prog: str) -> int:
    """Run one sub-command: 0 good, 1 it will not do, 2 could not tell, 64 usage."""
    parser = Parser(prog, description="The keys that evidence is believed by. Only fetch uses the network.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    for name, text, command in (
        ("show", "list keys and authorities, and when each is valid", _show),
        ("check", "warn of keys and authorities that end soon", _check),
    ):
        made = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        made.add_argument("file", metavar="FILE", help="TrustRoot, trusted_root.json, trust config or PEM public key")
        add_output(made)
        made.set_defaults(command=command)
        if command is _check:
            days = number_argument(0, MAX_DAYS)
            made.add_argument("--days", type=days, default=30, metavar="N", help="warn this long before (default: 30)")
    trust_root_write.add_commands(commands)
    arguments = parser.parse_args(argv)
    code: int = arguments.command(arguments)
    return code


def _show(arguments: argparse.Namespace) -> int:
    values: list[dict[str, Any]] = []
    rows: list[tuple[str, str]] = []
    for root in sources.read_trust_root(Path(arguments.file)):
        found = windows(root)
        name = _name(root, arguments)
        values.append({"name": name, "digest": str(root.digest), "keys": [_value(window) for window in found]})
        rows += [("trust root", name), *_rows(root, found)]
    show({"trustRoots": values}, rows, arguments.output)
    return exits.OK


def _name(root: TrustRoot, arguments: argparse.Namespace) -> str:
    return root.name or Path(arguments.file).stem


def _check(arguments: argparse.Namespace) -> int:
    now, within = datetime.now(UTC), timedelta(days=arguments.days)
    roots = sources.read_trust_root(Path(arguments.file))
    said = [(_name(root, arguments), warnings(windows(root), now, within)) for root in roots]
    rows: list[tuple[str, str]] = []
    for name, texts in said:
        rows.append(("trust root", name))
        rows += [("warning", text) for text in texts] or [("good", f"nothing ends within {arguments.days} days")]
    value = {"trustRoots": [{"name": name, "warnings": texts} for name, texts in said]}
    show(value, rows, arguments.output)
    return exits.DIFFERS if any(texts for _, texts in said) else exits.OK


def _value(window: Window) -> dict[str, Any]:
    value = {"kind": window.kind, "name": window.name, "start": _time(window.start), "end": _time(window.end)}
    return value | ({"signingTime": str(window.signing_time)} if window.signing_time else {})


def _rows(root: TrustRoot, found: Sequence[Window]) -> list[tuple[str, str]]:
    now = datetime.now(UTC)
    rows = [("digest", str(root.digest))]
    for window in found:
        state = "valid" if window.valid(now) else "not valid now"
        span = f"{_time(window.start) or 'open'} to {_time(window.end) or 'open'}"
        rows.append((window.kind, f"{window.name}  {span}  {state}{_signing_time(window)}"))
    return rows


def _signing_time(window: Window) -> str:
    """What a key's bundles must have: without an end, it is a time whatever the word says."""
    if window.signing_time is None:
        return ""
    if window.signing_time is SigningTime.OPTIONAL and window.end is None:
        return "  signing time required, for want of a notAfter"
    return f"  signing time {window.signing_time.lower()}"


def _time(time: datetime | None) -> str | None:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}" if time else None
