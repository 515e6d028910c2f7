"""One test run in several processes: a part is started by the one that needs it first, and stopped with the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from e2e import cache
from e2e.support import setup
from e2e.support.setup import Part


@dataclass(frozen=True)
class Run:
    """`folder` belongs to this run alone and is known to all its processes."""

    folder: Path

    @contextmanager
    def one_at_a_time(self, part: Part) -> Iterator[None]:
        """Keep two processes from starting the same part."""
        with cache.locked(self.folder / f"{part}.lock"):
            yield

    def starting(self, part: Part) -> None:
        """Note that this run starts the part."""
        (self.folder / part).touch()

    def stop(self) -> None:
        """Stop what any process of this run started, the last in first, and once."""
        for part in reversed(get_args(Part)):
            if (self.folder / part).exists():
                setup.stop(part)
                (self.folder / part).unlink()
