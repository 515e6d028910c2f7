"""Writes a set of files that belong together: all of them, or none, also where the process is ended in between."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, Self

from lineward.cli.output import settle
from lineward.domain.errors import InvalidInputError, LinewardError
from lineward.domain.reasons import Reason

SUFFIXES = ("lwm", "sigstore", "manifest.yaml", "sig", "yaml")
"""What a set may have, in the order in which it is put in place: the DatasetVersion, which the rest is for, last."""


def require_outside(folder: Path, data: Path) -> None:
    """Refuse a place inside the data that is described. Raises InvalidInputError(RequestInvalid)."""
    if folder.resolve().is_relative_to(data.resolve()):
        raise InvalidInputError(Reason.REQUEST_INVALID, f"{folder} lies inside the data; choose a folder outside")


class Outputs:
    """Files `STEM.SUFFIX` (`STEM-SUFFIX` for a suffix with a dot) of one folder, kept aside until `commit`.

    Aside is a hidden folder on the same file system. A folder that is not there yet appears with all files in it, by
    one rename. In one that is there the older set is taken away first, its DatasetVersion before the rest, and the new
    one comes last: wherever a kill ends it, no DatasetVersion stands beside files of another set. Whatever else ends it
    takes it back, and brings back what was replaced.
    """

    def __init__(self, folder: Path, stem: str, data: Path, *, force: bool) -> None:
        """Raise InvalidInputError(RequestInvalid) where the files would lie inside the data they describe."""
        require_outside(folder, data)
        self._folder, self._stem, self._force = folder, stem, force
        self._appears = False
        self._used = contextlib.ExitStack()
        self._aside: Path | None = None
        self._left: set[Path] = set()
        self._names: list[str] = []

    def __enter__(self) -> Self:
        """Raise LinewardError(Unwritable) where nothing can be written."""
        prefix = f".{self._stem}@"
        try:
            self._appears = not self._folder.exists()
            beside = self._folder.parent if self._appears else self._folder
            self._left = {left for place in (self._folder, self._folder.parent) for left in place.glob(f"{prefix}*")}
            beside.mkdir(parents=True, exist_ok=True)
            self._aside = Path(self._used.enter_context(TemporaryDirectory(dir=beside, prefix=prefix)))
            self._new.mkdir()
        except OSError as error:
            raise LinewardError(Reason.UNWRITABLE, f"{self._folder} cannot be written: {error.strerror}") from error
        with contextlib.suppress(OSError):  # a file system without locks, where nothing is taken for a leftover either
            self._used.enter_context(_locked(self._aside))
        return self

    def __exit__(self, *_: object) -> None:
        self._used.close()

    def require_free(self) -> None:
        """Find out before there is work to lose. Raises InvalidInputError(RequestInvalid) where a file is there."""
        for there in map(self._place, SUFFIXES):
            if not self._force and there.exists():
                raise InvalidInputError(Reason.REQUEST_INVALID, f"{there} is there; --force replaces it")

    @contextlib.contextmanager
    def open(self, suffix: str) -> Iterator[BinaryIO]:
        """A file to write to, on disk when the block ends."""
        with self.written(suffix).open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        self._names.append(suffix)

    def add(self, suffix: str, content: bytes) -> None:
        """Add a whole file."""
        with self.open(suffix) as file:
            file.write(content)

    def written(self, suffix: str) -> Path:
        """Where an added file is until `commit`."""
        return self._new / self._place(suffix).name

    def commit(self) -> list[Path]:
        """Move all files into place and name them, and remove what killed processes left of this set.

        Raises LinewardError(Unwritable), or as `require_free` does, with none of them left.
        """
        self.require_free()
        try:
            if self._appears:
                settle(self._new)
                self._new.rename(self._folder)
                settle(self._folder.parent)
            else:
                self._replace()
        except OSError as error:
            raise LinewardError(Reason.UNWRITABLE, f"{self._folder} cannot be written: {error.strerror}") from error
        for left in self._left:
            with contextlib.suppress(OSError), _locked(left):
                shutil.rmtree(left)
        return [self._place(suffix) for suffix in SUFFIXES if suffix in self._names]

    def _replace(self) -> None:
        with contextlib.ExitStack() as undo:
            for suffix in reversed(SUFFIXES):
                if self._place(suffix).exists():
                    self._move(self._place(suffix), self._new.with_name(f"before-{suffix}"), undo)
            for suffix in SUFFIXES:
                if suffix in self._names:
                    self._move(self.written(suffix), self._place(suffix), undo)
            undo.pop_all()

    def _move(self, here: Path, there: Path, undo: contextlib.ExitStack) -> None:
        """Move a file; the next move finds it done, even where the machine loses power."""
        undo.callback(_back, there, here)
        here.rename(there)
        settle(self._folder)

    def _place(self, suffix: str) -> Path:
        return self._folder / f"{self._stem}{'-' if '.' in suffix else '.'}{suffix}"

    @property
    def _new(self) -> Path:
        if self._aside is None:
            raise LinewardError(Reason.INTERNAL_ERROR, "outputs are used outside their block")
        return self._aside / "new"


def _back(there: Path, here: Path) -> None:
    """Take a move back that may not have come to pass."""
    if there.exists():
        there.rename(here)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder while its process lives. Raises OSError where another does, or where there are no locks."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)
