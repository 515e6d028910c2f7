"""Make the manifest of a folder, or compare a folder with a signed root: the two things Lineward does with bytes.

Everything is imported quickly and needs neither network, nor a writable disk, nor any privilege but reading the data.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lineward.adapters.files_compare import MAX_NAMES, Comparison, Outcome, ProgressCallback, prove_path, verify_tree
from lineward.adapters.files_engine import Engine
from lineward.adapters.files_state import State
from lineward.adapters.files_tree import Tree, TreeError
from lineward.domain.manifest import Parameters, Summary
from lineward.domain.manifest_writer import ManifestWriter
from lineward.domain.reasons import Reason

if TYPE_CHECKING:
    from lineward.adapters.files_recall import Recall

__all__ = [
    "MAX_NAMES",
    "Comparison",
    "Outcome",
    "ProgressCallback",
    "TreeError",
    "create_manifest",
    "prove_path",
    "verify_tree",
]


def create_manifest(  # noqa: PLR0913 - how to go about it
    path: str | os.PathLike[str],
    parameters: Parameters | None = None,
    *,
    out: BinaryIO | None = None,
    progress: ProgressCallback | None = None,
    workers: int | None = None,
    recall: Recall | None = None,
    settle: bool = True,
    also: Callable[[], None] | None = None,
) -> Summary:
    """Hash everything below `path` and write its manifest to `out`.

    Raises LinewardError with a reason: EmptyDataset, Unreadable, SpecialFile, EmptyDirectory, MountPoint, TreeTooDeep,
    ChangedWhileRead, EngineFault. What was written to `out` until then is no manifest: the caller drops it.

    `recall` supplies digests of unchanged files from an earlier run. With `settle` everything is looked at once more at
    the end, without reading it, so that the manifest describes one state of the folder and not a mixture,
    as far as times tell: writes through a mapping need not change them. `also` is called before that look, so that what
    it reads of the folder is of the same state.
    """
    parameters = parameters or Parameters()
    writer = ManifestWriter(parameters, out.write if out else None)
    tree = Tree(Path(path), parameters.profile)
    with Engine(parameters, workers, progress, recall, state=State() if settle else None) as engine:
        for part in engine.hash(tree):
            writer.extend(part.blob, part.lengths, part.files, part.bytes)
        if also:
            also()
        if settle:
            engine.settle(tree)
    if not writer.totals.entries:
        raise TreeError(Reason.EMPTY_DATASET, b"", "holds no file")
    return writer.finish()
