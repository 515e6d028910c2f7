"""One file on its own as an entry, for a proof that is about it."""

from __future__ import annotations

import os
from pathlib import Path

from lineward.adapters.files_engine import Engine
from lineward.adapters.files_tree import Directory, Run, TreeError
from lineward.domain.entry import Entry, Kind, decode
from lineward.domain.manifest import Parameters, Profile
from lineward.domain.reasons import Reason


def read_entry(path: Path, expected: Entry, chunk_bytes: int) -> Entry:
    """What stands at `path`, under the name of the `expected` entry; modes count if it is an executable.

    Raises TreeError(Unreadable, SpecialFile, ChangedWhileRead).
    """
    try:
        if expected.kind is Kind.SYMLINK:
            target = os.fsencode(path.readlink())
            return Entry(Kind.SYMLINK, expected.path, len(target), target)
        fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise TreeError(Reason.UNREADABLE, expected.path, f"cannot be read: {error.strerror}") from error
    profile = Profile.POSIX if expected.kind is Kind.EXECUTABLE else Profile.PORTABLE
    parameters = Parameters(profile, chunk_bytes)
    run = Run(Directory(fd, b""), [os.fsencode(path.name)])
    with Engine(parameters, 1) as engine:
        (part,) = engine.hash_runs(iter([run]))
    found = decode(part.blob)
    return Entry(found.kind, expected.path, found.size, found.content)
