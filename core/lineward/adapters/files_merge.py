"""Joins the shards of a folder into the manifest of the whole."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import BinaryIO

from lineward import native
from lineward.adapters.files_shardfile import ENTRIES, PART, PART_HEAD, ShardReader
from lineward.domain.entry import check_follows, decode_all
from lineward.domain.manifest import Summary, invalid
from lineward.domain.manifest_writer import ManifestWriter
from lineward.domain.merkle import HASH_BYTES, root_of


def merge_shards(shards: Sequence[Callable[[], BinaryIO]], out: BinaryIO | None) -> Summary:
    """Write the manifest of the whole from all its shards, in any order.

    Each is opened twice, by calling it, and never two at a time: there may be more of them than descriptors.
    Raises InvalidInputError(ManifestInvalid) where shards are missing, doubled, damaged, or not of one folder, and
    OSError.
    """
    heads = []
    for each in shards:
        with each() as file:
            reader = ShardReader(file)
        heads.append((reader.number, reader.whole, each))
    heads.sort(key=lambda head: head[0])
    if not heads:
        raise invalid("there is no shard to merge")
    whole = heads[0][1]
    if any(other != whole for _, other, _ in heads):
        raise invalid("these shards are not of one folder, or it changed between them")
    if [number for number, _, _ in heads] != list(range(whole.count)):
        raise invalid("these are not all shards of the folder, each once")
    merger = _Merger(ManifestWriter(whole.parameters, out.write if out else None))
    for number, _, each in heads:
        with each() as file:
            reader = ShardReader(file)
            if (reader.number, reader.whole) != (number, whole):
                raise invalid("a shard changed while it was read")
            for kind, data in reader.frames():
                merger.feed(kind, data)
    return merger.finish(whole.totals)


class _Merger:
    """Joins frames in order; a large file is complete when all its chunks have come."""

    def __init__(self, writer: ManifestWriter) -> None:
        self._writer = writer
        self._previous = b""
        self._head = b""
        self._chunks = bytearray()

    def feed(self, kind: bytes, data: bytes) -> None:
        """Add a frame; raises InvalidInputError(ManifestInvalid) where it does not follow."""
        if kind == PART:
            self._part(data)
        elif kind != ENTRIES:
            raise invalid("a shard is damaged")
        elif self._head:
            raise invalid("a large file lacks chunks")
        else:
            self._entries(data)

    def finish(self, expected: tuple[int, int, int]) -> Summary:
        """Write the end; raises InvalidInputError(ManifestInvalid) where it is not all that was seen in the folder."""
        found = self._writer.totals
        if self._head or (found.entries, found.files, found.size) != expected:
            raise invalid("the shards lack data")
        return self._writer.finish()

    def _entries(self, data: bytes) -> None:
        entries = list(decode_all(data))
        for entry in entries:
            check_follows(self._previous, entry, self._writer.parameters.profile)
            self._previous = entry.path
        lengths = array("I", (len(entry.encode()) for entry in entries)).tobytes()
        files = [entry.size for entry in entries if entry.is_file]
        self._writer.extend(data, lengths, len(files), sum(files))

    def _part(self, data: bytes) -> None:
        if len(data) < PART_HEAD.size:
            raise invalid("a shard is cut off")
        first, last, size, length = PART_HEAD.unpack_from(data)
        head, chunks = data[PART_HEAD.size : PART_HEAD.size + length], data[PART_HEAD.size + length :]
        if self._head not in {b"", head} or first * HASH_BYTES != len(self._chunks):
            raise invalid("the chunks of a large file do not follow each other")
        if len(chunks) != (last - first) * HASH_BYTES:
            raise invalid("a shard is cut off")
        self._head, count = head, -(-size // self._writer.parameters.chunk_bytes)
        self._chunks += chunks
        if last != count:
            return
        lengths = array("I", [HASH_BYTES]) * count
        digest = root_of(native.leaf_hashes(bytes(self._chunks), lengths.tobytes()))
        self._head, self._chunks = b"", bytearray()
        self._entries(head[:-HASH_BYTES] + digest)
