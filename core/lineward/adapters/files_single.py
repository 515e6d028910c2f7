"""One file on its own as an entry, for a proof that is about it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from lineward.adapters.files_engine import Engine
from lineward.adapters.files_tree import Directory, Run
from lineward.domain.entry import Entry, Kind, decode
from lineward.domain.errors import LinewardError
from lineward.domain.manifest import Parameters
from lineward.domain.reasons import Reason


def read_entry(path: Path, name: bytes, parameters: Parameters) -> Entry | None:
    """What stands at `path`, as the entry `name` of a set; None where it is none (pipes, folders with content).

    Raises LinewardError(Unreadable), TreeError(Unreadable, ChangedWhileRead).
    """
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            target = os.fsencode(path.readlink())
            return Entry(Kind.SYMLINK, name, len(target), target)
        if stat.S_ISDIR(mode):
            return None if any(path.iterdir()) else Entry(Kind.DIRECTORY, name, 0, b"")
        if not stat.S_ISREG(mode):
            return None
        fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise LinewardError(Reason.UNREADABLE, f"{path} cannot be read: {error.strerror}") from error
    run = Run(Directory(fd, b""), [os.fsencode(path.name)])
    with Engine(parameters, 1) as engine:
        (part,) = engine.hash_runs(iter([run]))
    found = decode(part.blob)
    return Entry(found.kind, name, found.size, found.content)
