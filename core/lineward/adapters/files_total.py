"""How much there is to hash, counted beside the hashing for those who watch: only sizes tell how much time is left."""

from __future__ import annotations

import threading
from collections.abc import Callable

from lineward.adapters.files_batch import Work
from lineward.adapters.files_tree import Run, Tree
from lineward.domain.errors import LinewardError
from lineward.native import fallback

_STAT_ONLY = 1


class Total:
    """Counts the files and bytes below a tree in a thread of its own, and tells them once it knows them."""

    def __init__(self, tree: Tree, tell: Callable[[tuple[int, int]], object]) -> None:
        self._tree = Tree(tree.path, tree.profile, tree.prefix)
        self._tell = tell
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="lineward-total", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop counting."""
        self._stopped = True
        self._thread.join()

    def _run(self) -> None:
        try:
            expected = self._count()
        except (LinewardError, OSError):
            return  # hashing comes upon the same, and says it
        finally:
            self._tree.close()
        if not self._stopped:
            self._tell(expected)

    def _count(self) -> tuple[int, int]:
        files = size = 0
        for item in self._tree.walk():
            if self._stopped:
                break
            if isinstance(item, Run):
                work = Work([(item.directory.fd, item.names)], len(item.names))
                work.run(0, _STAT_ONLY)
                files += work.files
                size += sum(memoryview(work.stats).cast("Q")[1 :: fallback.STAT.size // 8])
                item.directory.release()
        return files, size
