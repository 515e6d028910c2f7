"""Commands that read a folder: create and verify."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from lineward.adapters.files import Comparison, Outcome, create_manifest, verify_tree
from lineward.adapters.files_engine import Engine
from lineward.cli import exits
from lineward.cli.output import manifest_output
from lineward.cli.terminal import duration_text, end_progress, progress_to, show, size_text
from lineward.domain.assurance import Assurance
from lineward.domain.digest import Digest
from lineward.domain.entry import printable
from lineward.domain.errors import InvalidInputError
from lineward.domain.manifest import DEFAULT_CHUNK_BYTES, Parameters, Profile, Summary
from lineward.domain.manifest_reader import ManifestReader
from lineward.domain.reasons import Reason

if TYPE_CHECKING:
    from lineward.adapters.files_recall import Journal
    from lineward.adapters.files_sample import Sampling
    from lineward.domain.changes import Change

_EXITS = {Outcome.EQUAL: exits.OK, Outcome.DIFFERS: exits.DIFFERS, Outcome.UNKNOWN: exits.UNKNOWN}


def create(arguments: argparse.Namespace) -> int:
    """Write a manifest or a shard; 0, or 2 with a reason and nothing written."""
    parameters = _parameters(arguments)
    if arguments.shard:
        return _create_shard(arguments, parameters)
    started = time.monotonic()
    with manifest_output(arguments) as out, _recall(arguments, parameters) as recall:
        summary = create_manifest(
            arguments.folder,
            parameters,
            out=out,
            progress=progress_to(arguments.progress),
            workers=arguments.workers,
            recall=recall,
        )
        _finished(arguments, recall)
    end_progress(arguments.progress)
    seconds = time.monotonic() - started
    assurance = Assurance.CACHED if recall and recall.used else Assurance.FULL
    show(
        summary_value(summary) | {"seconds": round(seconds, 3), "assurance": str(assurance)},
        [*summary_rows(summary), ("time", duration_text(seconds)), ("assurance", str(assurance))],
        arguments.output,
        sys.stderr if arguments.out == "-" else sys.stdout,
    )
    return exits.OK


def _create_shard(arguments: argparse.Namespace, parameters: Parameters) -> int:
    if not arguments.out or arguments.journal or arguments.cache:
        arguments.parser.error("--shard needs --out, and takes neither --journal nor --cache")
    from lineward.adapters.files_shard import Shard, create_shard  # noqa: PLC0415 - start-up is not to pay for it

    try:
        part = Shard(*arguments.shard)
    except InvalidInputError as error:
        arguments.parser.error(error.message)
        raise
    with (
        manifest_output(arguments) as out,
        Engine(parameters, arguments.workers, progress_to(arguments.progress)) as engine,
    ):
        files, size = create_shard(Path(arguments.folder), part, cast("BinaryIO", out), engine)
    end_progress(arguments.progress)
    shard = f"{part.number}/{part.count}"
    show(
        {"root": None, "shard": shard, "files": files, "bytes": size},
        [("shard", shard), ("files", str(files)), ("bytes", f"{size} ({size_text(size)})")],
        arguments.output,
        sys.stderr if arguments.out == "-" else sys.stdout,
    )
    return exits.OK


def verify(arguments: argparse.Namespace) -> int:
    """Compare; 0 equal, 1 differs, 2 could not tell."""
    if not arguments.root and not arguments.manifest:
        arguments.parser.error("give --root, --manifest, or both")
    if arguments.manifest_digest and not arguments.manifest:
        arguments.parser.error("--manifest-digest says what the file given by --manifest must be")
    signed = _signed(arguments) if arguments.manifest else None
    if signed and arguments.manifest_digest and not arguments.root and signed.manifest != arguments.manifest_digest:
        raise InvalidInputError(Reason.MANIFEST_INVALID, f"the manifest has digest {signed.manifest}")
    root: Digest | None = arguments.root or (signed.root if signed else None)
    if root is None:
        raise InvalidInputError(Reason.MANIFEST_INVALID, "the manifest has no root")
    trusted = signed if signed and signed.root == root else None
    parameters = _parameters(arguments, trusted)
    with contextlib.ExitStack() as stack:
        recall = stack.enter_context(_recall(arguments, parameters))
        comparison = verify_tree(
            arguments.folder,
            root,
            parameters,
            manifest=stack.enter_context(Path(arguments.manifest).open("rb")) if signed else None,
            manifest_digest=arguments.manifest_digest,
            directory=arguments.directory or b"",
            recall=recall,
            sample=arguments.sample or 0,
            expected=(trusted.files, trusted.bytes) if trusted and not arguments.directory else (0, 0),
            max_names=arguments.max_names,
            progress=progress_to(arguments.progress),
            workers=arguments.workers,
        )
        if not trusted:
            comparison = _assumed(comparison, arguments)
        if comparison.outcome is not Outcome.UNKNOWN:
            _finished(arguments, recall)
    end_progress(arguments.progress)
    show(comparison_value(comparison, root), comparison_rows(comparison, root), arguments.output)
    return _EXITS[comparison.outcome]


def _assumed(found: Comparison, arguments: argparse.Namespace) -> Comparison:
    """A root does not say its parameters: what the default profile refuses may well have been signed."""
    defaults = (("--profile", arguments.profile, "portable"), ("--chunk-size", arguments.chunk_size, "8MiB"))
    assumed = [f"{option} {default}" for option, given, default in defaults if not given]
    if found.outcome is Outcome.EQUAL or not assumed:
        return found
    refused = not arguments.profile and found.reason in {Reason.SPECIAL_FILE, Reason.EMPTY_DIRECTORY}
    note = f"{found.note}; " * bool(found.note)
    note += f"{' and '.join(assumed)} assumed: give what was signed, or the signed --manifest"
    return found._replace(outcome=Outcome.UNKNOWN if refused else found.outcome, note=note)


def summary_value(summary: Summary) -> dict[str, Any]:
    """A summary as JSON: what a DatasetVersion's `integrity` says, and how big the manifest is."""
    return {
        "root": str(summary.root),
        "files": summary.files,
        "bytes": summary.bytes,
        "profile": str(summary.parameters.profile),
        "chunkBytes": summary.parameters.chunk_bytes,
        "manifest": {"digest": str(summary.manifest), "size": summary.manifest_bytes},
    }


