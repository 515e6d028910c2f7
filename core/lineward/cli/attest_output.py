"""Writes a set of files that belong together: all of them, or none, also where the process is ended in between."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, Self

from lineward.domain.errors import InvalidInputError, LinewardError
from lineward.domain.reasons import Reason


class Outputs:
    """Files `STEM.SUFFIX` (`STEM-SUFFIX` for a suffix with a dot) of one folder, kept aside until `commit`.

    Aside is a hidden folder on the same file system. A folder that is not there yet appears with all files in it, by
    one rename. In one that is there the files are moved in the order of `add`, so the last one, which the others are
    for, never stands alone; whatever ends the moving takes it back, and brings back what was replaced.
    """

    def __init__(self, folder: Path, stem: str, data: Path, *, force: bool) -> None:
        """Raise InvalidInputError(RequestInvalid) where the files would lie inside the data they describe."""
        if folder.resolve().is_relative_to(data.resolve()):
            problem = f"{folder} lies inside the data; give --out another folder"
            raise InvalidInputError(Reason.REQUEST_INVALID, problem)
        self._folder, self._stem, self._force = folder, stem, force
        self._appears = not folder.exists()
        self._aside: TemporaryDirectory[str] | None = None
        self._names: list[str] = []

    def __enter__(self) -> Self:
        """Raise LinewardError(Unwritable) where nothing can be written."""
        beside = self._folder.parent if self._appears else self._folder
        try:
            beside.mkdir(parents=True, exist_ok=True)
            self._aside = TemporaryDirectory(dir=beside, prefix=".attest-")
            self._new.mkdir()
        except OSError as error:
            raise LinewardError(Reason.UNWRITABLE, f"{self._folder} cannot be written: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._aside is not None:
            self._aside.cleanup()

    def require_free(self, *suffixes: str) -> None:
        """Find out before there is work to lose. Raises InvalidInputError(RequestInvalid) where a file is there."""
        for name in map(self._name, suffixes):
            if not self._force and (self._folder / name).exists():
                raise InvalidInputError(Reason.REQUEST_INVALID, f"{self._folder / name} is there; --force replaces it")

    @contextlib.contextmanager
    def open(self, suffix: str) -> Iterator[BinaryIO]:
        """A file to write to, on disk when the block ends. Raises as `require_free` does."""
        self.require_free(suffix)
        with self._open(self._name(suffix)) as file:
            yield file

    def add(self, suffix: str, content: bytes) -> None:
        """Add a whole file. Raises as `open` does."""
        with self.open(suffix) as file:
            file.write(content)

    def put(self, name: str, content: bytes) -> None:
        """Add a whole file by its full name, in the place of one that is there."""
        with self._open(name) as file:
            file.write(content)

    def written(self, suffix: str) -> Path:
        """Where an added file is until `commit`."""
        return self._new / self._name(suffix)

    def commit(self) -> list[Path]:
        """Move all files into place and name them. Raises LinewardError(Unwritable), with none of them left."""
        try:
            if self._appears:
                self._new.rename(self._folder)
            else:
                self._move_each()
        except OSError as error:
            raise LinewardError(Reason.UNWRITABLE, f"{self._folder} cannot be written: {error.strerror}") from error
        return [self._folder / name for name in self._names]

    def _move_each(self) -> None:
        with contextlib.ExitStack() as undo:
            for name in self._names:
                there, before = self._folder / name, self._new.with_name(f"before-{name}")
                if there.exists():
                    there.rename(before)
                    undo.callback(before.rename, there)
                undo.callback(there.unlink, missing_ok=True)
                (self._new / name).rename(there)
            undo.pop_all()

    @contextlib.contextmanager
    def _open(self, name: str) -> Iterator[BinaryIO]:
        with (self._new / name).open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        self._names.append(name)

    def _name(self, suffix: str) -> str:
        return f"{self._stem}{'-' if '.' in suffix else '.'}{suffix}"

    @property
    def _new(self) -> Path:
        if self._aside is None:
            raise LinewardError(Reason.INTERNAL_ERROR, "outputs are used outside their block")
        return Path(self._aside.name) / "new"
