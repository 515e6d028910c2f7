"""What two passes have to have in common where times are trusted for what is old."""

from __future__ import annotations

from typing import NamedTuple, cast

import pytest

from lineward.adapters.files_batch import Batch
from lineward.adapters.files_state import State
from lineward.adapters.files_tree import TreeError

LONG_AGO = 100


class Seen(NamedTuple):
    """What counts of a batch."""

    changed: int
    files: int = 1
    marked: bytes = b"m"

    def latest(self) -> int:
        return self.changed

    def newest(self) -> tuple[int, bytes]:
        return self.changed, b"path"

    def mark(self) -> bytes:
        return self.marked


PASS = [Seen(7, 3), Seen(99, 2), Seen(100, 4, b"a"), Seen(5, 6, b"b"), Seen(300, 1, b"c")]


def state(*batches: Seen, directories: bytes = b"d") -> State:
    found = State(LONG_AGO)
    for batch in batches:
        found.add(cast("Batch", batch))
    found.directories = directories
    return found


def test_the_same_is_no_change() -> None:
    state(*PASS).refuse_changes(state(*PASS))
    state().refuse_changes(state())


def test_what_is_old_in_both_counts_by_number() -> None:
    state(*PASS).refuse_changes(state(Seen(8, 4, b"other"), Seen(9, 1), *PASS[2:]))


@pytest.mark.parametrize(
    "later",
    [
        [Seen(200, 3), *PASS[1:]],
        [PASS[0], Seen(100, 2), *PASS[2:]],
        [Seen(7, 2), *PASS[1:]],
        PASS[1:],
        [*PASS[:2], Seen(100, 4, b"x"), *PASS[3:]],
        [*PASS[:3], Seen(5, 6, b"x"), PASS[4]],
        [*PASS[:4], Seen(301, 1, b"x")],
        PASS[:4],
    ],
)
def test_any_other_change_is_seen(later: list[Seen]) -> None:
    with pytest.raises(TreeError):
        state(*PASS).refuse_changes(state(*later))


def test_another_directory_is_seen() -> None:
    with pytest.raises(TreeError):
        state(*PASS).refuse_changes(state(*PASS, directories=b"e"))
