"""`lineward audit`: what would have been denied, so that a platform team knows before it switches to enforce."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from typing import Any

from lineward.adapters.objects import Objects
from lineward.cli import exits
from lineward.cli.terminal import Parser, add_context, add_output, clean, show
from lineward.domain.audit import Finding, findings

COLUMNS = ("NAMESPACE", "RUN", "WORKLOAD", "VOLUME", "REASON", "MODE", "SINCE")


def run(argv: Sequence[str], prog: str) -> int:
    """Print the report; 0 done, 1 something would be denied (with --exit-code), 64 usage. Raises ClusterError."""
    arguments = _parser(prog).parse_args(argv)
    objects = Objects(arguments.context)
    namespace = "" if arguments.all_namespaces else arguments.namespace
    runs = [each for each in objects.list("trainingruns", namespace) if _wanted(each, arguments)]
    runs.sort(key=_order)
    found = list(findings(runs))
    watched = sum(_watched(each.get("status") or {}) for each in runs)
    if arguments.output == "table":
        print(table(found, watched))
    else:
        items: dict[str, Any] = {"runs": watched, "wouldDeny": [each.to_json() for each in found]}
        show(items, [], arguments.output)
    return exits.DIFFERS if found and arguments.exit_code else exits.OK


def table(found: Sequence[Finding], watched: int) -> str:
    """The report for people: a line for each finding, below it what was wrong and what to do."""
    if not found:
        return f"Nothing would have been denied in {_runs(watched)} under audit or warn."
    rows = [(f.namespace, f.run, f.workload, f.volume or "-", f.reason, f.mode, f.since or "-") for f in found]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    lines = [_line(COLUMNS, widths)]
    for row, finding in zip(rows, found, strict=True):
        lines.append(_line(row, widths))
        lines += _indented(finding.message)
        lines += _indented(f"Next step: {finding.next_step}. See {finding.docs}") if finding.next_step else []
    denied = len({(finding.namespace, finding.run) for finding in found})
    return "\n".join([*lines, "", f"{denied} of {_runs(watched)} under audit or warn would have been denied."])


def _parser(prog: str) -> Parser:
    parser = Parser(
        prog,
        description="List what enforce would have denied, from the TrainingRuns that audit and warn let through.",
        epilog="Exit codes: 0 done, 1 with --exit-code: something would have been denied, 2 no answer, 64 usage.",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("-n", "--namespace", default="", metavar="NAMESPACE", help="only runs of this namespace")
    where.add_argument("-A", "--all-namespaces", action="store_true", help="runs of all namespaces (the default)")
    parser.add_argument("--run", default="", metavar="NAME", help="only the TrainingRun of this name (default: all)")
    add_context(parser)
    parser.add_argument("--exit-code", action="store_true", help="leave with 1 if anything would have been denied")
    add_output(parser)
    return parser


def _wanted(run_: dict[str, Any], arguments: argparse.Namespace) -> bool:
    return not arguments.run or run_["metadata"]["name"] == arguments.run


def _watched(status: dict[str, Any]) -> bool:
    """Whether a policy in audit or warn had a say; beside an enforcing one it shows only where it objected."""
    return status.get("mode") in {"audit", "warn"} or bool(status.get("wouldDeny"))


def _order(run_: dict[str, Any]) -> tuple[str, str, str]:
    meta = run_["metadata"]
    return str(meta.get("namespace", "")), str((run_.get("status") or {}).get("startedAt", "")), str(meta["name"])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(f"{clean(text):<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()


def _indented(text: str) -> list[str]:
    return textwrap.wrap(clean(text), 116, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)


def _runs(count: int) -> str:
    return f"{count} run{'' if count == 1 else 's'}"