def summary_rows(summary: Summary) -> list[tuple[str, str]]:
    """A summary for people."""
    return [
        ("root", str(summary.root)),
        ("files", str(summary.files)),
        ("bytes", f"{summary.bytes} ({size_text(summary.bytes)})"),
        ("profile", str(summary.parameters.profile)),
        ("chunks", size_text(summary.parameters.chunk_bytes)),
        ("manifest", f"{summary.manifest} ({size_text(summary.manifest_bytes)})"),
    ]


def change_value(change: Change) -> dict[str, str]:
    """A change as JSON; the path is escaped as for people, so that any bytes fit."""
    return {"kind": str(change.kind), "path": printable(change.path)}


def comparison_value(comparison: Comparison, root: Digest) -> dict[str, Any]:
    """A comparison as JSON."""
    return {
        "outcome": str(comparison.outcome),
        "reason": str(comparison.reason),
        "message": comparison.message,
        "assurance": str(comparison.assurance),
        "expected": str(root),
        "root": str(comparison.observed) if comparison.observed else None,
        "files": comparison.files,
        "bytes": comparison.bytes,
        "seconds": round(comparison.seconds, 3),
        "changes": [change_value(change) for change in comparison.changes],
        "counts": {str(kind): count for kind, count in comparison.counts.items()},
        "note": comparison.note,
    } | _sampling_value(comparison.sampling)


