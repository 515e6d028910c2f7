"""The steps of `lineward attest`: check, hash, sign, verify, write."""

from __future__ import annotations

import argparse
import base64
import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lineward import __version__
from lineward.adapters import documents, surroundings
from lineward.adapters.files import create_manifest
from lineward.adapters.sources import require_ours
from lineward.cli import attest_arguments, attest_first, exits, oms
from lineward.cli.attest_output import Outputs, require_outside
from lineward.cli.attest_signing import Signing
from lineward.cli.output import replacing
from lineward.cli.terminal import clean, end_progress, progress_to, show, size_text
from lineward.cli.unverified import unverified_statement
from lineward.domain import dataset as datasets
from lineward.domain import draft, inheritance, mistakes
from lineward.domain.dataset import MAX_ATTESTATIONS, DatasetVersion
from lineward.domain.draft import Names
from lineward.domain.errors import InvalidInputError, LinewardError, MistakesError, RefusedError
from lineward.domain.evidence import Evidence
from lineward.domain.fields import MAX_WHOLE
from lineward.domain.manifest import Parameters, Profile, Summary
from lineward.domain.reasons import Reason
from lineward.domain.statement import Statement

if TYPE_CHECKING:
    from lineward.adapters.kube import Cluster

_LARGEST = draft.UNHASHED._replace(manifest_bytes=MAX_WHOLE, files=MAX_WHOLE, bytes=MAX_WHOLE)
"""A statement that fits with these numbers fits with any."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be attested, all of it checked but for the bytes."""

    names: Names
    volumes: Sequence[Mapping[str, Any]]
    description: Mapping[str, Any]
    producer: Mapping[str, Any]


def attest(arguments: argparse.Namespace) -> int:
    """Attest a folder; nothing is written unless all of it succeeds."""
    asked = _checked(arguments)
    names = asked.names
    cluster = _cluster(arguments, names.namespace)
    signing = Signing.prepare(arguments)
    outputs = Outputs(Path(arguments.out), names.name, Path(arguments.folder), force=arguments.force)
    listings: list[bytes] = []

    def list_files() -> None:
        listings.append(oms.statement_of(Path(arguments.folder)))

    with outputs:
        outputs.require_free()
        with outputs.open("lwm") as manifest:
            parameters = Parameters(Profile(arguments.profile), arguments.chunk_size)
            summary = _hash(arguments, parameters, manifest, list_files if arguments.oms else None)
        made = draft.predicate(asked.description, summary, asked.producer, datetime.now(UTC))
        bundle, evidence = signing.sign(draft.statement(made, names, summary.manifest))
        previous = asked.description["dataset"].get("previousVersion", "")
        version = draft.dataset_version(names, summary, asked.volumes, bundle, previous)
        datasets.parse(version)
        outputs.add("sigstore", bundle + b"\n")
        objects = [version]
        if summary.manifest_bytes <= draft.MAX_CONFIG_MAP:
            encoded = base64.b64encode(outputs.written("lwm").read_bytes()).decode()
            objects.insert(0, draft.config_map(names, encoded))
            outputs.add("manifest.yaml", documents.dump(objects[:1]))
        for listed in listings:
            outputs.add("sig", signing.sign_oms(listed) + b"\n")
        outputs.add("yaml", documents.dump([version]))
        files = outputs.commit()
    _apply(cluster, objects, files)
    _report(arguments, names, summary, evidence, files)
    return exits.OK


