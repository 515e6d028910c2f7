"""File modes, for tests that may run as root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def powerless(folder: Path) -> Iterator[None]:
    """Inside the folder, as somebody for whom modes count even where the tests run as root."""
    before = Path.cwd()
    os.chdir(folder)
    if os.getuid() == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(os.getuid())
        os.chdir(before)