def _sampling_value(sampling: Sampling | None) -> dict[str, Any]:
    if not sampling:
        return {}
    detection = {str(n): round(sampling.detection(n), 4) for n in _altered(sampling)}
    return {"sampling": {"read": sampling.read, "files": sampling.files, "detectionByAlteredFiles": detection}}


def _altered(sampling: Sampling) -> list[int]:
    """Numbers of altered files to state the odds for: one, a thousandth, a hundredth, a tenth."""
    return sorted({1, *(max(1, sampling.files // share) for share in (1000, 100, 10))})


def comparison_rows(comparison: Comparison, root: Digest) -> list[tuple[str, str]]:
    """A comparison for people."""
    rows = [("outcome", str(comparison.outcome).upper()), ("expected", str(root))]
    if comparison.observed:
        rows.append(("observed", str(comparison.observed)))
    if comparison.outcome is not Outcome.EQUAL:
        rows.append(("reason", f"{comparison.reason}: {comparison.message}"))
        rows.append(("next step", comparison.reason.next_step))
    rows += [("files", str(comparison.files)), ("bytes", f"{comparison.bytes} ({size_text(comparison.bytes)})")]
    rows += [("time", duration_text(comparison.seconds)), ("assurance", str(comparison.assurance))]
    if sampling := comparison.sampling:
        odds = (f"{sampling.detection(n):.2%} if {n} altered" for n in _altered(sampling))
        rows.append(("detection", ", ".join(odds)))
    if comparison.counts:
        rows.append(("changes", ", ".join(f"{count} {kind}" for kind, count in comparison.counts.items())))
        rows += [("", str(change)) for change in comparison.changes]
    if comparison.outcome is not Outcome.EQUAL and comparison.note:
        rows.append(("note", comparison.note))
    return rows


def _signed(arguments: argparse.Namespace) -> Summary | None:
    """What the manifest says of itself, wholly checked; None where it is broken but a root was given."""
    try:
        with Path(arguments.manifest).open("rb") as file:
            reader = ManifestReader(file)
            for _ in reader.pages():
                pass
    except OSError as error:
        raise InvalidInputError(Reason.MANIFEST_INVALID, f"{arguments.manifest}: {error.strerror}") from error
    except InvalidInputError:
        if not arguments.root:
            raise
        return None
    return reader.summary


def _parameters(arguments: argparse.Namespace, signed: Summary | None = None) -> Parameters:
    base = signed.parameters if signed else Parameters()
    profile = Profile(arguments.profile) if arguments.profile else base.profile
    chunk_bytes = arguments.chunk_size or (base.chunk_bytes if signed else DEFAULT_CHUNK_BYTES)
    return Parameters(profile, chunk_bytes)


@contextlib.contextmanager
def _recall(arguments: argparse.Namespace, parameters: Parameters) -> Iterator[Journal | None]:
    """The journal or cache, which stays for another try unless the run is `_finished`."""
    name = arguments.journal or arguments.cache
    if not name:
        yield None
        return
    if Path(name).resolve().is_relative_to(Path(arguments.folder).resolve()):
        arguments.parser.error("the journal or cache cannot lie inside the folder")
    taken = {Path(other).resolve() for option in ("manifest", "out") if (other := vars(arguments).get(option))}
    if not taken.isdisjoint({Path(name).resolve(), Path(f"{name}.partial").resolve()}):
        arguments.parser.error("the journal or cache, and FILE.partial beside it, cannot be the manifest")
    from lineward.adapters.files_recall import Journal  # noqa: PLC0415 - start-up is not to pay for it

    with Journal(Path(name), Path(arguments.folder), parameters, keeps=bool(arguments.journal)) as journal:
        yield journal


def _finished(arguments: argparse.Namespace, recall: Journal | None) -> None:
    """A cache serves the next run; a journal has done its duty."""
    if recall:
        recall.complete()
    if arguments.journal:
        Path(arguments.journal).unlink()
