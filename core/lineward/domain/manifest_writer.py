"""Writes a manifest as a stream: entries in, pages out, and the root at the end."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable

from lineward import native
from lineward.domain.digest import Digest
from lineward.domain.entry import Entry
from lineward.domain.manifest import (
    FOOTER,
    INDEX,
    MAX_BYTES,
    MAX_PAGE_BYTES,
    MAX_PAGE_ENTRIES,
    MAX_PAGES,
    PAGE,
    Page,
    Parameters,
    Summary,
    Totals,
    invalid,
)
from lineward.domain.merkle import HASH_BYTES, Frontier, leaf_hash


class Pager:
    """Cuts a stream of entries into pages whose ends depend on the entries near them alone.

    A page ends behind an entry whose leaf hash begins with a zero byte, and before it would pass a limit. So an entry
    that is inserted changes one page or two and not all that follow.
    """

    def __init__(self, emit: Callable[[Page], None]) -> None:
        self._emit = emit
        self._body = bytearray()
        self._leaves = bytearray()
        self._entries = 0

    def extend(self, blob: bytes, lengths: bytes, leaves: bytes) -> None:
        """Add entries, joined; `lengths` holds their lengths as native u32, `leaves` their leaf hashes, joined."""
        marks = leaves[::HASH_BYTES]
        sizes = memoryview(lengths).cast("I")
        first = position = 0
        while first < len(marks):
            mark = marks.find(0, first)
            last = mark + 1 if mark >= 0 else len(marks)
            length = sum(sizes[first:last])
            if self._entries + last - first > MAX_PAGE_ENTRIES or len(self._body) + length > MAX_PAGE_BYTES:
                self._add_singly(blob, position, sizes[first:last], leaves[first * HASH_BYTES : last * HASH_BYTES])
            else:
                self._body += blob[position : position + length]
                self._leaves += leaves[first * HASH_BYTES : last * HASH_BYTES]
                self._entries += last - first
            if mark >= 0:
                self.flush()
            first, position = last, position + length

    def _add_singly(self, blob: bytes, position: int, sizes: memoryview[int], leaves: bytes) -> None:
        for at, size in enumerate(sizes):
            if self._entries == MAX_PAGE_ENTRIES or len(self._body) + size > MAX_PAGE_BYTES:
                self.flush()
            self._body += blob[position : position + size]
            self._leaves += leaves[at * HASH_BYTES : (at + 1) * HASH_BYTES]
            self._entries += 1
            position += size

    def flush(self) -> None:
        """End the page, unless it is empty."""
        if self._entries:
            self._emit(Page(bytes(self._body), self._entries, bytes(self._leaves)))
            self._body.clear()
            self._leaves.clear()
            self._entries = 0


class Tally:
    """Root and totals of entries that come in order; keeps one hash for each level of the tree."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self._frontier = Frontier()
        self._frontier.append(leaf_hash(parameters.encode()))
        self._entries = self._files = self._bytes = 0

    def extend(self, leaves: bytes, files: int, size: int) -> None:
        """Add entries by their leaf hashes, joined, among them `files` files of `size` bytes in all."""
        self._frontier.extend(leaves)
        self._entries += len(leaves) // HASH_BYTES
        self._files += files
        self._bytes += size

    @property
    def totals(self) -> Totals:
        """What has been added so far."""
        return Totals(self._entries, self._files, self._bytes)

    def finish(self) -> Digest:
        """Add the totals and give the root. An empty set has none: the caller refuses it before."""
        self._frontier.append(leaf_hash(self.totals.encode()))
        return Digest(self._frontier.root())


class ManifestWriter:
    """Takes entries in order and hands a manifest's bytes to `write`. Memory: one page and 40 bytes a page.

    Raises InvalidInputError(ManifestInvalid) for more pages or bytes than the format has room for.

    It trusts its caller with order and canonical form, as reading a whole manifest back costs more than writing it.
    """

    def __init__(self, parameters: Parameters, write: Callable[[bytes], object] | None) -> None:
        """`write` takes the manifest's bytes; without it they are only counted and hashed."""
        self.parameters = parameters
        self._sink = write
        self._digest = hashlib.sha256()
        self._position = 0
        self._pager = Pager(self._page)
        self._index = bytearray()
        self._tally = Tally(parameters)
        self._write(parameters.encode())

    def extend(self, blob: bytes, lengths: bytes, files: int, size: int) -> None:
        """Append encoded entries, among them `files` files of `size` bytes in all."""
        leaves = native.leaf_hashes(blob, lengths)
        self._tally.extend(leaves, files, size)
        self._pager.extend(blob, lengths, leaves)

    def append(self, entry: Entry) -> None:
        """Append one entry."""
        data = entry.encode()
        size = entry.size if entry.is_file else 0
        self.extend(data, array("I", [len(data)]).tobytes(), int(entry.is_file), size)

    @property
    def totals(self) -> Totals:
        """What has been appended so far."""
        return self._tally.totals

    def finish(self) -> Summary:
        """Write index and footer. An empty set has no manifest: the caller refuses it before."""
        self._pager.flush()
        totals = self.totals
        if totals.size > MAX_BYTES:
            raise invalid("the files of a manifest have at most 2^63 - 1 bytes")
        root = self._tally.finish()
        index_at = self._position
        self._write(PAGE.pack(b"I", len(self._index), len(self._index) // INDEX.size))
        self._write(bytes(self._index))
        self._write(FOOTER.pack(totals.encode(), index_at, root.raw))
        return Summary(root, Digest(self._digest.digest()), self._position, totals.files, totals.size, self.parameters)

    def _page(self, page: Page) -> None:
        if len(self._index) == MAX_PAGES * INDEX.size:
            raise invalid(f"a manifest has at most {MAX_PAGES} pages")
        self._index += INDEX.pack(len(page.body), page.entries, hashlib.sha256(page.body).digest())
        self._write(PAGE.pack(b"P", len(page.body), page.entries))
        self._write(page.body)

    def _write(self, data: bytes) -> None:
        self._digest.update(data)
        self._position += len(data)
        if self._sink:
            self._sink(data)
