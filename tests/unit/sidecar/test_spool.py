"""The spool is bounded, keeps order, outlives the process where there is a disk, and works without one."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineward_sidecar import spool as spools
from lineward_sidecar.spool import START, Spool


def drain(spool: Spool) -> list[bytes]:
    found = []
    while first := spool.first(0):
        found.append(first[1])
        spool.done(first[0])
    return found


def make(folder: Path) -> Spool:
    return Spool(folder, lambda _: None)


def test_order_and_restart(tmp_path: Path) -> None:
    before = make(tmp_path)
    for number in range(12):
        before.put("running", b"%d" % number)
    oldest = before.first(0)
    assert oldest
    before.done(oldest[0])
    after = make(tmp_path)
    after.put("running", b"last")
    assert drain(after) == [*(b"%d" % number for number in range(1, 12)), b"last"]
    assert drain(make(tmp_path)) == []


def test_full_spool_drops_the_oldest_but_never_start(tmp_path: Path) -> None:
    lengths: list[int] = []
    spool = Spool(tmp_path, lengths.append)
    spool.put("running", b"before")
    spool.put(START, b"start")
    for number in range(spools.MAX_EVENTS + 5):
        spool.put("running", b"%d" % number)
    assert max(lengths) <= spools.MAX_EVENTS
    assert spool.dropped == 7
    kept = drain(spool)
    assert kept[0] == b"start"
    assert kept[-1] == b"%d" % (spools.MAX_EVENTS + 4)
    assert len(list(tmp_path.glob("*.json"))) == 0


@given(st.lists(st.integers(0, spools.MAX_EVENT_BYTES + 10), max_size=20))
def test_bytes_are_bounded(sizes: list[int]) -> None:
    spool = make(Path("/proc/nowhere"))
    for size in sizes:
        spool.put("running", b"x" * size)
    kept = drain(spool)
    assert sum(map(len, kept)) <= spools.MAX_BYTES
    assert len(kept) + spool.dropped == len(sizes)


def test_without_a_disk_it_lives_in_memory() -> None:
    spool = make(Path("/proc/nowhere"))
    spool.put(START, b"start")
    assert drain(spool) == [b"start"]


@pytest.mark.parametrize("name", ["draft", "x-start.json", "000000001-START.json", "1-start.json"])
def test_other_files_are_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("not ours")
    spool = make(tmp_path)
    assert len(spool) == 0
    spool.put(START, b"start")
    assert drain(spool) == [b"start"]
