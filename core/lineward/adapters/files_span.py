"""Some chunks of one large file, for a worker that shares it with others."""

from __future__ import annotations

import os
from functools import partial

from lineward import native
from lineward.adapters.files_batch import changed, disagreement, unreadable
from lineward.adapters.files_engine import Engine
from lineward.adapters.files_large import STREAM, hash_one
from lineward.adapters.files_limits import below
from lineward.adapters.files_tree import Run
from lineward.domain.merkle import HASH_BYTES
from lineward.native import fallback

_TASK_CHUNKS = 48
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def hash_chunks(run: Run, size: int, chunks: range, engine: Engine, *, stream: bool) -> bytes:
    """Digests of these chunks of the run's one file, joined; with `stream` read as one stream.

    One of them is hashed again with hashlib. Raises TreeError(ChangedWhileRead, Unreadable, EngineFault).
    """
    path = run.directory.prefix + run.names[0]
    try:
        fd = os.open(run.names[0], _FLAGS, dir_fd=run.directory.fd)
    except OSError as error:
        raise unreadable(path, error.errno) from error
    chunk_bytes = engine.parameters.chunk_bytes
    try:
        before = os.fstat(fd)
        spans = [(fd, number * chunk_bytes, min(chunk_bytes, size - number * chunk_bytes)) for number in chunks]
        found = _hash(spans, engine, STREAM if stream else 0)
        _confirm(path, spans, found)
        beyond = os.pread(fd, 1, size)
        after = os.fstat(fd)
    except EOFError as error:
        raise changed(path) from error
    except OSError as error:
        raise unreadable(path, error.errno) from error
    finally:
        os.close(fd)
    state = (size, before.st_ino, before.st_mtime_ns, before.st_ctime_ns)
    if beyond or (after.st_size, after.st_ino, after.st_mtime_ns, after.st_ctime_ns) != state:
        raise changed(path)
    return found


def _hash(spans: list[tuple[int, int, int]], engine: Engine, mode: int) -> bytes:
    parts = (spans[at : at + _TASK_CHUNKS] for at in range(0, len(spans), _TASK_CHUNKS))
    return b"".join([engine.hash_spans(part, mode) for part in parts])


def _confirm(path: bytes, spans: list[tuple[int, int, int]], digests: bytes) -> None:
    at = below(len(spans))
    digest = digests[at * HASH_BYTES : (at + 1) * HASH_BYTES]
    again = hash_one(fallback.hash_spans, spans[at])
    if again != digest:
        read = [partial(hash_one, engine, spans[at]) for engine in (native.hash_spans, fallback.hash_spans)]
        raise disagreement(path, (digest, again), read)
