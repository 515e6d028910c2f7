"""Make the manifest of a folder, or compare a folder with a signed root: the two things Lineward does with bytes.

Everything is imported quickly and needs neither network, nor a writable disk, nor any privilege but reading the data.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from lineward.adapters.files_engine import Engine, Progress
from lineward.adapters.files_tree import Tree, TreeError
from lineward.domain.changes import Change, ChangeKind, Changes, compare
from lineward.domain.digest import Digest
from lineward.domain.errors import InvalidInputError, LinewardError
from lineward.domain.manifest import Page, Parameters, Summary
from lineward.domain.manifest_reader import ManifestReader
from lineward.domain.manifest_writer import ManifestWriter
from lineward.domain.reasons import Reason

ProgressCallback = Callable[[Progress], None]
MAX_NAMES = 20

DEFINITE = {Reason.SPECIAL_FILE, Reason.EMPTY_DIRECTORY, Reason.EMPTY_DATASET}
"""What no signed set of the profile can hold, so that its presence is a difference and not a doubt."""


class Outcome(StrEnum):
    """What a comparison found."""

    EQUAL = "equal"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A folder against a root. `files` and `bytes` are what was hashed, `seconds` how long it took.

    `observed` is None where the folder has no root (see `reason`). `changes` are the first differing entries and
    `counts` all of them by kind; both are empty unless a manifest was at hand and trusted, else `note` says why not.
    """

    outcome: Outcome
    reason: Reason
    message: str
    observed: Digest | None
    files: int
    bytes: int
    seconds: float
    changes: tuple[Change, ...] = ()
    counts: Mapping[ChangeKind, int] = field(default_factory=dict)
    note: str = ""


def create_manifest(
    path: str | os.PathLike[str],
    parameters: Parameters | None = None,
    *,
    out: BinaryIO | None = None,
    progress: ProgressCallback | None = None,
    workers: int | None = None,
) -> Summary:
    """Hash everything below `path` and write its manifest to `out`.

    Raises LinewardError with a reason: EmptyDataset, Unreadable, SpecialFile, EmptyDirectory, MountPoint, TreeTooDeep,
    ChangedWhileRead, EngineFault. What was written to `out` until then is no manifest: the caller drops it.
    """
    parameters = parameters or Parameters()
    writer = ManifestWriter(parameters, out.write if out else None)
    tree = Tree(Path(path), parameters.profile)
    with Engine(parameters, workers, progress) as engine:
        for part in engine.hash(tree):
            writer.extend(part.blob, part.lengths, part.files, part.bytes)
    if not writer.totals.entries:
        raise TreeError(Reason.EMPTY_DATASET, b"", "holds no file")
    return writer.finish()


def verify_tree(  # noqa: PLR0913 - what a caller may know about the signed set
    path: str | os.PathLike[str],
    root: Digest,
    parameters: Parameters | None = None,
    *,
    manifest: BinaryIO | None = None,
    manifest_digest: Digest | None = None,
    max_names: int = MAX_NAMES,
    progress: ProgressCallback | None = None,
    workers: int | None = None,
) -> Comparison:
    """Hash everything below `path` and compare it with the signed `root`; never raises for what the folder holds.

    The verdict depends on the root alone. A manifest only names what differs, and is believed only if its bytes have
    `manifest_digest`, or, where that is None, if its entries have `root`.
    """
    parameters = parameters or Parameters()
    observation = _Observation(parameters, Tree(Path(path), parameters.profile))
    names = Changes(max_names)
    note = "no manifest at hand, so what differs has no name"
    with Engine(parameters, workers, progress) as engine:
        try:
            if manifest:
                note = _name_changes(
                    manifest, root, manifest_digest, observation=observation, engine=engine, names=names
                )
            observation.drain(engine)
            observed = observation.root()
        except LinewardError as error:
            return _not_hashed(error, observation, engine.seconds)
        seconds = engine.seconds
    totals = observation.writer.totals
    if observed == root:
        return Comparison(Outcome.EQUAL, Reason.VERIFIED, "equal", observed, totals.files, totals.size, seconds)
    found = () if note else tuple(names.first)
    message = "; ".join(map(str, found[:3])) or f"the folder has root {observed}"
    return Comparison(
        Outcome.DIFFERS,
        Reason.CONTENT_DIFFERS,
        message,
        observed,
        totals.files,
        totals.size,
        seconds,
        found,
        {} if note else dict(names.counts),
        note,
    )


class _Observation:
    """The folder's own manifest, page by page as it is being hashed; not stored."""

    def __init__(self, parameters: Parameters, tree: Tree) -> None:
        self._waiting: list[Page] = []
        self.writer = ManifestWriter(parameters, None, self._waiting.append)
        self._tree = tree
        self._pages: Iterator[Page] | None = None
        self._root: Digest | None = None

    def pages(self, engine: Engine) -> Iterator[Page]:
        """The pages in order; one pass, which further calls go on with."""
        if self._pages is None:
            self._pages = self._hash(engine)
        return self._pages

    def _hash(self, engine: Engine) -> Iterator[Page]:
        for part in engine.hash(self._tree):
            self.writer.extend(part.blob, part.lengths, part.files, part.bytes)
            yield from self._waiting
            self._waiting.clear()
        if not self.writer.totals.entries:
            raise TreeError(Reason.EMPTY_DATASET, b"", "holds no file")
        self._root = self.writer.finish().root
        yield from self._waiting

    def drain(self, engine: Engine) -> None:
        """Hash what has not been yet."""
        for _ in self.pages(engine):
            pass

    def root(self) -> Digest:
        """The folder's root; raises TreeError(Unreadable) where hashing it came to no end."""
        if self._root is None:
            raise TreeError(Reason.UNREADABLE, b"", "could not be read to its end")
        return self._root


def _name_changes(  # noqa: PLR0913 - a step of verify_tree
    manifest: BinaryIO,
    root: Digest,
    digest: Digest | None,
    *,
    observation: _Observation,
    engine: Engine,
    names: Changes,
) -> str:
    """Compare with the manifest; returns why its names must not be used, empty if they may."""
    try:
        reader = ManifestReader(manifest)
        if reader.parameters != observation.writer.parameters:
            return "the manifest was made with other parameters, so what differs has no name"
        for change in compare(reader.pages(), observation.pages(engine)):
            names.add(change)
    except (InvalidInputError, OSError) as error:
        return f"the manifest cannot be used, so what differs has no name: {error}"
    summary = reader.summary
    trusted = summary and (summary.manifest == digest if digest else summary.root == root)
    return "" if trusted else "the manifest is not the signed one, so what differs has no name"


def _not_hashed(error: LinewardError, observation: _Observation, seconds: float) -> Comparison:
    outcome = Outcome.DIFFERS if error.reason in DEFINITE else Outcome.UNKNOWN
    totals = observation.writer.totals
    return Comparison(outcome, error.reason, error.message, None, totals.files, totals.size, seconds)