def add_signature(arguments: argparse.Namespace) -> int:
    """Hash the folder again and add a second signer's statement to a DatasetVersion file."""
    path, folder = Path(arguments.add_signature), _folder(arguments)
    require_outside(path.parent, folder)
    obj = documents.read_one(path, Reason.DATASET_INVALID, "DatasetVersion")
    require_ours(obj, path, Reason.DATASET_INVALID)
    others = [other for other in documents.read_all(path, Reason.DATASET_INVALID) if other != obj]
    dataset = datasets.parse(obj)
    said = attest_first.read(arguments, dataset)
    _second(dataset, said)
    cluster = _cluster(arguments, dataset.namespace)
    signing = Signing.prepare(arguments)
    signing.require_new([a.bundle for a in dataset.attestations if a.bundle])
    parameters = Parameters(dataset.integrity.profile, dataset.integrity.chunk_bytes)
    with replacing(path) as file:
        summary = _hash(arguments, parameters, None)
        if summary.root != dataset.integrity.root or summary.manifest != said.subject:
            problem = f"{folder} has root {summary.root}, not {dataset.integrity.root}"
            raise RefusedError(Reason.CONTENT_DIFFERS, problem)
        names, statement = _second(dataset, said)
        bundle, evidence = signing.sign(statement)
        signing.require_new([a.bundle for a in dataset.attestations if a.bundle], evidence)
        changed = copy.deepcopy(obj)
        changed["spec"]["attestations"].append({"bundle": bundle.decode()})
        datasets.parse(changed)
        file.write(documents.dump_like(path, [*others, changed]))
    _apply(cluster, [changed], [path])
    _report(arguments, names, summary, evidence, [path])
    return exits.OK


def _checked(arguments: argparse.Namespace) -> _Asked:
    """Everything that can be refused before hashing: names, volumes and provenance."""
    folder = _folder(arguments)
    name = arguments.name or draft.object_name(arguments.dataset, arguments.version)
    names = Names(arguments.dataset, arguments.version, arguments.namespace, name)
    volumes = attest_arguments.volumes(arguments)
    datasets.parse(draft.dataset_version(names, draft.UNHASHED, volumes, b"{}"))
    given = documents.read_one(arguments.provenance, Reason.PROVENANCE_INVALID) if arguments.provenance else {}
    previous = inheritance.inherited(_earlier(arguments.from_previous)) if arguments.from_previous else {}
    flags = attest_arguments.flags(arguments)
    description = draft.described(given, names, flags, previous)
    _say_taken_over(arguments.from_previous, inheritance.taken_over(previous, given, flags))
    producer = {"tool": "lineward", "version": __version__, "environment": surroundings.describe(folder)}
    now = datetime.now(UTC)
    made = draft.predicate(description, _LARGEST, producer, now)
    draft.statement(made, names, draft.UNHASHED.manifest)
    said = draft.check(made)
    mistakes.require_usable(said, now)
    _warn(mistakes.doubtful(said, now), description, volumes, strict=arguments.strict)
    return _Asked(names, volumes, description, producer)


def _folder(arguments: argparse.Namespace) -> Path:
    folder = Path(arguments.folder)
    if not folder.is_dir():
        raise LinewardError(Reason.UNREADABLE, f"{folder} is no folder that can be read")
    return folder


def _say_taken_over(path: str | None, taken: Sequence[str]) -> None:
    """Name what is signed anew on the word of an earlier version, whose signature nobody checked here."""
    if taken:
        said = f"taken over from {path}, whose signature was not checked: {', '.join(taken)}"
        print(f"lineward: {clean(said)}", file=sys.stderr)


def _earlier(path: str) -> Mapping[str, Any]:
    """What an earlier version says, whoever signed it."""
    there = documents.read_all(path, Reason.PROVENANCE_INVALID)
    kind = "DatasetVersion" if any(obj.get("kind") == "DatasetVersion" for obj in there) else ""
    found = documents.read_one(path, Reason.PROVENANCE_INVALID, kind)
    if kind:
        require_ours(found, Path(path), Reason.PROVENANCE_INVALID)
        bundles = [attestation.bundle for attestation in datasets.parse(found).attestations if attestation.bundle]
    else:
        bundles = [Path(path).read_bytes()]
    if not bundles:
        raise InvalidInputError(Reason.PROVENANCE_INVALID, f"{path} has no bundle to take provenance from")
    predicate = unverified_statement(bundles[0]).predicate
    try:
        draft.check(predicate)
    except InvalidInputError as error:
        raise InvalidInputError(error.reason, f"nothing can be taken from {path}: {error.message}"[:300]) from error
    return predicate


