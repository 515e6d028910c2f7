"""A census sees every change of names, sizes, kinds and times, in any order of walking, and never follows a link."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lineward_sidecar import census
from lineward_sidecar.census import Count, Walk


def count(folder: Path) -> Count:
    return Walk(lambda _: None).count(str(folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    (made / "b" / "c").mkdir(parents=True)
    for name in ("a", "b/d", "b/c/e"):
        (made / name).write_text(name)
        os.utime(made / name, ns=(1, 1))
    return made


def test_same_tree_same_count(folder: Path) -> None:
    seen = count(folder)
    assert (seen.files, seen.bytes) == (3, 9)
    assert count(folder) == seen


def touch(path: Path) -> None:
    os.utime(path, ns=(2, 2))


CHANGES: dict[str, Callable[[Path], object]] = {
    "time": lambda folder: touch(folder / "b" / "c" / "e"),
    "size": lambda folder: (folder / "a").write_text("aa"),
    "added": lambda folder: (folder / "b" / "f").write_text(""),
    "empty folder": lambda folder: (folder / "b" / "g").mkdir(),
    "removed": lambda folder: (folder / "b" / "d").unlink(),
    "moved": lambda folder: (folder / "b" / "d").rename(folder / "d"),
    "fifo": lambda folder: os.mkfifo(folder / "f"),
    "swapped": lambda folder: [(folder / a).rename(folder / b) for a, b in (("a", "x"), ("b/d", "a"), ("x", "b/d"))],
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_seen(folder: Path, change: str) -> None:
    before = count(folder)
    CHANGES[change](folder)
    assert count(folder).fingerprint != before.fingerprint


def test_file_that_becomes_a_link_is_seen_and_not_followed(folder: Path) -> None:
    before = count(folder)
    (folder / "b").rename(folder.parent / "outside")
    (folder / "b").symlink_to(folder.parent / "outside")
    after = count(folder)
    assert after.fingerprint != before.fingerprint
    assert after.files == 2


def test_folder_that_becomes_a_link_is_an_error(folder: Path) -> None:
    (folder.parent / "link").symlink_to(folder)
    with pytest.raises(OSError, match="link"):
        count(folder.parent / "link")


def test_entry_that_vanishes_while_we_look_counts_as_change(folder: Path) -> None:
    before = count(folder)
    for number in range(2 * census.ENTRIES_PER_STEP):
        (folder / "b" / f"n{number}").mkdir()
    full = count(folder)

    def vanish(_: float) -> None:
        for each in (folder / "b").glob("n*"):
            each.rmdir()

    seen = Walk(vanish).count(str(folder))
    assert seen.fingerprint not in {before.fingerprint, full.fingerprint}


def test_rate_is_bounded(folder: Path) -> None:
    for number in range(2 * census.ENTRIES_PER_STEP):
        (folder / f"n{number}").touch()
    pauses: list[float] = []
    Walk(pauses.append).count(str(folder))
    assert pauses == [census.STEP_SECONDS] * 2


def test_names_that_are_no_text(folder: Path) -> None:
    before = count(folder)
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\n")).touch()
    assert count(folder).files == before.files + 1


def test_depth_is_bounded(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(census.MAX_DEPTH + 50):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert count(tmp_path).files == 0
