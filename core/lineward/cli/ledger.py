"""`lineward ledger`: read what was decided and observed, follow it, and check that nobody changed it since."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lineward.adapters.ledger import DirectTransport, LedgerClient, LedgerError, ProxiedTransport, Transport
from lineward.cli import exits
from lineward.cli.terminal import Parser, add_context, add_output, clean, number_argument, show
from lineward.domain.merkle import Frontier, leaf_hash

Command = Callable[[argparse.Namespace, LedgerClient], int]
Row = tuple[str, ...]
COLUMNS: Row = ("SEQ", "TIME", "KIND", "TRUST", "SUBJECT", "SAYS")
EVENT_COLUMNS: Row = ("SEQ", "TIME", "EVENT", "TRUST", "JOB", "RUN", "DATA")
_WIDTHS = (5, 24, 9, 8, 40, 0)
_EVENT_WIDTHS = (5, 24, 8, 8, 40, 36, 0)
_NUMBER = number_argument(0, 2**53 - 1)
_HEAD = re.compile(r"(\d{1,18}):(sha256:[0-9a-f]{64})")


def run(argv: Sequence[str], prog: str) -> int:
    """Run one sub-command; exit codes: 0 done, 1 the ledger was changed, 64 usage. Raises LedgerError for no answer."""
    parser = _parser(prog)
    arguments = parser.parse_args(argv)
    if arguments.url and not arguments.token_file:
        parser.error("--url needs --token-file: a token of the ledger's audience")
    command: Command = arguments.command
    return command(arguments, LedgerClient(_transport(arguments)))


def head(arguments: argparse.Namespace, client: LedgerClient) -> int:
    """Print size and root."""
    found = client.head()
    show(found, [("size", str(found["size"])), ("root", _clean(found["root"]))], arguments.output)
    return exits.OK


def entries(arguments: argparse.Namespace, client: LedgerClient) -> int:
    """Print entries."""
    found = client.entries(arguments.after, arguments.limit or None, kind=arguments.kind, run=arguments.run)
    _print(found, arguments.output, COLUMNS, _WIDTHS, _entry_row)
    return exits.OK


def events(arguments: argparse.Namespace, client: LedgerClient) -> int:
    """Print lineage: in JSON and YAML the OpenLineage events alone, as they were received."""
    found = client.entries(arguments.after, arguments.limit or None, kind="lineage", run=arguments.run)
    if arguments.output == "table":
        _print(found, "table", EVENT_COLUMNS, _EVENT_WIDTHS, _event_row)
    else:
        _print((each["body"] for each in found), arguments.output, (), (), _entry_row)
    return exits.OK


def follow(arguments: argparse.Namespace, client: LedgerClient) -> int:
    """Print entries as they come, until interrupted: table rows, JSON lines or YAML documents."""
    after = client.head()["size"] if arguments.after is None else arguments.after
    if arguments.output == "table":
        print(_aligned(COLUMNS, _WIDTHS), flush=True)
    for entry in client.follow(after, kind=arguments.kind, run=arguments.run):
        if arguments.output == "table":
            print(_aligned(_entry_row(entry), _WIDTHS), flush=True)
        elif arguments.output == "json":
            print(json.dumps(entry), flush=True)
        else:
            print("---")
            show(entry, [], "yaml")
            sys.stdout.flush()
    return exits.OK


def check(arguments: argparse.Namespace, client: LedgerClient) -> int:
    """Hash all entries again and compare with the ledger's head, and with one that was kept earlier."""
    now = client.head()
    frontier, kept = Frontier(), arguments.head
    kept_root = f"sha256:{frontier.root().hex()}" if kept and kept[0] == 0 else ""
    for line in client.lines():
        if frontier.size == now["size"]:
            break
        if json.loads(line)["seq"] != frontier.size + 1:
            raise LedgerError("this service account may not read all entries, so they cannot be checked")
        frontier.append(leaf_hash(line))
        if kept and frontier.size == kept[0]:
            kept_root = f"sha256:{frontier.root().hex()}"
    root = f"sha256:{frontier.root().hex()}"
    problem = ""
    if (frontier.size, root) != (now["size"], now["root"]):
        problem = f"its {frontier.size} entries have root {root}, its head says {now['size']} and {_clean(now['root'])}"
    elif kept and kept_root != kept[1]:
        problem = f"the first {kept[0]} entries are not those of the kept head"
    result = {"size": frontier.size, "root": root, "consistent": not problem, "problem": problem}
    show(result, [("size", str(frontier.size)), ("root", root), ("result", problem or "consistent")], arguments.output)
    return exits.DIFFERS if problem else exits.OK


def _print(
    found: Iterable[dict[str, Any]], fmt: str, columns: Row, widths: Sequence[int], row: Callable[[dict[str, Any]], Row]
) -> None:
    if fmt == "table":
        print(_aligned(columns, widths))
        for entry in found:
            print(_aligned(row(entry), widths))
    elif fmt == "json":
        print(json.dumps(list(found), indent=2))
    else:
        for entry in found:
            print("---")
            show(entry, [], "yaml")


