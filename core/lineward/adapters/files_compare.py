"""Compare a folder with a signed root, whole or a part of it, and name what differs where a manifest is at hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from lineward import native
from lineward.adapters.files_engine import Engine
from lineward.adapters.files_progress import Progress
from lineward.adapters.files_state import State
from lineward.adapters.files_tree import Tree, TreeError
from lineward.domain.assurance import Assurance
from lineward.domain.digest import Digest
from lineward.domain.errors import InvalidInputError, LinewardError
from lineward.domain.manifest import Page, Parameters
from lineward.domain.manifest_reader import ManifestReader
from lineward.domain.manifest_writer import Pager, Tally
from lineward.domain.reasons import Reason

if TYPE_CHECKING:
    from lineward.adapters.files_naming import Naming
    from lineward.adapters.files_recall import Recall
    from lineward.adapters.files_sample import Sample, Sampling
    from lineward.domain.changes import Change, ChangeKind
    from lineward.domain.proof import Proof, RangeCheck, RangeProof

ProgressCallback = Callable[[Progress], None]
MAX_NAMES = 20

DEFINITE = {Reason.SPECIAL_FILE, Reason.EMPTY_DIRECTORY, Reason.EMPTY_DATASET}
"""What no signed set of the profile can hold, so that its presence is a difference and not a doubt."""
NO_MANIFEST = "no manifest at hand, so what differs has no name"


class Outcome(StrEnum):
    """What a comparison found."""

    EQUAL = "equal"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


class Comparison(NamedTuple):
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
    counts: Mapping[ChangeKind, int] = MappingProxyType({})
    note: str = ""
    assurance: Assurance = Assurance.FULL
    sampling: Sampling | None = None


def verify_tree(  # noqa: PLR0913 - what a caller may know about the signed set
    path: str | os.PathLike[str],
    root: Digest,
    parameters: Parameters | None = None,
    *,
    manifest: BinaryIO | None = None,
    manifest_digest: Digest | None = None,
    directory: bytes = b"",
    proof: RangeProof | None = None,
    max_names: int = MAX_NAMES,
    progress: ProgressCallback | None = None,
    workers: int | None = None,
    recall: Recall | None = None,
    sample: int = 0,
    expected: tuple[int, int] = (0, 0),
) -> Comparison:
    """Hash everything below `path` and compare it with the signed `root`; never raises for what the folder holds.

    The verdict depends on the root alone. A manifest only names what differs, and is believed only if its bytes have
    `manifest_digest`, or, where that is None, if its entries have `root`.

    Where `path` is not the whole set but its `directory` (bytes, such as b"train/images", no slash at the end), what
    is not there is made up for by a range `proof`, or by one made from the manifest, which must then be seekable.

    With `recall` unchanged files keep their digest from an earlier run (assurance `cached`). With `sample` only that
    many random files are read and the outcome is never EQUAL, at best UNKNOWN with reason Sampled; the manifest must
    then be a file. `expected` files and bytes let progress tell the time left.
    """
    parameters = parameters or Parameters()
    if proof and not directory:
        directory = proof.directory
    try:
        check = _range_check(manifest, manifest_digest, directory, proof, root, parameters)
        drawn = _draw(manifest, manifest_digest, root, directory, sample) if sample else None
    except (LinewardError, OSError) as error:
        reason = error.reason if isinstance(error, LinewardError) else Reason.MANIFEST_INVALID
        message = error.message if isinstance(error, LinewardError) else str(error)
        assurance = Assurance.SAMPLED if sample else Assurance.FULL
        return Comparison(Outcome.UNKNOWN, reason, message, None, 0, 0, 0.0, assurance=assurance)
    prefix = directory + b"/" if directory else b""
    tree = Tree(Path(path), parameters.profile, prefix)
    observation = _Observation(parameters, tree, check, paged=manifest is not None)
    naming = _naming(manifest, root, manifest_digest, directory, max_names) if manifest else None
    with Engine(parameters, workers, progress, drawn or recall, state=State.of_late()) as engine:
        engine.expected = expected
        try:
            if naming:
                naming.run(observation.pages(engine), parameters)
            observation.drain(engine)
            engine.settle(tree)
        except LinewardError as error:
            return _qualified(_not_hashed(error, observation, engine.seconds), drawn, cached=recall is not None)
        found = _result(root, observation, naming, engine.seconds)
        return _qualified(found, drawn, cached=engine.recalled_files + engine.recalled_bytes > 0)


def prove_path(manifest: BinaryIO, path: bytes) -> Proof:
    """Prove what the manifest has at `path`: an entry, or everything below a directory. The file must be seekable.

    Raises InvalidInputError(ManifestInvalid, RequestInvalid) and OSError.
    """
    from lineward.domain.proving import prove  # noqa: PLC0415 - start-up is not to pay for it

    manifest.seek(0)
    reader = ManifestReader(manifest)
    for _ in reader.pages():
        pass

    def pages() -> Iterator[Page]:
        manifest.seek(0)
        return ManifestReader(manifest).pages()

    return prove(pages, reader.parameters, reader.totals, path)


def _range_check(  # noqa: PLR0913, PLR0917 - what a caller may know about the signed set
    manifest: BinaryIO | None,
    digest: Digest | None,
    directory: bytes,
    proof: RangeProof | None,
    root: Digest,
    parameters: Parameters,
) -> RangeCheck | None:
    if not directory:
        return None
    if not proof:
        if not manifest:
            raise InvalidInputError(Reason.PROOF_INVALID, "a part of a set needs a manifest or a range proof")
        proof = _proof_from(manifest, digest, root, directory)
    if proof.directory != directory:
        raise InvalidInputError(Reason.PROOF_INVALID, "the proof is about another directory")
    check = proof.check(root)
    if proof.parameters.leaf != parameters:
        raise InvalidInputError(Reason.PROOF_INVALID, "the signed set has another profile or chunk size")
    return check


def _proof_from(manifest: BinaryIO, digest: Digest | None, root: Digest, directory: bytes) -> RangeProof:
    from lineward.domain.proof import RangeProof  # noqa: PLC0415 - start-up is not to pay for it

    _check_signed(manifest, digest, root)
    proof = prove_path(manifest, directory)
    manifest.seek(0)
    if not isinstance(proof, RangeProof):
        raise InvalidInputError(Reason.PROOF_INVALID, "the signed set has a file where a folder was expected")
    return proof


def _check_signed(manifest: BinaryIO, digest: Digest | None, root: Digest) -> None:
    """Read all of a manifest; raises InvalidInputError(ManifestInvalid) where it is not the signed one."""
    manifest.seek(0)
    reader = ManifestReader(manifest)
    for _ in reader.pages():
        pass
    summary = reader.summary
    if not summary or (summary.manifest != digest if digest else summary.root != root):
        raise InvalidInputError(Reason.MANIFEST_INVALID, "the manifest is not the signed one")


def _draw(manifest: BinaryIO | None, digest: Digest | None, root: Digest, directory: bytes, count: int) -> Sample:
    """A sample of what a trusted manifest has below `directory`; raises InvalidInputError(ManifestInvalid)."""
    if not manifest:
        raise InvalidInputError(Reason.MANIFEST_INVALID, "a sample needs the signed manifest")
    from lineward.adapters.files_sample import Sample, count_files  # noqa: PLC0415 - start-up is not to pay for it
    from lineward.domain.changes import below  # noqa: PLC0415 - start-up is not to pay for it

    def pages(reader: ManifestReader) -> Iterator[Page]:
        return below(reader.pages(), directory) if directory else reader.pages()

    reader = ManifestReader(manifest)
    files = count_files(pages(reader))
    summary = reader.summary
    if not summary or (summary.manifest != digest if digest else summary.root != root):
        raise InvalidInputError(Reason.MANIFEST_INVALID, "a sample needs the signed manifest, and this is another")
    # Two readers go through it at a time: this one for the sample, the caller's for the names.
    content = Path(f"/proc/self/fd/{manifest.fileno()}").open("rb")  # noqa: SIM115 - lives as long as the sample
    manifest.seek(0)
    return Sample(lambda: pages(ManifestReader(content)), files, count)


def _qualified(found: Comparison, drawn: Sample | None, *, cached: bool) -> Comparison:
    if not drawn:
        return found._replace(assurance=Assurance.CACHED) if cached else found
    found = found._replace(assurance=Assurance.SAMPLED, sampling=drawn.sampling)
    if found.outcome is not Outcome.EQUAL:
        return found
    message = f"{drawn.sampling.read} of {drawn.sampling.files} files were read and have their signed content"
    return found._replace(outcome=Outcome.UNKNOWN, reason=Reason.SAMPLED, message=message)


class _Observation:
    """The folder's own manifest as it is being hashed; not stored."""

    def __init__(self, parameters: Parameters, tree: Tree, check: RangeCheck | None, *, paged: bool) -> None:
        """`paged`: somebody is to look at the pages."""
        self.tally = Tally(parameters)
        self._waiting: list[Page] = []
        self._pager = Pager(self._waiting.append) if paged else None
        self._tree = tree
        self._check = check
        self._pages: Iterator[Page] | None = None
        self.finished = False
        self.root: Digest | None = None
        """Root of the whole set; None where a directory of it has another number of entries."""

    def pages(self, engine: Engine) -> Iterator[Page]:
        """The pages in order; one pass, which further calls go on with."""
        if self._pages is None:
            self._pages = self._hash(engine)
        return self._pages

    def _hash(self, engine: Engine) -> Iterator[Page]:
        for part in engine.hash(self._tree):
            leaves = native.leaf_hashes(part.blob, part.lengths)
            self.tally.extend(leaves, part.files, part.bytes)
            if self._check:
                self._check.feed(leaves)
            if self._pager:
                self._pager.extend(part.blob, part.lengths, leaves)
                yield from self._waiting
                self._waiting.clear()
        if not self.tally.totals.entries:
            raise TreeError(Reason.EMPTY_DATASET, b"", "holds no file")
        root = self.tally.finish()
        self.root = self._check.root() if self._check else root
        self.finished = True
        if self._pager:
            self._pager.flush()
            yield from self._waiting

    def drain(self, engine: Engine) -> None:
        """Hash what has not been yet; raises TreeError(Unreadable) where that came to no end."""
        for _ in self.pages(engine):
            pass
        if not self.finished:
            raise TreeError(Reason.UNREADABLE, b"", "could not be read to its end")


