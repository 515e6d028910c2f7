"""A quick look instead of a verdict: all names, kinds and sizes, but the content of some random files only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lineward.adapters.files_limits import below
from lineward.domain.entry import Entry, decode_all, order
from lineward.domain.manifest import Page
from lineward.native import fallback

_STAT = fallback.STAT.size


@dataclass(frozen=True, slots=True)
class Sampling:
    """How many files of how many were read."""

    read: int
    files: int

    def detection(self, altered: int) -> float:
        """Probability that at least one of `altered` altered files was among those read (drawn without repetition)."""
        missed = 1.0
        for drawn in range(self.read):
            missed *= max(0.0, (self.files - altered - drawn) / (self.files - drawn))
        return 1.0 - missed


class Sample:
    """Answers with the signed digest for every file that was not drawn, if it has the signed size.

    So the root comes out right only if names, kinds and sizes are right and every drawn file has its signed content.
    """

    def __init__(self, pages: Callable[[], Iterator[Page]], files: int, count: int) -> None:
        """`pages` reads the trusted manifest or a part of it anew; it has `files`, of which `count` are drawn."""
        self.sampling = Sampling(min(count, files), files)
        self._entries = _draw(_files(pages()), files, self.sampling.read)
        self._current = next(self._entries, None)

    def digests(self, paths: list[bytes], stats: bytes) -> list[bytes | None]:
        """The signed digest of each file that was not drawn; None for those to be read."""
        return [self._find(path, fallback.STAT.unpack_from(stats, at * _STAT)[4]) for at, path in enumerate(paths)]

    def _find(self, path: bytes, size: int) -> bytes | None:
        wanted = order(path)
        while self._current and order(self._current[0].path) < wanted:
            self._current = next(self._entries, None)
        if not self._current:
            return None
        entry, drawn = self._current
        return entry.content if entry.path == path and entry.size == size and not drawn else None

    def chunks(self, path: bytes, record: bytes) -> bytes:  # noqa: ARG002 - a drawn file is read whole
        """Nothing: a drawn file is read whole."""
        return b""

    def note_chunk(self, path: bytes, record: bytes, number: int, digest: bytes) -> None:
        """Nothing is kept."""

    def note_files(self, paths: list[bytes], stats: bytes, digests: bytes) -> None:
        """Nothing is kept."""


def count_files(pages: Iterator[Page]) -> int:
    """How many files a manifest has."""
    return sum(1 for _ in _files(pages))


def _draw(entries: Iterator[Entry], files: int, count: int) -> Iterator[tuple[Entry, bool]]:
    """Each of so many files, and whether it is drawn: selection sampling holds nothing (Knuth, TAOCP 3.4.2, S)."""
    for left, entry in zip(range(files, 0, -1), entries, strict=False):
        drawn = below(left) < count
        count -= drawn
        yield entry, drawn


def _files(pages: Iterator[Page]) -> Iterator[Entry]:
    return (entry for page in pages for entry in decode_all(page.body) if entry.is_file)
