"""What differs between two versions of a set, found page by page: pages that are equal are never decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from lineward.domain.entry import Entry, decode_all, order, printable
from lineward.domain.manifest import Page


class ChangeKind(StrEnum):
    """How an entry differs from the version before."""

    ADDED = "added"
    REMOVED = "removed"
    MODIFIED = "modified"
    """Another content under the same path."""
    RETYPED = "retyped"
    """Another kind of entry under the same path, such as a file that became executable."""


class Change(NamedTuple):
    """One differing path; `before` and `after` are None where there is no entry."""

    kind: ChangeKind
    path: bytes
    before: Entry | None
    after: Entry | None

    def __str__(self) -> str:
        return f"{self.kind} {printable(self.path)}"


class Changes:
    """The first `limit` changes, and how many there are of each kind."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.first: list[Change] = []
        self.counts: Counter[ChangeKind] = Counter()

    def add(self, change: Change) -> None:
        """Count a change and keep it if it is among the first."""
        self.counts[change.kind] += 1
        if len(self.first) < self._limit:
            self.first.append(change)


def compare(before: Iterator[Page], after: Iterator[Page]) -> Iterator[Change]:
    """Yield the differences of two sorted sequences of pages, in order of their paths.

    Both are read to their ends. Memory: one decoded page each. Raises what decoding and the iterators raise.
    """
    old, new = _Cursor(before), _Cursor(after)
    while True:
        while old.at_page and new.at_page and old.at_page.body == new.at_page.body:
            old.next_page()
            new.next_page()
        left, right = old.peek(), new.peek()
        if left is None and right is None:
            return
        if right is None or (left is not None and order(left.path) < order(right.path)):
            yield _change(left, None)
            old.advance()
        elif left is None or order(right.path) < order(left.path):
            yield _change(None, right)
            new.advance()
        else:
            if left != right:
                yield _change(left, right)
            old.advance()
            new.advance()


def below(pages: Iterator[Page], directory: bytes) -> Iterator[Page]:
    """Only what the pages hold below a directory, with the paths of the whole; reads all pages."""
    prefix = directory + b"/"
    for page in pages:
        kept = [entry.encode() for entry in decode_all(page.body) if entry.path.startswith(prefix)]
        if kept:
            yield Page(b"".join(kept), len(kept), b"")


def _change(before: Entry | None, after: Entry | None) -> Change:
    some = before or after
    if some is None:
        raise ValueError("a change has a side")
    if before is None:
        kind = ChangeKind.ADDED
    elif after is None:
        kind = ChangeKind.REMOVED
    else:
        kind = ChangeKind.RETYPED if before.kind != after.kind else ChangeKind.MODIFIED
    return Change(kind, some.path, before, after)


class _Cursor:
    """A place in a sequence of pages; a page is decoded when its first entry is asked for."""

    def __init__(self, pages: Iterator[Page]) -> None:
        self._pages = pages
        self._entries: list[Entry] = []
        self._at = 0
        self.at_page: Page | None = None
        self.next_page()

    def next_page(self) -> None:
        self.at_page = next(self._pages, None)
        self._entries = []
        self._at = 0

    def peek(self) -> Entry | None:
        if self._at == len(self._entries):
            if self.at_page is None:
                return None
            self._entries, self._at, self.at_page = list(decode_all(self.at_page.body)), 0, None
        return self._entries[self._at]

    def advance(self) -> None:
        self._at += 1
        if self._at == len(self._entries) and self.at_page is None:
            self.next_page()
