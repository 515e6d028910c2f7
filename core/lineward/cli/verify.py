"""`lineward verify`: run the webhook's own checks on files, and explain each step."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from lineward.adapters import sources
from lineward.adapters.files import Outcome, verify_tree
from lineward.adapters.sources import Inputs
from lineward.cli import oms, report
from lineward.cli.report import Judge, Report
from lineward.cli.terminal import (
    Parser,
    add_context,
    add_hashing,
    add_output,
    clean,
    end_progress,
    moment_argument,
    progress_to,
)
from lineward.domain import explain
from lineward.domain.dataset import DatasetVersion, Integrity
from lineward.domain.digest import Digest
from lineward.domain.errors import InvalidInputError
from lineward.domain.explain import Step
from lineward.domain.manifest import Parameters
from lineward.domain.reasons import Reason
from lineward.domain.verdict import Verdict

_EPILOG = """\
example:
  lineward verify ./credit attested/german-credit-1.0.0.yaml --policy policy.yaml --trust-root root.yaml

TARGET is any of: the folder with the data, a DatasetVersion file, a bundle, an OMS signature, or with --cluster
dsv/NAME. With a folder its bytes are hashed and compared; without, only the evidence is judged.
A signature counts only if you say whose: by --policy, --cluster, or --issuer with --subject.
Nothing uses the network but --cluster. Every TARGET is reported, whatever is wrong with another.
Exit codes: 0 all verified, 1 one refused or different, 2 none refused but one could not be told, 64 usage."""


def run(argv: Sequence[str], prog: str) -> int:
    """Verify; exit codes as in the epilog."""
    parser = _parser(prog)
    arguments = parser.parse_intermixed_args(argv)
    if not arguments.cluster and (arguments.context or arguments.namespace):
        parser.error("--context and --namespace say something of --cluster, which is not given")
    inputs = Inputs()
    folder, unread = _targets(arguments, parser, inputs)
    _rules(arguments, parser, inputs)
    judged = judge_all(inputs, arguments.at, folder)
    for made, version in judged:
        if folder is not None and version is not None:
            _compare(made, folder, version, arguments)
    return report.conclude([*(made for made, _ in judged), *unread], arguments.output)


def read_targets(paths: Sequence[Path], inputs: Inputs) -> list[Report]:
    """Read targets; one that cannot be read has its report, and does not keep the others from theirs.

    A manifest's ConfigMap, which `attest` writes beside the DatasetVersion, is left out unless there is nothing else.
    """
    unread: list[Report] = []
    beside: list[Path] = []
    for path in paths:
        try:
            if not sources.read_target(path, inputs):
                beside.append(path)
        except InvalidInputError as error:
            unread.append(Report.untold(str(path), error))
    if inputs.datasets or inputs.bundles or unread:
        for path in beside:
            print(f"lineward: {clean(str(path))} holds no DatasetVersion, only a ConfigMap: left out", file=sys.stderr)
        return unread
    problem = "holds a ConfigMap, no DatasetVersion and no bundle"
    return [Report.untold(str(p), InvalidInputError(Reason.DATASET_INVALID, f"{p} {problem}")) for p in beside]


def judge_all(inputs: Inputs, now: datetime, folder: Path | None) -> list[tuple[Report, DatasetVersion | None]]:
    """Judge all that was read, each with the DatasetVersion, if any, that a folder is yet to be compared with."""
    judge = Judge(inputs, now)
    judged: list[tuple[Report, DatasetVersion | None]] = [(judge.version(each), each) for each in inputs.datasets]
    for name, raw in inputs.bundles:
        signature = oms.is_signature(raw)
        judged.append((oms.report(name, raw, folder, inputs, now), None) if signature else judge.bundle(name, raw))
    return judged


def _parser(prog: str) -> Parser:
    parser = Parser(
        prog,
        description="Run the checks of the admission webhook on files, offline, and explain each step.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("targets", nargs="+", metavar="TARGET", help="what to verify, see below")
    rule_arguments(parser)
    rules = "ProvenancePolicy; may be repeated, and all must be met"
    add("--policy", action="append", default=[], metavar="FILE", help=rules)
    add("--issuer", metavar="URL", help="in place of a policy: who issued the signer's identity")
    add("--subject", metavar="IDENTITY", help="in place of a policy: the signer, exactly")
    add("--cluster", action="store_true", help="take policies, trust roots and recalls from the cluster")
    add_context(parser, "with --cluster: ")
    whose = "with --cluster: whose policies apply (default: the DatasetVersion's)"
    add("-n", "--namespace", metavar="NAMESPACE", help=whose)
    add("--manifest", metavar="FILE", help="names what differs (default: the .lwm beside the DatasetVersion)")
    add_hashing(parser)
    return parser


def rule_arguments(parser: Parser) -> None:
    """Arguments that every command shares which judges evidence."""
    add = parser.add_argument
    roots = "TrustRoot, trusted_root.json or PEM public key, which counts for this check only; may be repeated"
    add("--trust-root", action="append", default=[], metavar="FILE", help=roots)
    add("--recall", action="append", default=[], metavar="FILE", help="DatasetRecall that counts; may be repeated")
    then = "judge as of this moment, such as 2026-01-31T12:00:00Z (default: now)"
    add("--at", type=moment_argument, default=datetime.now(UTC), metavar="TIME", help=then)
    add_output(parser)


def read_rules(arguments: argparse.Namespace, inputs: Inputs) -> None:
    """Read the files that `rule_arguments` names. Raises InvalidInputError."""
    for path in arguments.trust_root:
        inputs.add_trust_root(Path(path), arguments.at)
    for path in arguments.recall:
        sources.read_objects(Path(path), inputs, "DatasetRecall", Reason.REQUEST_INVALID)


def _targets(arguments: argparse.Namespace, parser: Parser, inputs: Inputs) -> tuple[Path | None, list[Report]]:
    folder: Path | None = None
    files: list[Path] = []
    arguments.manifests = [Path(arguments.manifest)] if arguments.manifest else []
    for target in arguments.targets:
        path = Path(target)
        if path.is_dir():
            if folder is not None:
                parser.error("give one folder")
            folder = path
        elif target.startswith("dsv/") and arguments.cluster:
            _from_cluster(target.removeprefix("dsv/"), arguments, parser, inputs)
        else:
            files.append(path)
            beside = path.with_suffix(".lwm")
            if not arguments.manifest and beside.is_file():
                arguments.manifests.append(beside)
    unread = read_targets(files, inputs)
    if not inputs.datasets and not inputs.bundles and not unread:
        parser.error("a folder alone says nothing: give its DatasetVersion, bundle or OMS signature too")
    return folder, unread


def _from_cluster(name: str, arguments: argparse.Namespace, parser: Parser, inputs: Inputs) -> None:
    from lineward.adapters.kube import Cluster  # noqa: PLC0415 - a slow import that few need

    if not arguments.namespace:
        parser.error("dsv/NAME needs --namespace")
    inputs.add_object(
        {"kind": "DatasetVersion", **Cluster(arguments.context).dataset_version(arguments.namespace, name)}
    )


def _rules(arguments: argparse.Namespace, parser: Parser, inputs: Inputs) -> None:
    read_rules(arguments, inputs)
    for path in arguments.policy:
        sources.read_policies(Path(path), inputs)
    if bool(arguments.issuer) is not bool(arguments.subject):
        parser.error("--issuer and --subject go together")
    if arguments.issuer:
        keyless = {"issuer": arguments.issuer, "subject": arguments.subject}
        inputs.give([{"name": "given", "keyless": keyless}])
    if arguments.cluster:
        _gather(arguments, parser, inputs)
    if not inputs.policies:
        inputs.give_keys()
    _require_rules(parser, inputs)


def _gather(arguments: argparse.Namespace, parser: Parser, inputs: Inputs) -> None:
    """Take the rules of the cluster for the namespace that is asked for."""
    from lineward.adapters.kube import Cluster  # noqa: PLC0415 - a slow import that few need

    namespaces = {dataset.namespace for dataset in inputs.datasets} - {""}
    if not arguments.namespace and len(namespaces) != 1:
        parser.error("give --namespace: whose policies apply?")
    Cluster(arguments.context).gather(inputs, arguments.namespace or namespaces.pop())
    if not inputs.policies:
        raise InvalidInputError(Reason.POLICY_INVALID, "no policy of the cluster covers the namespace")


def _require_rules(parser: Parser, inputs: Inputs) -> None:
    if not inputs.policies:
        parser.error("whose signature counts? give --policy, --cluster, or --issuer with --subject")
    if not inputs.trust_roots:
        parser.error("which keys are believed? give --trust-root FILE or --cluster")
    if inputs.given and len({root.digest for root in inputs.trust_roots}) > 1:
        parser.error("which keys are believed? give one --trust-root, or a policy that names one")


def _compare(made: Report, folder: Path, version: DatasetVersion, arguments: argparse.Namespace) -> None:
    """Hash the folder and add what was found to the report."""
    integrity, name = version.integrity, f"bytes of {folder}"
    with contextlib.ExitStack() as stack:
        try:
            path = _manifest(arguments.manifests, integrity)
            manifest = stack.enter_context(path.open("rb")) if path else None
        except OSError as error:
            made.refuse(Verdict.UNKNOWN, Reason.MANIFEST_INVALID, f"{error.filename}: {error.strerror}")
            return
        found = verify_tree(
            folder,
            integrity.root,
            Parameters(integrity.profile, integrity.chunk_bytes),
            manifest=manifest,
            manifest_digest=integrity.manifest.digest if integrity.manifest else None,
            progress=progress_to(arguments.progress),
            workers=arguments.workers,
        )
    end_progress(arguments.progress)
    if found.outcome is Outcome.EQUAL:
        made.steps.append(Step(name, explain.Outcome.PASSED, f"{found.files} files, root {integrity.root}"))
        return
    made.steps.append(Step(name, explain.Outcome.REFUSED, found.message, found.reason))
    verdict = Verdict.REFUSED if found.outcome is Outcome.DIFFERS else Verdict.UNKNOWN
    made.refuse(verdict, found.reason, found.message)


def _manifest(paths: Sequence[Path], integrity: Integrity) -> Path | None:
    """The manifest at hand, of several the one that was signed. Raises OSError."""
    if len(paths) < 2:
        return paths[0] if paths else None
    for path in paths:
        with path.open("rb") as file:
            digest = Digest(hashlib.file_digest(file, "sha256").digest())
        if integrity.manifest and integrity.manifest.digest == digest:
            return path
    return None
