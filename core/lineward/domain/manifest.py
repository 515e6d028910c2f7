"""The words of manifest v1: profile, parameters, header, trailer, page ends and limits.

`docs/formats/manifest-v1.md` is the contract; this module and `entry` are its only encoders.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple, Self

from lineward.domain.digest import Digest
from lineward.domain.errors import InvalidInputError
from lineward.domain.reasons import Reason

MAGIC = b"\x89LWM\r\n\x1a\n"
"""Shows a transfer that changed line ends or the eighth bit, as PNG's signature does (RFC 2083 section 3.1)."""
VERSION = 1
SHA256 = 1
DEFAULT_CHUNK_BYTES = 8 * 1024 * 1024
MIN_CHUNK_BYTES = 4096
MAX_CHUNK_BYTES = 1 << 30

MAX_PAGE_ENTRIES = 2048
MAX_PAGE_BYTES = 1 << 20
"""Bound what a reader holds; a page has 256 entries on average."""
MAX_PAGES = 1 << 24
MAX_BYTES = (1 << 63) - 1
"""Largest sum of file sizes: what off_t can say."""

HEADER = struct.Struct(">8sHBBI")
PAGE = struct.Struct(">cII")
INDEX = struct.Struct(">II32s")
TRAILER = struct.Struct(">cQQQ")
FOOTER = struct.Struct(">25sQ32s")


class Profile(StrEnum):
    """What an entry commits to."""

    PORTABLE = "portable"
    """Regular files and the directories that hold them; everything else refuses."""
    POSIX = "posix"
    """Adds symlinks with their target, empty directories and the owner's executable bit."""


_PROFILE_CODES = {Profile.PORTABLE: 1, Profile.POSIX: 2}


class _Parameters(NamedTuple):
    profile: Profile
    chunk_bytes: int


class Parameters(_Parameters):
    """All that changes a root beside the data; part of the tree as its first leaf.

    `chunk_bytes` is a power of two from 4 KiB to 1 GiB: a file above it is hashed in chunks of that size.
    Raises InvalidInputError(ManifestInvalid) for any other.
    """

    __slots__ = ()

    def __new__(cls, profile: Profile = Profile.PORTABLE, chunk_bytes: int = DEFAULT_CHUNK_BYTES) -> Self:
        if not MIN_CHUNK_BYTES <= chunk_bytes <= MAX_CHUNK_BYTES or chunk_bytes & (chunk_bytes - 1):
            raise invalid("the chunk size must be a power of two from 4 KiB to 1 GiB")
        return super().__new__(cls, profile, chunk_bytes)

    @classmethod  # mypy makes up a signature that nobody can repeat
    def _make(cls, iterable: Iterable[Any]) -> Self:  # type: ignore[override]
        """What `_replace` calls: it is to check as well."""
        return cls(*iterable)

    def encode(self) -> bytes:
        """The 16 bytes that open a manifest, and the first leaf of its tree."""
        return HEADER.pack(MAGIC, VERSION, SHA256, _PROFILE_CODES[self.profile], self.chunk_bytes)

    @classmethod
    def decode(cls, header: bytes) -> Parameters:
        """Inverse of `encode`; raises InvalidInputError(ManifestInvalid)."""
        if len(header) != HEADER.size or not header.startswith(MAGIC):
            raise invalid("this is not a Lineward manifest")
        _, version, algorithm, profile, chunk_bytes = HEADER.unpack(header)
        if version != VERSION:
            raise invalid(f"manifest version {version} is not known here; version {VERSION} is")
        if algorithm != SHA256:
            raise invalid(f"hash algorithm {algorithm} is not known")
        for known, code in _PROFILE_CODES.items():
            if code == profile:
                return cls(known, chunk_bytes)
        raise invalid(f"profile {profile} is not known")


class Totals(NamedTuple):
    """What a whole set amounts to; the last leaf of its tree. `size` sums the sizes of files."""

    entries: int
    files: int
    size: int

    def encode(self) -> bytes:
        """The 25 bytes of the last leaf."""
        return TRAILER.pack(b"E", self.entries, self.files, self.size)

    @classmethod
    def decode(cls, leaf: bytes) -> Totals:
        """Inverse of `encode`; raises InvalidInputError(ManifestInvalid)."""
        if len(leaf) != TRAILER.size or not leaf.startswith(b"E"):
            raise invalid("the manifest does not end with its totals")
        _, entries, files, size = TRAILER.unpack(leaf)
        if not entries > 0 or files > entries or size > MAX_BYTES:
            raise invalid("the manifest's totals cannot be true")
        return cls(entries, files, size)


class Summary(NamedTuple):
    """A finished manifest in one line. `root` is over the tree, `manifest` over the manifest file's bytes."""

    root: Digest
    manifest: Digest
    manifest_bytes: int
    files: int
    bytes: int
    parameters: Parameters


class Page(NamedTuple):
    """Entries that are neighbours, still encoded, and their leaf hashes, joined. Equal bodies hold equal entries."""

    body: bytes
    entries: int
    leaves: bytes


def invalid(message: str) -> InvalidInputError:
    """The error of every malformed manifest."""
    return InvalidInputError(Reason.MANIFEST_INVALID, message)
