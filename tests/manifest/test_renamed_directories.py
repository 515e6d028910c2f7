"""Renaming a directory touches no file below it: only directories show that what was read is a mixture."""

import io
import os
import time
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest

from lineward.adapters import files_shard, files_tree
from lineward.adapters.files import create_manifest
from lineward.adapters.files_engine import Engine
from lineward.adapters.files_merge import merge_shards
from lineward.adapters.files_shard import Shard, create_shard
from lineward.adapters.files_state import State
from lineward.adapters.files_tree import Tree, TreeError
from lineward.domain.errors import LinewardError
from lineward.domain.manifest import Parameters, Profile, Summary
from lineward.domain.reasons import Reason

SMALL = Parameters(Profile.PORTABLE, 4096)


def merged(parts: list[io.BytesIO], out: BinaryIO | None) -> Summary:
    return merge_shards([partial(io.BytesIO, part.getvalue()) for part in parts], out)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    for name in ("cat", "dog"):
        (folder / "train" / name).mkdir(parents=True)
        (folder / "train" / name / "1").write_bytes(os.urandom(100_000))
    return folder


def swap(folder: Path) -> None:
    time.sleep(0.02)  # times have the grain of the kernel's clock
    train = folder / "train"
    (train / "cat").rename(train / "t")
    (train / "dog").rename(train / "cat")
    (train / "t").rename(train / "dog")


def shard(folder: Path, number: int) -> io.BytesIO:
    out = io.BytesIO()
    with Engine(SMALL, 1) as engine:
        create_shard(folder, Shard(number, 2), out, engine)
    out.seek(0)
    return out


@pytest.mark.usefixtures("engine")
def test_directories_swapped_while_a_shard_reads_are_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Swapped behind the first look at the folder and back before the second: each look alone sees one state."""
    survey, looks = files_shard._survey, 0

    def between(tree: Tree, chunk: int) -> files_shard._Survey:
        nonlocal looks
        looks += 1
        if looks == 2:
            swap(folder)
        found = survey(tree, chunk)
        if looks == 1:
            swap(folder)
        return found

    monkeypatch.setattr(files_shard, "_survey", between)
    with pytest.raises(TreeError) as error:
        shard(folder, 0)
    assert error.value.reason is Reason.CHANGED_WHILE_READ


def test_directories_swapped_between_two_shards_are_noticed(folder: Path) -> None:
    first = shard(folder, 0)
    swap(folder)
    swap(folder)
    with pytest.raises(LinewardError, match="changed between them"):
        merged([first, shard(folder, 1)], None)


def test_times_that_a_mount_makes_up_do_not_part_shards(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FUSE mounts of object stores give a directory the time at which they were mounted, or it was looked up."""
    monkeypatch.setattr(files_tree, "on_fuse", lambda _: True)
    first = shard(folder, 0)
    os.utime(folder / "train")
    assert merged([first, shard(folder, 1)], None).root == create_manifest(folder, SMALL).root


def test_a_class_that_came_and_went_before_settling_is_noticed(folder: Path) -> None:
    """`train` holds only directories, so no batch of files stands for it."""
    tree = Tree(folder, SMALL.profile)
    with Engine(SMALL, 1, state=State()) as engine:
        for _ in engine.hash(tree):
            pass
        engine.settle(tree)
        time.sleep(0.02)
        (folder / "train" / "bird").mkdir()
        (folder / "train" / "bird").rmdir()
        with pytest.raises(TreeError, match="the folder changed"):
            engine.settle(tree)
