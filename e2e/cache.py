"""Where the harness keeps what is costly to make, so that a fresh checkout does not pay for it again."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path

from e2e import command


def root() -> Path:
    """The cache folder: ``$LINEWARD_CACHE``, else the XDG cache home, with ``lineward`` below it."""
    base = os.environ.get("LINEWARD_CACHE") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().resolve() / "lineward"


def files_key(files: Iterable[Path], *extra: str) -> str:
    """16 hex digits that change with the name or the bytes of any file, or with any extra string."""
    digest = hashlib.sha256()
    for path in sorted(files):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.name}\0{content}\n".encode())
    for text in extra:
        digest.update(f"+{text}\n".encode())
    return digest.hexdigest()[:16]


@contextmanager
def locked(path: Path, waiting: str = "", *, shared: bool = False) -> Iterator[None]:
    """Hold a lock on ``path`` (made if missing), alone or ``shared`` with others that share it.

    Prints ``waiting`` once if another process is in the way. The kernel drops the lock when the holder dies, so none is
    ever stale.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = LOCK_SH if shared else LOCK_EX
    with path.open("w") as handle:
        try:
            flock(handle, kind | LOCK_NB)
        except BlockingIOError:
            if waiting:
                command.tell(waiting)
            flock(handle, kind)
        yield
