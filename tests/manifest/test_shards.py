"""However a folder is cut among workers, merging gives what one worker would have written."""

import io
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineward import native
from lineward.adapters import files_engine, files_shard, files_span
from lineward.adapters.files import create_manifest
from lineward.adapters.files_engine import Engine
from lineward.adapters.files_merge import merge_shards
from lineward.adapters.files_progress import Progress
from lineward.adapters.files_shard import Shard, create_shard
from lineward.adapters.files_tree import Run, Tree, TreeError
from lineward.domain.errors import InvalidInputError
from lineward.domain.manifest import Parameters, Profile, Summary
from lineward.domain.reasons import Reason

SMALL = Parameters(Profile.POSIX, 4096)


def merged(parts: list[io.BytesIO], out: BinaryIO | None) -> Summary:
    return merge_shards([partial(io.BytesIO, part.getvalue()) for part in parts], out)


def counted(folder: Path, count: int) -> tuple[list[io.BytesIO], int, int]:
    """All shards of a folder, and the files and bytes that they say they have."""
    outs, totals = [], (0, 0)
    for number in range(count):
        outs.append(io.BytesIO())
        with Engine(SMALL, 1) as engine:
            files, size = create_shard(folder, Shard(number, count), outs[-1], engine)
        totals = (totals[0] + files, totals[1] + size)
        outs[-1].seek(0)
    return outs, *totals


def shards(folder: Path, count: int) -> list[io.BytesIO]:
    return counted(folder, count)[0]


sizes = st.one_of(st.integers(0, 3), st.integers(4094, 4098), st.integers(0, 60_000))
names = st.sampled_from(["a", "b", "a/x", "a-b", "c/d/e", "c/d-", "z/1", "z/2", "z/3", "m"])


