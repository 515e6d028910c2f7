"""A folder that changes at a chosen point of a run: no root of a mixture, whatever is read, and however.

The engine is held between two files, two listings or two tasks of large files, and somebody makes two changes. Each
leaves a state behind, whose root is computed while nothing moves; no other root may come out.
"""

import io
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from lineward import native
from lineward.adapters import files_batch
from lineward.adapters.files import Outcome, create_manifest, verify_tree
from lineward.adapters.files_engine import Engine
from lineward.adapters.files_merge import merge_shards
from lineward.adapters.files_recall import Journal
from lineward.adapters.files_shard import Shard, create_shard
from lineward.domain.digest import Digest
from lineward.domain.errors import LinewardError
from lineward.domain.manifest import Parameters, Profile
from lineward.domain.reasons import Reason

SMALL = Parameters(Profile.PORTABLE, 4096)
LISTING, FILE, SPANS = "list_directory", "hash_files", "hash_spans"
POINTS = [
    *[(LISTING, number) for number in range(10)],
    *[(FILE, number) for number in range(0, 34, 6)],
    *[(SPANS, number) for number in range(4)],
    *[(LISTING, number) for number in range(10, 20, 3)],
    (LISTING, 100),
]
"""Where to stop: before which directory (10, and 10 in the second look), file or task; at last nowhere."""
TICK = 0.01
"""Longer than what the clock of a file system may take from one value to the next."""
Changes = Iterator[None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    for number in range(30):
        path = folder / f"{number % 7}" / f"{number:03}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]) * (number * 100))
    for name in ("0", "6"):
        (folder / name / "large").write_bytes(bytes(40_000))
        (folder / name / "sub").mkdir()
        (folder / name / "sub" / "file").write_bytes(b"f")
    return folder


class Held:
    """Stops the engine at one point of the next run and lets somebody make two changes there."""

    def __init__(self, folder: Path, changes: Changes, engine: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        self.states: set[Digest] = set()
        self._folder = folder
        self._changes = changes
        self._engine = engine
        self._point, self._left = "", 0
        for name in (LISTING, SPANS):
            monkeypatch.setattr(native, name, self._held(name))
        monkeypatch.setattr(native, FILE, self._hash_files)

    def at(self, point: tuple[str, int]) -> None:
        """Prepare for a run."""
        time.sleep(TICK)
        self.states = {self.quiet()}
        self._point, self._left = point

    def quiet(self) -> Digest:
        """The root while nothing moves."""
        self._point = ""
        return create_manifest(self._folder, SMALL, workers=1).root

    def _reached(self, point: str) -> None:
        if point != self._point:
            return
        if self._left:
            self._left -= 1
            return
        self._point = ""
        for _ in range(2):
            next(self._changes)
            self.states.add(self.quiet())

    def _held(self, name: str) -> Callable[..., object]:
        call = getattr(self._engine, name)

        def held(*arguments: object) -> object:
            self._reached(name)
            return call(*arguments)

        return held

    def _hash_files(
        self,
        groups: list[tuple[int, list[bytes]]],
        _cursor: bytearray,
        stats: bytearray,
        digests: bytearray,
        limit: int,
        mode: int,
    ) -> int:
        """File by file; with one worker nobody else takes any."""
        for at, (fd, name) in enumerate((fd, name) for fd, names in groups for name in names):
            self._reached(FILE)
            record, digest = bytearray(40), bytearray(32)
            self._engine.hash_files([(fd, [name])], bytearray(24), record, digest, limit, mode)
            stats[at * 40 : (at + 1) * 40], digests[at * 32 : (at + 1) * 32] = record, digest
        return 0


def write(folder: Path) -> Changes:
    number = 0
    while True:
        number += 1
        for name in ("0/000", "6/027"):
            (folder / name).write_bytes(b"%d" % number)
            yield


def overwrite_large(folder: Path) -> Changes:
    number = 0
    while True:
        number += 1
        for name in ("0/large", "6/large"):
            with (folder / name).open("r+b") as file:
                file.write(b"%05d" % number * 8_000)
            yield


def truncate(folder: Path) -> Changes:
    size = 2_600
    while True:
        size -= 1
        for name in ("0/028", "6/027"):
            os.truncate(folder / name, size)
            yield


def rename(folder: Path) -> Changes:
    here, there, beside = folder / "0/moving", folder / "6/moving", folder / "6/beside"
    here.write_bytes(b"m")
    while True:
        here.rename(there)
        yield
        beside.touch()
        yield
        there.rename(here)
        yield
        beside.unlink()
        yield


def replace_directories(folder: Path) -> Changes:
    """Another folder with the same names in it takes the place of each in turn."""
    others = folder.parent / "others"
    for name in ("0", "6"):
        (others / name).mkdir(parents=True)
        (others / name / "file").write_bytes(b"other")
    while True:
        for name in ("0", "6"):
            here, other = folder / name / "sub", others / name
            here.rename(others / "away")
            other.rename(here)
            (others / "away").rename(other)
            yield


KINDS = {each.__name__: each for each in (write, overwrite_large, truncate, rename, replace_directories)}


@pytest.fixture(params=KINDS)
def held(folder: Path, request: pytest.FixtureRequest, engine: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Held:
    monkeypatch.setattr(files_batch, "BATCH_DIRECTORIES", 1)  # so that no batch holds both files that change
    changes = KINDS[request.param](folder)
    for _ in range(2):
        next(changes)
    return Held(folder, changes, engine, monkeypatch)


def root_of(work: Callable[[], Digest], *reasons: Reason) -> Digest | None:
    """What comes out, or None where the change was noticed."""
    try:
        return work()
    except LinewardError as error:
        if error.reason not in {Reason.CHANGED_WHILE_READ, *reasons}:
            raise
        return None


def created(held: Held, folder: Path, *, settle: bool) -> Iterator[tuple[Digest | None, set[Digest]]]:
    for point in POINTS:
        held.at(point)
        yield root_of(lambda: create_manifest(folder, SMALL, workers=1, settle=settle).root), held.states


def test_no_mixture_has_a_root(held: Held, folder: Path) -> None:
    found = list(created(held, folder, settle=True))
    assert all(root is None or root in states for root, states in found)
    assert any(root is None for root, _ in found)
    assert found[-1][0]


def test_without_a_second_look_there_are_mixtures(held: Held, folder: Path) -> None:
    """So the test above can fail."""
    assert any(root and root not in states for root, states in created(held, folder, settle=False))


def test_shards_of_different_states_are_not_merged(held: Held, folder: Path) -> None:
    def whole() -> Digest:
        shards = [io.BytesIO(), io.BytesIO()]
        for number, out in enumerate(shards):
            with Engine(SMALL, 1) as engine:
                create_shard(folder, Shard(number, 2), out, engine)
        return merge_shards([partial(io.BytesIO, out.getvalue()) for out in shards], None).root

    found = []
    for point in [*((FILE, number) for number in range(0, 280, 14)), (SPANS, 0), (SPANS, 2), (LISTING, 100)]:
        held.at(point)  # each shard looks at every file three times and hashes its own
        found.append(root_of(whole, Reason.MANIFEST_INVALID))
        assert found[-1] is None or found[-1] in held.states
    assert None in found
    assert found[-1]


def test_verify_is_never_equal_to_what_was_not_there(held: Held, folder: Path) -> None:
    outcomes = []
    for point in POINTS[::2]:
        held.at(point)
        (before,) = held.states
        found = verify_tree(folder, before, SMALL, workers=1)
        outcomes.append(found.outcome)
        assert found.outcome is not Outcome.UNKNOWN or found.reason is Reason.CHANGED_WHILE_READ
        assert (found.outcome is Outcome.EQUAL) == (found.observed == before)
        assert found.observed is None or found.observed in held.states
    assert outcomes[0] is not Outcome.EQUAL  # changed before anything was read
    assert outcomes[-1] is Outcome.EQUAL  # never held


def test_verify_is_not_equal_to_a_mixture(folder: Path, engine: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both files that change have what was signed when they are read, but never at the same time."""
    monkeypatch.setattr(files_batch, "BATCH_DIRECTORIES", 1)
    changes = write(folder)
    for _ in range(4):
        next(changes)
    (folder / "6/027").write_bytes(b"3")
    mixture = create_manifest(folder, SMALL).root
    (folder / "6/027").write_bytes(b"2")
    held = Held(folder, changes, engine, monkeypatch)
    held.at((FILE, 20))
    found = verify_tree(folder, mixture, SMALL, workers=1)
    assert mixture not in held.states
    assert len(held.states) == 3
    assert (found.outcome, found.reason) == (Outcome.UNKNOWN, Reason.CHANGED_WHILE_READ)


@pytest.mark.parametrize("hours", [0, 1])
def test_verify_looks_again_only_where_something_changed_of_late(
    folder: Path, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    root, now, listings = create_manifest(folder, SMALL).root, time.time_ns() + hours * 3600 * 10**9, []
    listed = native.list_directory

    def counted(fd: int, after: bytes, room: int) -> tuple[bytes, bytes, bool]:
        listings.append(fd)
        return listed(fd, after, room)

    monkeypatch.setattr(native, LISTING, counted)
    monkeypatch.setattr(time, "time_ns", lambda: now)
    assert verify_tree(folder, root, SMALL).outcome is Outcome.EQUAL
    assert len(listings) == (10 if hours else 20)


def test_a_journal_holds_no_mixture(held: Held, folder: Path, tmp_path: Path) -> None:
    """What a run that was disturbed has noted is no reason for another root later, when nothing moves."""

    def journaled() -> Digest:
        with Journal(tmp_path / "journal", folder, SMALL) as journal:
            return create_manifest(folder, SMALL, workers=1, recall=journal).root

    for point in POINTS[::2]:
        held.at(point)
        root = root_of(journaled)
        assert root is None or root in held.states
        quiet = held.quiet()
        assert journaled() == quiet