def _naming(manifest: BinaryIO, root: Digest, digest: Digest | None, directory: bytes, max_names: int) -> Naming:
    from lineward.adapters.files_naming import Naming  # noqa: PLC0415 - start-up is not to pay for it

    return Naming(manifest, root, digest, directory, max_names)


def _result(root: Digest, observation: _Observation, naming: Naming | None, seconds: float) -> Comparison:
    totals, observed = observation.tally.totals, observation.root
    if observed == root:
        return Comparison(Outcome.EQUAL, Reason.VERIFIED, "equal", observed, totals.files, totals.size, seconds)
    note = naming.note if naming else NO_MANIFEST
    found = tuple(naming.changes.first) if naming and not note else ()
    counts = dict(naming.changes.counts) if naming and not note else {}
    message = "; ".join(map(str, found[:3]))
    if not message:
        message = f"the folder has root {observed}" if observed else "the folder has another number of entries"
    return Comparison(
        Outcome.DIFFERS,
        Reason.CONTENT_DIFFERS,
        message,
        observed,
        totals.files,
        totals.size,
        seconds,
        found,
        counts,
        note,
    )


def _not_hashed(error: LinewardError, observation: _Observation, seconds: float) -> Comparison:
    outcome = Outcome.DIFFERS if error.reason in DEFINITE else Outcome.UNKNOWN
    totals = observation.tally.totals
    return Comparison(outcome, error.reason, error.message, None, totals.files, totals.size, seconds)
