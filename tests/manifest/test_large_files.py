"""Files of more than a chunk: what fails is called by its own name, and FUSE sees one stream."""

import errno
import io
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from lineward import native
from lineward.adapters import files_tree
from lineward.adapters.files import create_manifest
from lineward.adapters.files_engine import Engine
from lineward.adapters.files_shard import Shard, create_shard
from lineward.adapters.files_tree import Tree, TreeError
from lineward.domain.manifest import Parameters, Profile
from lineward.domain.reasons import Reason

SMALL = Parameters(Profile.PORTABLE, 4096)
Spans = list[tuple[int, int, int]]
HashSpans = Callable[[Spans, bytearray, int], bytes]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_bytes(os.urandom(8192))
    return folder


def hash_part(folder: Path, number: int, count: int) -> None:
    with Engine(SMALL, 2) as engine:
        create_shard(folder, Shard(number, count), io.BytesIO(), engine)


def cut(folder: Path, real: HashSpans) -> HashSpans:
    def hash_spans(spans: Spans, cursor: bytearray, mode: int) -> bytes:
        os.truncate(folder / "c", 5000)
        return real(spans, cursor, mode)

    return hash_spans


def broken(folder: Path, real: HashSpans) -> HashSpans:
    def hash_spans(spans: Spans, cursor: bytearray, mode: int) -> bytes:
        if any(Path(f"/proc/self/fd/{fd}").readlink() == folder / "c" for fd, _, _ in spans):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(spans, cursor, mode)

    return hash_spans


@pytest.mark.parametrize(("way", "reason"), [(cut, Reason.CHANGED_WHILE_READ), (broken, Reason.UNREADABLE)])
@pytest.mark.parametrize("shards", [0, 1, 5])
@pytest.mark.usefixtures("engine")
def test_a_file_that_fails_is_named_and_not_its_neighbour(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: Callable[[Path, HashSpans], HashSpans],
    reason: Reason,
    shards: int,
) -> None:
    """A task has chunks of several files."""
    monkeypatch.setattr(native, "hash_spans", way(folder, native.hash_spans))
    call = partial(hash_part, folder, shards - 1, shards) if shards else partial(create_manifest, folder, SMALL)
    with pytest.raises(TreeError) as error:
        call()
    assert (error.value.reason, error.value.path) == (reason, b"c")


def test_what_failed_once_and_cannot_be_found_again_blames_nobody(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = native.hash_spans, 0

    def hash_spans(spans: Spans, cursor: bytearray, mode: int) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(spans, cursor, mode)

    monkeypatch.setattr(native, "hash_spans", hash_spans)
    with pytest.raises(TreeError, match="Unreadable: the folder cannot be read: Input/output error"):
        create_manifest(folder, SMALL)


@pytest.mark.parametrize("shards", [0, 1, 4])
def test_fuse_sees_one_stream(folder: Path, monkeypatch: pytest.MonkeyPatch, shards: int) -> None:
    real, modes = native.hash_spans, []

    def hash_spans(spans: Spans, cursor: bytearray, mode: int) -> bytes:
        modes.append(mode)
        return real(spans, cursor, mode)

    monkeypatch.setattr(files_tree, "on_fuse", lambda _: True)
    monkeypatch.setattr(native, "hash_spans", hash_spans)
    (folder / "b").write_bytes(os.urandom(200_000))  # shared between shards
    for number in range(shards):
        hash_part(folder, number, shards)
    if not shards:
        with Engine(SMALL, 2) as engine:
            assert list(engine.hash(Tree(folder, SMALL.profile)))
    assert modes
    assert all(mode & 4 for mode in modes)
