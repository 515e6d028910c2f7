"""What is called full was read whole in this run; a cache believes only times that tell of every change."""

import os
import shutil
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineward.adapters import files_batch
from lineward.adapters.files import create_manifest, verify_tree
from lineward.adapters.files_engine import Engine
from lineward.adapters.files_recall import Journal
from lineward.adapters.files_sample import Sample
from lineward.adapters.files_tree import Tree
from lineward.domain.assurance import Assurance
from lineward.domain.entry import Entry, Kind
from lineward.domain.manifest import Page, Parameters, Profile

SMALL = Parameters(Profile.PORTABLE, 4096)
SECOND = 1_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    for i in range(100):
        path = folder / f"{i % 5}" / f"{i:03}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(i * 100))
    return folder


def recalled(folder: Path, journal: Path, after: float) -> int:
    """How many files were known, of a run so many seconds after the folder was written."""
    now = time.time_ns() + round(after * SECOND)
    with Journal(journal, folder, SMALL, lambda: now) as known, Engine(SMALL, 2, recall=known) as engine:
        for _ in engine.hash(Tree(folder, SMALL.profile)):
            pass
        known.complete()
    return engine.recalled_files


@pytest.mark.parametrize(("after", "known"), [(0, 0), (1.5, 0), (60, 100)])
def test_what_changed_just_before_a_run_is_not_taken_for_unchanged(
    folder: Path, tmp_path: Path, after: float, known: int
) -> None:
    """A second write within one tick of the clock leaves size and times as they were."""
    recalled(folder, tmp_path / "cache", after)
    assert recalled(folder, tmp_path / "cache", 60) == known


@pytest.mark.parametrize("way", [Assurance.SAMPLED, Assurance.CACHED])
@pytest.mark.parametrize("case", ["link", "pipe", "deep", "nothing"])
def test_no_answer_of_a_sample_or_cache_is_called_full(folder: Path, tmp_path: Path, case: str, way: Assurance) -> None:
    """Also where the folder has no root."""
    path = tmp_path / "manifest"
    with path.open("wb") as out:
        summary = create_manifest(folder, SMALL, out=out)
    recalled(folder, tmp_path / "cache", 60)
    if case == "link":
        (folder / "zzz").symlink_to("0")
    elif case == "pipe":
        os.mkfifo(folder / "zzz")
    elif case == "deep":
        os.makedirs(folder / "zzz" / "/".join(["d"] * 600))  # noqa: PTH103 - Path.mkdir would recurse
    else:
        for part in "01234":
            shutil.rmtree(folder / part)
    with path.open("rb") as manifest, Journal(tmp_path / "cache", folder, SMALL) as cache:
        if way is Assurance.CACHED:
            found = verify_tree(folder, summary.root, SMALL, manifest=manifest, recall=cache)
        else:
            found = verify_tree(folder, summary.root, SMALL, manifest=manifest, sample=1)
    assert found.observed is None
    assert found.assurance is way


def test_a_sample_takes_no_memory_for_what_it_draws() -> None:
    entry = Entry(Kind.FILE, b"a", 0, bytes(32))
    page = Page(entry.encode() * 1000, 1000, b"")

    def pages() -> Iterator[Page]:
        return (page for _ in range(2))

    drawn = sum(drawn for _, drawn in Sample(pages, 2000, 300)._entries)
    assert drawn in {299, 300}  # the first was taken to see whether there is one
    tracemalloc.start()
    Sample(pages, 10_000_000, 1_000_000)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_the_first_batch_that_is_hashed_is_hashed_twice(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a cache knew all of those before: each run is confirmed by the other implementation."""
    monkeypatch.setattr(files_batch, "BATCH_FILES", 10)
    recalled(folder, tmp_path / "cache", 60)
    (folder / "4" / "999").write_bytes(b"new")
    twice: list[bytes] = []
    real = Engine._hash_one

    def hash_one(self: Engine, hash_files: object, batch: files_batch.Batch, index: int) -> bytes:
        twice.append(batch.path(index))
        return real(self, hash_files, batch, index)  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "_hash_one", hash_one)
    monkeypatch.setattr("lineward.adapters.files_engine.below", lambda count: min(1, count - 1))
    assert recalled(folder, tmp_path / "cache", 60) == 100
    assert twice == [b"4/999"]
