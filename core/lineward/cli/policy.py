"""`lineward policy`: check policies, and try them on evidence before they meet a pod."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lineward.adapters import sources
from lineward.adapters.sources import Inputs
from lineward.cli import exits, report
from lineward.cli.terminal import Parser, add_output, show
from lineward.cli.verify import judge_all, read_rules, read_targets, rule_arguments
from lineward.domain.policy import Authority, Policy


def run(argv: Sequence[str], prog: str) -> int:
    """Run one sub-command: 0 all would be admitted, 1 one would be refused, 2 could not tell, 64 usage."""
    parser = Parser(
        prog,
        description="Check ProvenancePolicies, and try them on evidence, with the webhook's own rules.",
        epilog="Exit codes: 0 done, or all would be admitted; 1 one would be refused; 2 could not tell; 64 usage.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    text = "read policies and say what they ask for"
    check = commands.add_parser("check", help=text, description="Read policies and say what they ask for.")
    check.add_argument("policies", nargs="+", metavar="POLICY", help="file with ProvenancePolicies")
    add_output(check)
    check.set_defaults(against=None)
    text = "judge DatasetVersions and bundles, without the data"
    test = commands.add_parser("test", help=text, description="Judge DatasetVersions and bundles, without the data.")
    policies = "file with ProvenancePolicies, all to be met, and their TrustRoots"
    test.add_argument("policies", nargs="+", metavar="POLICY", help=policies)
    against = "files with DatasetVersions, bundles or OMS signatures"
    test.add_argument("--against", nargs="+", required=True, metavar="FILE", help=against)
    rule_arguments(test)
    arguments = parser.parse_args(argv)
    inputs = Inputs()
    for path in arguments.policies:
        sources.read_policies(Path(path), inputs)
    if arguments.against is None:
        rows = [row for policy in inputs.policies for row in _rows(policy)]
        show({"policies": [_value(policy) for policy in inputs.policies]}, rows, arguments.output)
        return exits.OK
    read_rules(arguments, inputs)
    if not inputs.trust_roots:
        test.error("which keys are believed? give --trust-root FILE, or a TrustRoot beside the policy")
    unread = read_targets([Path(path) for path in arguments.against], inputs)
    judged = judge_all(inputs, arguments.at, folder=None)
    return report.conclude([*(made for made, _ in judged), *unread], arguments.output)


def _value(policy: Policy) -> dict[str, Any]:
    return {
        "name": policy.name,
        "mode": str(policy.mode),
        "trustRoot": policy.trust_root,
        "quorum": policy.quorum,
        "authorities": [_authority(authority) for authority in policy.authorities],
        "require": [requirement.predicate_type for requirement in policy.require],
    }


def _rows(policy: Policy) -> list[tuple[str, str]]:
    rows = [("policy", policy.name), ("mode", str(policy.mode)), ("trust root", policy.trust_root)]
    rows += [("authority", _authority(authority)) for authority in policy.authorities]
    rows.append(("quorum", str(policy.quorum)))
    for requirement in policy.require:
        age = f", at most {requirement.max_age} old" if requirement.max_age else ""
        rows.append(("requires", f"{requirement.predicate_type}{age}"))
    return rows


def _authority(authority: Authority) -> str:
    if authority.key or authority.key_digest:
        return f"{authority.name}: key {authority.key or authority.key_digest}"
    pattern = authority.subject_pattern.text if authority.subject_pattern else ""
    return f"{authority.name}: {authority.subject or f'/{pattern}/'} by {authority.issuer}"
