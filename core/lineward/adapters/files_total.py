"""How much there is to hash, counted beside the hashing for those who watch: only sizes tell how much time is left."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from lineward.adapters.files_batch import Work
from lineward.adapters.files_tree import Run, Tree
from lineward.domain.errors import LinewardError
from lineward.native import fallback

_STAT_ONLY = 1

Counting = Callable[[Tree], Iterator[tuple[int, int]]]
"""Walks a tree, and yields files and bytes as it comes upon them."""


class Total:
    """Counts files and bytes below a tree in a thread of its own, and tells them once it knows them."""

    def __init__(self, tree: Tree, tell: Callable[[tuple[int, int]], object], count: Counting | None = None) -> None:
        """`count` yields what of each run is to be hashed, where that is not all of it."""
        self._tree = Tree(tree.path, tree.profile, tree.prefix)
        self._tell = tell
        self._count = count or _everything
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="lineward-total", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop counting."""
        self._stopped = True
        self._thread.join()

    def _run(self) -> None:
        try:
            expected = self._sum()
        except (LinewardError, OSError):
            return  # hashing comes upon the same, and says it
        finally:
            self._tree.close()
        if not self._stopped:
            self._tell(expected)

    def _sum(self) -> tuple[int, int]:
        files = size = 0
        for more_files, more_bytes in self._count(self._tree):
            if self._stopped:
                break
            files, size = files + more_files, size + more_bytes
        return files, size


def _everything(tree: Tree) -> Iterator[tuple[int, int]]:
    for item in tree.walk():
        if isinstance(item, Run):
            work = Work([(item.directory.fd, item.names)], len(item.names))
            work.run(0, _STAT_ONLY)
            item.directory.release()
            yield work.files, sum(memoryview(work.stats).cast("Q")[1 :: fallback.STAT.size // 8])