def _aligned(row: Row, widths: Sequence[int]) -> str:
    return "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()


def _entry_row(entry: dict[str, Any]) -> Row:
    body = entry["body"]
    if entry["kind"] == "lineage":
        says = " ".join(_words(body, "eventType"))
    else:
        says = ": ".join(dict.fromkeys(_words(body, "phase", "verdict", "reason", "message")))
    return (*(_clean(entry[name]) for name in ("seq", "at", "kind", "trust", "subject")), _clean(says))


def _event_row(entry: dict[str, Any]) -> Row:
    body = entry["body"]
    data = ", ".join(_read(each) for each in body.get("inputs") or () if isinstance(each, dict))
    cells = (entry["seq"], entry["at"], body.get("eventType", ""), entry["trust"], entry["subject"], entry["run"], data)
    return tuple(map(_clean, cells))


def _read(dataset: dict[str, Any]) -> str:
    """Name, version and verdict of an input, and whether it changed; foreign events may have none of them."""
    facets = {**(dataset.get("facets") or {}), **(dataset.get("inputFacets") or {})}
    version = (facets.get("version") or {}).get("datasetVersion", "")
    verdict = (facets.get("lineward_verification") or {}).get("verdict", "")
    changed = "changed during the run" if (facets.get("lineward_census") or {}).get("changed") else ""
    return " ".join(str(each) for each in (dataset.get("name", ""), version, verdict, changed) if each)


def _words(body: dict[str, Any], *names: str) -> Iterator[str]:
    return (value for name in names if isinstance(value := body.get(name), str) and value)


def _clean(value: object) -> str:
    return clean(str(value))


def _transport(arguments: argparse.Namespace) -> Transport:
    if not arguments.url:
        space, _, account = arguments.service_account.rpartition("/")
        return ProxiedTransport(
            arguments.context,
            arguments.namespace,
            account_namespace=space,
            account=account,
            audience=arguments.audience,
        )
    try:
        return DirectTransport(arguments.url, arguments.token_file.read_text().strip())
    except OSError as error:
        raise LedgerError(f"the token cannot be read: {error}") from error


def _parser(prog: str) -> Parser:
    parser = Parser(
        prog,
        description="Read the ledger, an append-only record of verdicts, runs and lineage, and check it.",
        epilog="Without --url it is reached through the API server of a kubeconfig context. "
        "Exit codes: 0 done, 1 check: entries were changed, 2 no answer, 64 usage.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    _command(commands, "head", "print size and root; keep them to check the ledger later", head)
    _filters(
        _command(commands, "entries", "print entries: verdicts, runs, admissions and lineage", entries),
        "kind",
        "after",
        "limit",
    )
    _filters(_command(commands, "events", "print lineage as OpenLineage events", events), "after", "limit")
    following = _command(commands, "follow", "print entries as they come", follow)
    _filters(following, "kind")
    following.add_argument(
        "--after", type=_NUMBER, metavar="SEQ", help="begin behind the entry of this number (default: the newest)"
    )
    checking = _command(commands, "check", "hash all entries again and compare with the head", check)
    checking.add_argument(
        "--head", type=_kept, metavar="SIZE:ROOT", help="compare also with a head kept earlier, such as 12:sha256:…"
    )
    return parser


def _command(commands: argparse._SubParsersAction[Parser], name: str, text: str, command: Command) -> Parser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(command=command)
    add_output(parser)
    parser.add_argument("--url", metavar="URL", help="the ledger's address, instead of the API server's proxy")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="with --url: token of the ledger's audience")
    add_context(parser)
    parser.add_argument(
        *("-n", "--namespace"),
        default="lineward-system",
        metavar="NAMESPACE",
        help="where Lineward runs (default: %(default)s)",
    )
    parser.add_argument(
        "--service-account",
        default="lineward-ledger",
        metavar="[NAMESPACE/]NAME",
        help="read as this service account (default: %(default)s, which reads everything)",
    )
    parser.add_argument(
        "--audience", default="lineward-ledger", metavar="NAME", help="audience of the token (default: %(default)s)"
    )
    return parser


def _filters(parser: Parser, *names: str) -> None:
    parser.add_argument("--run", default="", metavar="UID", help="only what concerns this run (default: all runs)")
    if "kind" in names:
        kinds = ["verdict", "run", "admission", "lineage"]
        parser.add_argument("--kind", default="", choices=kinds, help="only entries of this kind (default: all)")
    if "after" in names:
        behind = "begin behind the entry of this number (default: 0, the beginning)"
        parser.add_argument("--after", type=_NUMBER, default=0, metavar="SEQ", help=behind)
    if "limit" in names:
        most = "print at most so many; 0 prints all (default: %(default)s)"
        parser.add_argument("--limit", type=_NUMBER, default=100, metavar="N", help=most)


def _kept(text: str) -> tuple[int, str]:
    found = _HEAD.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not SIZE:sha256:HEX")
    return int(found[1]), found[2]