def _second(dataset: DatasetVersion, said: Statement) -> tuple[Names, bytes]:
    """The statement of a second signer: what the first one says, at a time of its own.

    Raises InvalidInputError where it could not be signed, or could not be added.
    """
    if len(dataset.attestations) >= MAX_ATTESTATIONS:
        problem = f"{dataset.name} has {len(dataset.attestations)} attestations; no more are verified"
        raise InvalidInputError(Reason.DATASET_INVALID, problem)
    names = Names(dataset.dataset, dataset.version, dataset.namespace, dataset.name)
    made = {**said.predicate, "createdAt": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    draft.check(made)
    return names, draft.statement(made, names, said.subject)


def _warn(
    doubts: Sequence[str], description: Mapping[str, Any], volumes: Sequence[Mapping[str, Any]], *, strict: bool
) -> None:
    """Say what makes the evidence weak; with `strict` refuse where it is the provenance."""
    gaps = draft.missing(description)
    problems = [*([f"the provenance does not say {', '.join(gaps)}"] if gaps else []), *doubts]
    if problems and strict:
        raise MistakesError(Reason.PROVENANCE_INVALID, problems)
    if not volumes:
        problems.append("no volume is named (--pvc CLAIM), so no pod will be matched to this version")
    if any("subPath" in volume.get("persistentVolumeClaim", {}) for volume in volumes):
        problems.append("pods that mount data by subPath are refused for now (SubPathNotSupported)")
    if any("csi" in volume or "fetched" in volume for volume in volumes):
        problems.append("volumes of --csi and --fetched are recorded, but no pod is matched by them for now")
    for problem in problems:
        print(f"lineward: {clean(problem)}", file=sys.stderr)


def _hash(
    arguments: argparse.Namespace,
    parameters: Parameters,
    out: BinaryIO | None,
    also: Callable[[], None] | None = None,
) -> Summary:
    try:
        return create_manifest(
            Path(arguments.folder),
            parameters,
            out=out,
            progress=progress_to(arguments.progress),
            workers=arguments.workers,
            also=also,
        )
    finally:
        end_progress(arguments.progress)


def _cluster(arguments: argparse.Namespace, namespace: str) -> Cluster | None:
    """The cluster to apply to, where the objects may be written; None without --apply."""
    if not arguments.apply:
        return None
    from lineward.adapters.kube import Cluster  # noqa: PLC0415 - a slow import that few need

    cluster = Cluster(arguments.context)
    cluster.require_may_apply(namespace)
    return cluster


def _apply(cluster: Cluster | None, objects: Sequence[Mapping[str, Any]], files: Sequence[Path]) -> None:
    if cluster is None:
        return
    try:
        cluster.apply(objects)
    except LinewardError as error:
        problem = f"written to {files[0].parent} but not applied: {error.message}"
        raise LinewardError(error.reason, problem[:500]) from error
    for obj in objects:
        print(f"lineward: applied {obj['kind']} {obj['metadata']['name']}", file=sys.stderr)


def _report(
    arguments: argparse.Namespace, names: Names, summary: Summary, evidence: Evidence, files: Sequence[Path]
) -> None:
    signed = f"{evidence.signed_at:%Y-%m-%dT%H:%M:%SZ}" if evidence.signed_at else ""
    value = {
        "name": names.name,
        "namespace": names.namespace,
        "dataset": names.dataset,
        "version": names.version,
        "integrity": draft.integrity(summary),
        "signer": str(evidence.signer),
        "signedAt": signed or None,
        "written": [str(path) for path in files],
    }
    rows = [
        ("dataset", f"{names.dataset} {names.version}"),
        ("root", str(summary.root)),
        ("files", f"{summary.files} ({size_text(summary.bytes)})"),
        ("signer", str(evidence.signer)),
        ("signed", signed or "without a trusted time: the TrustRoot must give this key a notAfter"),
        *((("written" if not i else ""), str(path)) for i, path in enumerate(files)),
    ]
    if summary.manifest_bytes > draft.MAX_CONFIG_MAP:
        rows.append(("note", f"the manifest ({size_text(summary.manifest_bytes)}) is too large for a ConfigMap"))
    objects = [f"-f {path}" for path in files if path.suffix not in {".lwm", ".sigstore", ".sig"}]
    rows.append(("next", " ".join(["kubectl apply --server-side", *objects])))
    show(value, rows, arguments.output)
