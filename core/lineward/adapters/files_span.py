"""Some chunks of one large file, for a worker that shares it with others."""

from __future__ import annotations

import os

from lineward import native
from lineward.adapters.files_batch import changed, fault
from lineward.adapters.files_limits import below
from lineward.adapters.files_tree import Run
from lineward.domain.merkle import HASH_BYTES
from lineward.native import fallback

_TASK_CHUNKS = 48
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def hash_chunks(run: Run, size: int, first: int, last: int, chunk: int) -> bytes:
    """Digests of the chunks `first` to `last` of the run's one file, joined.

    One of them is hashed again with hashlib. Raises TreeError(ChangedWhileRead, EngineFault).
    """
    path = run.directory.prefix + run.names[0]
    digests = []
    try:
        fd = os.open(run.names[0], _FLAGS, dir_fd=run.directory.fd)
    except OSError as error:
        raise changed(path) from error
    try:
        before = os.fstat(fd)

        def span(number: int) -> tuple[int, int, int]:
            return fd, number * chunk, min(chunk, size - number * chunk)

        for start in range(first, last, _TASK_CHUNKS):
            spans = [span(number) for number in range(start, min(last, start + _TASK_CHUNKS))]
            digests.append(native.hash_spans(spans, bytearray(fallback.CURSOR.size), 0))
        found = b"".join(digests)
        again = below(last - first)
        confirmed = fallback.hash_spans([span(first + again)], bytearray(fallback.CURSOR.size), 0)
        beyond = os.pread(fd, 1, size)
        after = os.fstat(fd)
    except (OSError, EOFError) as error:
        raise changed(path) from error
    finally:
        os.close(fd)
    state = (size, before.st_ino, before.st_mtime_ns, before.st_ctime_ns)
    if beyond or (after.st_size, after.st_ino, after.st_mtime_ns, after.st_ctime_ns) != state:
        raise changed(path)
    if confirmed != found[again * HASH_BYTES : (again + 1) * HASH_BYTES]:
        raise fault(path)
    return found
