"""Folders that change while they are read: a root of one of their states, or an error that says so; never a mixture.

Here writers run freely, so that files and directories change in the midst of being read. `test_mixtures.py` provokes
what needs a change between two files.
"""

import mmap
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lineward import native
from lineward.adapters.files import create_manifest
from lineward.adapters.files_engine import Engine
from lineward.adapters.files_state import State
from lineward.adapters.files_tree import Tree
from lineward.domain.errors import LinewardError
from lineward.domain.manifest import Parameters, Profile
from lineward.domain.reasons import Reason

SMALL = Parameters(Profile.PORTABLE, 4096)
SECONDS = 1.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    for i in range(60):
        path = folder / f"{i % 6}" / f"{i:03}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([i]) * (i * 400))
    return folder


@contextmanager
def meanwhile(step: Callable[[int], object]) -> Iterator[None]:
    stop = threading.Event()

    def run() -> None:
        turn = 0
        while not stop.is_set():
            step(turn)
            turn += 1
            time.sleep(0.0003)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def truncate(folder: Path) -> Callable[[int], object]:
    def step(turn: int) -> None:
        os.truncate(folder / "5/059", 20_000 if turn % 2 else 100)

    return step


def replace_directory(folder: Path) -> Callable[[int], object]:
    secret = folder.parent / "secret"
    secret.mkdir()
    (secret / "003").write_bytes(b"secret")

    def step(turn: int) -> None:
        here, away = folder / "3", folder.parent / "away"
        if turn % 2:
            here.unlink()
            away.rename(here)
        else:
            here.rename(away)
            here.symlink_to(secret)

    return step


STEPS = {"truncate": truncate, "replace directory": replace_directory}


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("name", STEPS)
def test_a_writer_beside_it_yields_no_root_of_its_own(folder: Path, name: str, tmp_path: Path) -> None:
    step = STEPS[name](folder)
    states = set()
    for turn in range(4):  # every state that the writer goes through between its single changes
        step(turn)
        if name != "replace directory" or turn % 2:
            states.add(create_manifest(folder, SMALL).root)
    if name == "replace directory":  # between its renaming and the link, the directory is gone
        (folder / "3").rename(folder.parent / "away")
        states.add(create_manifest(folder, SMALL).root)
        (folder.parent / "away").rename(folder / "3")
    runs = 0
    deadline = time.monotonic() + SECONDS
    with meanwhile(step):
        while runs < 4 or time.monotonic() < deadline:
            runs += 1
            try:
                assert create_manifest(folder, SMALL).root in states
            except LinewardError as error:
                assert error.reason in {Reason.CHANGED_WHILE_READ, Reason.SPECIAL_FILE}, error  # noqa: PT017


def test_a_change_after_its_turn_is_noticed(folder: Path) -> None:
    """The first file changes when all have been hashed: settling finds it and names it."""
    tree = Tree(folder, SMALL.profile)
    with Engine(SMALL, 1, state=State()) as engine:
        for _ in engine.hash(tree):
            pass
        engine.settle(tree)
        (folder / "0/000").write_bytes(b"late")
        with pytest.raises(LinewardError, match="0/000"):
            engine.settle(tree)


@pytest.mark.parametrize("change", ["added", "removed", "renamed"])
def test_late_changes_of_names_are_noticed(folder: Path, change: str) -> None:
    tree = Tree(folder, SMALL.profile)
    with Engine(SMALL, 1, state=State()) as engine:
        for _ in engine.hash(tree):
            pass
        if change == "added":
            (folder / "2/new").touch()
        elif change == "removed":
            shutil.rmtree(folder / "5")
        else:
            (folder / "2").rename(folder / "9")
        with pytest.raises(LinewardError) as error:
            engine.settle(tree)
        assert error.value.reason is Reason.CHANGED_WHILE_READ


def test_a_wrong_digest_ends_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that lies is found out by hashing a random file again with hashlib."""
    from lineward.native import fallback  # noqa: PLC0415

    def lies(*arguments: object) -> int:
        fallback.hash_files(*arguments)  # type: ignore[arg-type]
        digests = arguments[3]
        assert isinstance(digests, bytearray)
        digests[:] = bytes(byte ^ 1 for byte in digests)
        return 0

    parameters = Parameters(Profile.PORTABLE, 1 << 20)
    monkeypatch.setattr(native, "hash_files", lies)
    with pytest.raises(LinewardError) as error:
        create_manifest(folder, parameters, workers=1)
    assert error.value.reason is Reason.ENGINE_FAULT


@pytest.mark.parametrize("chunk_bytes", [4096, 1 << 20])
def test_a_mapping_that_is_written_is_no_fault_of_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int
) -> None:
    """The kernel gives writes through a dirty mapping no time, so bytes change between two readings unannounced."""
    from lineward.native import fallback  # noqa: PLC0415

    (tmp_path / "set").mkdir()
    path = tmp_path / "set" / "mapped"
    path.write_bytes(bytes(10_000))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        read = fallback._read
        mapping[:] = bytes(len(mapping))  # from now on all pages are dirty
        before = path.stat()

        def flips(fd: int, offset: int, length: int) -> tuple[int, bytes]:
            found = read(fd, offset, length)
            mapping[:] = bytes([(mapping[0] + 1) % 5]) * len(mapping)
            return found

        monkeypatch.setattr(native, "hash_files", fallback.hash_files)
        monkeypatch.setattr(native, "hash_spans", fallback.hash_spans)
        monkeypatch.setattr(fallback, "_read", flips)
        with pytest.raises(LinewardError) as error:
            create_manifest(tmp_path / "set", Parameters(Profile.PORTABLE, chunk_bytes), workers=1)
        assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert error.value.reason is Reason.CHANGED_WHILE_READ
