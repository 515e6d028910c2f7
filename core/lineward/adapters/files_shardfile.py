"""The file in which a worker leaves its part of a folder for `merge`; its end shows whether it is whole.

Header: magic, parameters, number, of how many, fingerprint and totals of the whole folder as the worker saw it. Then
frames, each a letter, u32 length and data: `e` encoded entries, `p` a stretch of a large file's chunk digests, and last
`z`, the SHA-256 of all that stands before it. The digest is against accidents: workers trust each other.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from lineward.domain.manifest import HEADER, Parameters, invalid

_MAGIC = b"LWS1"
_HEAD = struct.Struct(">4s16sII32sQQQ")
_FRAME = struct.Struct(">cI")
_MAX_FRAME = 1 << 28
PART_HEAD = struct.Struct(">QQQI")
"""Begins a PART: first and last chunk, size of the file, length of the entry that follows, before the digests."""
ENTRIES, PART, _END = b"e", b"p", b"z"


@dataclass(frozen=True, slots=True)
class Whole:
    """What all shards of one folder agree on; `fingerprint` stands for all names, sizes and times, 32 bytes."""

    parameters: Parameters
    count: int
    fingerprint: bytes
    totals: tuple[int, int, int]
    """Entries, files, bytes."""


class ShardWriter:
    """Writes one shard to a file; without `finish` it is not one."""

    def __init__(self, out: BinaryIO, whole: Whole, number: int) -> None:
        self._out = out
        self._hasher = hashlib.sha256()
        head = (_MAGIC, whole.parameters.encode(), number, whole.count, whole.fingerprint, *whole.totals)
        self._put(_HEAD.pack(*head))

    def frame(self, kind: bytes, data: bytes) -> None:
        """Append a frame."""
        self._put(_FRAME.pack(kind, len(data)) + data)

    def finish(self) -> None:
        """Write the end."""
        self.frame(_END, self._hasher.digest())

    def _put(self, data: bytes) -> None:
        self._hasher.update(data)
        self._out.write(data)


class ShardReader:
    """Reads one shard; raises InvalidInputError(ManifestInvalid) where it is cut off or damaged."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hasher = hashlib.sha256()
        data = self._take(_HEAD.size)
        if not data.startswith(_MAGIC):
            raise invalid("this is not a shard")
        _, parameters, self.number, count, fingerprint, *totals = _HEAD.unpack(data)
        entries, files, size = totals
        self.whole = Whole(Parameters.decode(parameters[: HEADER.size]), count, fingerprint, (entries, files, size))

    def frames(self) -> Iterator[tuple[bytes, bytes]]:
        """Kind and data of each frame; what they say is only to be believed once the last one has come."""
        while True:
            expected = self._hasher.digest()
            kind, length = _FRAME.unpack(self._take(_FRAME.size))
            data = self._take(length)
            if kind == _END:
                break
            yield kind, data
        if data != expected or self._file.read(1):
            raise invalid("a shard is damaged")

    def _take(self, size: int) -> bytes:
        data = self._file.read(size) if size <= _MAX_FRAME else b""
        if len(data) != size:
            raise invalid("a shard is cut off")
        self._hasher.update(data)
        return data
