"""Writes a set of files that belong together: all of them, or none."""

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

    Aside is a hidden folder on the same file system, so that each file moves into place whole; the order of `add` is
    the order of moving, and a failed move takes back those before it.
    """

    def __init__(self, folder: Path, stem: str, data: Path, *, force: bool) -> None:
        """Raise InvalidInputError(RequestInvalid) where the files would lie inside the data they describe."""
        if folder.resolve().is_relative_to(data.resolve()):
            problem = f"{folder} lies inside the data; give --out another folder"
            raise InvalidInputError(Reason.REQUEST_INVALID, problem)
        self._folder, self._stem, self._force = folder, stem, force
        self._made = not folder.exists()
        self._aside: TemporaryDirectory[str] | None = None
        self._names: list[str] = []

    def __enter__(self) -> Self:
        """Raise LinewardError(Unreadable) where nothing can be written."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._aside = TemporaryDirectory(dir=self._folder, prefix=".attest-")
        except OSError as error:
            raise LinewardError(Reason.UNREADABLE, f"{self._folder} cannot be written: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._aside is not None:
            self._aside.cleanup()
        if self._made:
            with contextlib.suppress(OSError):
                self._folder.rmdir()

    @contextlib.contextmanager
    def open(self, suffix: str) -> Iterator[BinaryIO]:
        """A file to write to, on disk when the block ends. Raises InvalidInputError(RequestInvalid) if it is there."""
        with self._open(f"{self._stem}{'-' if '.' in suffix else '.'}{suffix}") as file:
            yield file

    @contextlib.contextmanager
    def _open(self, name: str) -> Iterator[BinaryIO]:
        if not self._force and (self._folder / name).exists():
            raise InvalidInputError(Reason.REQUEST_INVALID, f"{self._folder / name} is there; --force replaces it")
        with self._path(name).open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        self._names.append(name)

    def add(self, suffix: str, content: bytes) -> None:
        """Add a whole file. Raises as `open` does."""
        with self.open(suffix) as file:
            file.write(content)

    def put(self, name: str, content: bytes) -> None:
        """Add a whole file by its full name. Raises as `open` does."""
        with self._open(name) as file:
            file.write(content)

    def written(self, suffix: str) -> Path:
        """Where an added file is until `commit`."""
        return self._path(f"{self._stem}.{suffix}")

    def commit(self) -> list[Path]:
        """Move all files into place and name them. Raises LinewardError(Unreadable), with none of them left."""
        done: list[Path] = []
        try:
            for name in self._names:
                self._path(name).replace(self._folder / name)
                done.append(self._folder / name)
        except OSError as error:
            for path in done:
                path.unlink(missing_ok=True)
            raise LinewardError(Reason.UNREADABLE, f"{self._folder} cannot be written: {error.strerror}") from error
        self._made = False
        return done

    def _path(self, name: str) -> Path:
        if self._aside is None:
            raise LinewardError(Reason.INTERNAL_ERROR, "outputs are used outside their block")
        return Path(self._aside.name) / name
