"""One entry of a manifest: a path and what it must be. Its encoding is the leaf that the root commits to."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from lineward.domain.manifest import MAX_BYTES, Profile, invalid

MAX_NAME_BYTES = 255
"""NAME_MAX of Linux (limits.h); no file system of the kernel has longer names."""
MAX_PATH_BYTES = 32767
"""The encoding holds 65535; readers may use a signed 16-bit length."""
MAX_DEPTH = 512
"""Components of a path; one directory stays open for each level while a tree is read."""
MAX_TARGET_BYTES = 4095
"""PATH_MAX of Linux without its NUL: no symlink can hold more."""

_HEAD = struct.Struct(">cHQ")
_DIGEST_BYTES = 32


class Kind(StrEnum):
    """What stands at a path; the value is the first byte of the encoding."""

    FILE = "F"
    EXECUTABLE = "X"
    SYMLINK = "L"
    DIRECTORY = "D"
    """Empty directories only: the others follow from the paths below them."""

    @property
    def word(self) -> str:
        """The kind in words for people."""
        return _WORDS[self]


_WORDS = {
    Kind.FILE: "file",
    Kind.EXECUTABLE: "executable file",
    Kind.SYMLINK: "symlink",
    Kind.DIRECTORY: "empty directory",
}
PORTABLE_KINDS = frozenset({Kind.FILE})


class Entry(NamedTuple):
    """A path with what stands there.

    `path` is relative, its components joined by "/"; any bytes but NUL. `size` is the file's in bytes, the length of
    a symlink's target, or 0. `content` is a file's digest (32 bytes), a symlink's target, or empty.
    """

    kind: Kind
    path: bytes
    size: int
    content: bytes

    @property
    def is_file(self) -> bool:
        """Whether the entry stands for a regular file."""
        return self.kind in {Kind.FILE, Kind.EXECUTABLE}

    def encode(self) -> bytes:
        """Canonical bytes. Law: `decode(e.encode()) == e`."""
        return _HEAD.pack(self.kind.value.encode(), len(self.path), self.size) + self.path + self.content


def decode(data: bytes) -> Entry:
    """Parse one entry that takes up all of `data`; raises InvalidInputError(ManifestInvalid)."""
    entry, end = decode_at(data, 0)
    if end != len(data):
        raise invalid("an entry is followed by other bytes")
    return entry


def decode_at(data: bytes, start: int) -> tuple[Entry, int]:
    """Parse the entry that begins at `start`; also returns where it ends.

    Raises InvalidInputError(ManifestInvalid) for anything that `Entry.encode` of a valid entry cannot have written.
    """
    path_at = start + _HEAD.size
    if path_at > len(data):
        raise invalid("an entry is cut off")
    letter, path_length, size = _HEAD.unpack_from(data, start)
    try:
        kind = Kind(letter.decode("latin-1"))
    except ValueError:
        raise invalid(f"entry kind {letter!r} is not known") from None
    content_at = path_at + path_length
    end = content_at + _content_length(kind, size)
    if end > len(data):
        raise invalid("an entry is cut off")
    entry = Entry(kind, data[path_at:content_at], size, data[content_at:end])
    check_path(entry.path)
    return entry, end


def _content_length(kind: Kind, size: int) -> int:
    if kind is Kind.SYMLINK:
        if not 0 < size <= MAX_TARGET_BYTES:
            raise invalid("a symlink's target has a length that no symlink has")
        return size
    if kind is Kind.DIRECTORY:
        if size:
            raise invalid("a directory has no size")
        return 0
    if size > MAX_BYTES:
        raise invalid("a file is larger than any file can be")
    return _DIGEST_BYTES


def check_path(path: bytes) -> None:
    """Raise InvalidInputError(ManifestInvalid) unless `path` is the one way to write a relative path."""
    names = path.split(b"/")
    if len(path) > MAX_PATH_BYTES or len(names) > MAX_DEPTH:
        raise invalid("a path is too long or too deep")
    if b"\0" in path:
        raise invalid("a path holds a NUL byte")
    for name in names:
        if name in {b"", b".", b".."} or len(name) > MAX_NAME_BYTES:
            raise invalid(f"{printable(path)} is not a path in its one canonical form")


def order(path: bytes) -> bytes:
    """Key that sorts paths by their components: a directory's entries are neighbours, whatever their names."""
    return path.replace(b"/", b"\0")


def check_follows(previous: bytes, entry: Entry, profile: Profile) -> None:
    """Raise InvalidInputError(ManifestInvalid) where `entry` may not stand after the path `previous` (or none)."""
    if profile is Profile.PORTABLE and entry.kind not in PORTABLE_KINDS:
        raise invalid(f"the portable profile has no {entry.kind.word}")
    if not previous:
        return
    if order(previous) >= order(entry.path):
        raise invalid(f"{printable(entry.path)} is out of order")
    if entry.path.startswith(previous + b"/"):
        raise invalid(f"{printable(previous)} is both an entry and a directory with entries")


def decode_all(body: bytes) -> Iterator[Entry]:
    """Entries of a page's body, one after the other; raises InvalidInputError(ManifestInvalid)."""
    position = 0
    while position < len(body):
        entry, position = decode_at(body, position)
        yield entry


def printable(path: bytes) -> str:
    r"""A path for people and logs: UTF-8 where it is, `\xNN` for control characters and other bytes.

    A backslash is doubled, so that no two paths look the same.
    """
    text = path.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8"))