@given(
    files=st.dictionaries(names, sizes, min_size=1),
    count=st.integers(1, 9),
    random=st.randoms(),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_merged_shards_equal_one_run(
    files: dict[str, int], count: int, random: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("set")
    for name, size in files.items():
        target = folder / name
        if target.is_dir() or any((folder / p).is_file() for p in Path(name).parents if str(p) != "."):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(os.urandom(size))
    (folder / "link").symlink_to("a")
    whole, written = io.BytesIO(), io.BytesIO()
    summary = create_manifest(folder, SMALL, out=whole)
    parts, total_files, total_bytes = counted(folder, count)
    assert (total_files, total_bytes) == (summary.files, summary.bytes)
    random.shuffle(parts)  # type: ignore[attr-defined]
    assert merged(parts, written) == summary
    assert written.getvalue() == whole.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(10):
        (tmp_path / f"{i}").write_bytes(os.urandom(i * 7000))
    return tmp_path


def test_a_large_file_is_shared(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    (folder / "one").write_bytes(os.urandom(1_000_000))
    parts = shards(folder, 4)
    assert all(50 < len(part.getvalue()) < 4000 for part in parts)
    assert merged(parts, None) == create_manifest(folder, SMALL)


def test_merging_opens_one_shard_at_a_time(folder: Path) -> None:
    """There may be 4096 of them, and usually no more than 1024 descriptors."""
    opened: list[io.BytesIO] = []

    def one(data: bytes) -> io.BytesIO:
        assert all(each.closed for each in opened)
        opened.append(io.BytesIO(data))
        return opened[-1]

    openers = [partial(one, part.getvalue()) for part in shards(folder, 20)]
    assert merge_shards(openers, None) == create_manifest(folder, SMALL)
    assert all(each.closed for each in opened)
    swapped = iter([part.getvalue() for part in [*shards(folder, 1), *shards(folder, 2)]])
    with pytest.raises(InvalidInputError, match="changed while it was read"):
        merge_shards([lambda: io.BytesIO(next(swapped))], None)


def test_what_is_not_all_of_one_folder_is_refused(folder: Path) -> None:
    parts = shards(folder, 3)

    def fresh(*chosen: io.BytesIO) -> list[io.BytesIO]:
        return [io.BytesIO(part.getvalue()) for part in chosen]

    (folder / "0").write_bytes(b"changed")
    other = shards(folder, 3)
    cut = io.BytesIO(parts[2].getvalue()[:-1])
    for wrong in (
        [],
        fresh(*parts[:2]),
        fresh(*parts, parts[0]),
        fresh(parts[0], parts[0], parts[2]),
        fresh(other[0], *parts[1:]),
        fresh(*parts[:2], cut),
        [io.BytesIO(b"no shard")],
    ):
        with pytest.raises(InvalidInputError):
            merged(wrong, None)
    for number, count in ((3, 3), (-1, 3), (0, 0), (0, 5000)):
        with pytest.raises(InvalidInputError):
            Shard(number, count)


def test_a_shard_that_was_cut_or_changed_anywhere_is_refused(folder: Path) -> None:
    parts = [part.getvalue() for part in shards(folder, 2)]
    for number, part in enumerate(parts):
        cuts = [part[:at] for at in range(len(part))]
        flips = [part[:at] + bytes([part[at] ^ 1]) + part[at + 1 :] for at in range(len(part))]
        for damaged in [*cuts, *flips, part + b"\0"]:
            chosen = [io.BytesIO(damaged if at == number else each) for at, each in enumerate(parts)]
            with pytest.raises(InvalidInputError):
                merged(chosen, None)


def shard(folder: Path, number: int, count: int) -> io.BytesIO:
    out = io.BytesIO()
    with Engine(SMALL, 1) as engine:
        create_shard(folder, Shard(number, count), out, engine)
    out.seek(0)
    return out


def rewrite(path: Path) -> None:
    """Other content of the same size and with the old modification time, as an attacker would."""
    time.sleep(0.02)  # times have the grain of the kernel's clock
    before = path.stat()
    path.write_bytes(os.urandom(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_file_that_changes_between_two_shards_is_noticed(folder: Path) -> None:
    first = shard(folder, 0, 2)
    rewrite(folder / "9")
    with pytest.raises(InvalidInputError, match="changed between them"):
        merged([first, shard(folder, 1, 2)], None)


def test_a_file_that_changes_after_its_turn_fails_the_shard(folder: Path) -> None:
    class Late(io.BytesIO):
        def write(self, data: object) -> int:
            if self.tell():
                rewrite(folder / "1")
            return super().write(data)  # type: ignore[arg-type]

    with Engine(SMALL, 1) as engine, pytest.raises(TreeError) as error:
        create_shard(folder, Shard(0, 1), Late(), engine)
    assert error.value.reason is Reason.CHANGED_WHILE_READ


def test_chunks_of_a_shared_file_are_confirmed_by_hashlib(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong: Callable[..., bytes] = lambda spans, *_: bytes(32 * len(spans))  # noqa: E731
    monkeypatch.setattr("lineward.native.hash_spans", wrong)
    tree = Tree(folder, Profile.POSIX)
    run = next(tree.walk())
    assert isinstance(run, Run)
    with Engine(SMALL, 1) as engine, pytest.raises(TreeError) as error:
        files_span.hash_chunks(Run(run.directory, [b"9"]), 63_000, range(2, 9), engine, stream=False)
    tree.close()
    assert error.value.reason is Reason.ENGINE_FAULT


@pytest.mark.parametrize("number", [0, 1, 2])
def test_progress_of_a_shard_counts_its_parts_of_large_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(os.urandom(500_000))
    for small in range(5):
        (tmp_path / f"b{small}").write_bytes(b"small")
    real, seen = native.hash_spans, list[Progress]()

    def slow(spans: list[tuple[int, int, int]], cursor: bytearray, mode: int) -> bytes:
        assert engine._total
        engine._total._thread.join()
        time.sleep(0.002)
        return real(spans, cursor, mode)

    monkeypatch.setattr(native, "hash_spans", slow)
    monkeypatch.setattr(files_engine, "TICK_SECONDS", 0.001)
    monkeypatch.setattr(files_span, "_TASK_CHUNKS", 4)
    with Engine(SMALL, 1, seen.append) as engine:
        found = create_shard(tmp_path, Shard(number, 3), io.BytesIO(), engine)
    last = seen[-1]
    assert (last.files, last.bytes) == (last.total_files, last.total_bytes) == found
    assert last.bytes > 300_000
    assert last.seconds_left == 0
    assert len({progress.bytes for progress in seen}) > 5
    times = [progress.seconds for progress in seen]
    assert times == sorted(times)
    assert times[-1] > 0.04


def test_every_chunk_goes_to_exactly_one_shard() -> None:
    file_sizes = [0, 1, 4096, 4097, 50_000, 3, 1_000_000]
    total = sum(size + files_shard._FILE_WEIGHT for size in file_sizes)
    for count in (1, 2, 3, 7, 50):
        taken: list[list[tuple[int, int]]] = [[] for _ in file_sizes]
        for number in range(count):
            cut = files_shard._Cut(total * number // count, total * (number + 1) // count, 4096)
            for file, size in enumerate(file_sizes):
                first, last = cut.take(size)
                if first < last:
                    taken[file].append((first, last))
        for size, ranges in zip(file_sizes, taken, strict=True):
            edges = [0] + [last for _, last in ranges]
            assert [first for first, _ in ranges] == edges[:-1]
            assert edges[-1] == max(1, -(-size // 4096))
