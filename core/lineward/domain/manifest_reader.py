"""Reads a manifest as a stream and believes none of it: every rule of the format is checked on the way.

What has been read is only known to be a whole, canonical manifest once the last page was taken; callers that act on
names before must drop them if the end raises.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from typing import BinaryIO

from lineward import native
from lineward.domain.digest import Digest
from lineward.domain.entry import check_follows, decode_all
from lineward.domain.manifest import (
    FOOTER,
    HEADER,
    INDEX,
    MAX_PAGE_BYTES,
    MAX_PAGE_ENTRIES,
    MAX_PAGES,
    PAGE,
    Page,
    Parameters,
    Profile,
    Summary,
    Totals,
    invalid,
)
from lineward.domain.merkle import HASH_BYTES, Frontier, leaf_hash


class ManifestReader:
    """One pass over a manifest. `parameters` is known at once, `summary` after `pages` is exhausted."""

    def __init__(self, stream: BinaryIO) -> None:
        """Raise InvalidInputError(ManifestInvalid) where the stream does not begin like a manifest."""
        self._stream = stream
        self._digest = hashlib.sha256()
        self._position = 0
        self.parameters = Parameters.decode(self._read(HEADER.size))
        self._previous = b""
        self._frontier = Frontier()
        self._frontier.append(leaf_hash(self.parameters.encode()))
        self._index = bytearray()
        self._entries = self._files = self._bytes = 0
        self._ended_on_mark = True
        self._last_size = (0, 0)
        self.summary: Summary | None = None

    def pages(self) -> Iterator[Page]:
        """Yield the pages in order, each checked; at the end check index, footer, root and that nothing follows.

        Raises InvalidInputError(ManifestInvalid).
        """
        while True:
            tag, length, count = PAGE.unpack(self._read(PAGE.size))
            if tag == b"I":
                self._finish(self._position - PAGE.size, length, count)
                return
            if tag != b"P" or not 0 < length <= MAX_PAGE_BYTES or not 0 < count <= MAX_PAGE_ENTRIES:
                raise invalid("a page does not begin like one")
            if len(self._index) // INDEX.size == MAX_PAGES:
                raise invalid("the manifest has too many pages")
            yield self._page(self._read(length), count)

    @property
    def totals(self) -> Totals:
        """What has been read so far."""
        return Totals(self._entries, self._files, self._bytes)

    def _page(self, body: bytes, count: int) -> Page:
        lengths = self._check_entries(body)
        if len(lengths) != count:
            raise invalid("a page holds another number of entries than it says")
        leaves = native.leaf_hashes(body, lengths.tobytes())
        self._check_ends(leaves, lengths[0], len(body))
        self._frontier.extend(leaves)
        self._index += INDEX.pack(len(body), count, hashlib.sha256(body).digest())
        return Page(body, count, leaves)

    def _check_entries(self, body: bytes) -> array[int]:
        modes = self.parameters.profile is Profile.POSIX
        quick = native.check_entries(body, self._previous, modes)
        if not quick:
            return self._explain_entries(body)
        lengths, files, size, self._previous = quick
        self._files += files
        self._bytes += size
        self._entries += len(lengths) // 4
        return array("I", lengths)

    def _explain_entries(self, body: bytes) -> array[int]:
        """The rules in words: says which one is broken, and checks where no compiled engine does."""
        lengths = array("I")
        for entry in decode_all(body):
            check_follows(self._previous, entry, self.parameters.profile)
            self._previous = entry.path
            self._files += entry.is_file
            self._bytes += entry.size if entry.is_file else 0
            self._entries += 1
            lengths.append(len(entry.encode()))
        return lengths

    def _check_ends(self, leaves: bytes, first: int, length: int) -> None:
        """A page must end where the rule says, so that a set has exactly one manifest."""
        entries, size = self._last_size
        if not self._ended_on_mark and entries < MAX_PAGE_ENTRIES and size + first <= MAX_PAGE_BYTES:
            raise invalid("a page ends too early")
        mark = leaves[::HASH_BYTES].find(0)
        if 0 <= mark < len(leaves) // HASH_BYTES - 1:
            raise invalid("a page ends too late")
        self._ended_on_mark = mark >= 0
        self._last_size = (len(leaves) // HASH_BYTES, length)

    def _finish(self, index_at: int, length: int, count: int) -> None:
        if length != len(self._index) or count != length // INDEX.size or self._read(length) != self._index:
            raise invalid("the index does not fit the pages")
        trailer, position, root = FOOTER.unpack(self._read(FOOTER.size))
        totals = Totals.decode(trailer)
        if position != index_at or totals != self.totals:
            raise invalid("the footer does not fit the pages")
        self._frontier.append(leaf_hash(trailer))
        if root != self._frontier.root():
            raise invalid("the root does not fit the entries")
        if self._stream.read(1):
            raise invalid("the manifest is followed by other bytes")
        self.summary = Summary(
            Digest(root), Digest(self._digest.digest()), self._position, self._files, self._bytes, self.parameters
        )

    def _read(self, size: int) -> bytes:
        """Exactly `size` bytes, which the caller has bounded."""
        parts = []
        missing = size
        while missing:
            part = self._stream.read(missing)
            if not part:
                raise invalid("the manifest is cut off")
            parts.append(part)
            missing -= len(part)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._digest.update(data)
        self._position += size
        return data
