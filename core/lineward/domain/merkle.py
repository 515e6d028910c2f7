"""The Merkle tree of RFC 6962 section 2.1, built as a stream: one signed root stands for a whole set.

Because equal parts of the tree have equal hashes wherever they are computed, parts can be hashed by different workers,
left out of a proof, and joined again. Everything here works on 32-byte SHA-256 values; `leaves` are such values
joined into one bytes object, which lets compiled code fold a million of them in one call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from lineward import native

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

Range = tuple[int, int]
"""Leaf indices from the first to one past the last."""


def leaf_hash(data: bytes) -> bytes:
    """Hash of one leaf: SHA-256(0x00 || data)."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\1" + left + right).digest()


class Frontier:
    """The roots of the perfect subtrees that a growing tree consists of: all that is needed to go on growing it.

    Memory is one hash for each bit of `size`. Laws: `extend(a); extend(b)` equals `extend(a + b)`; a subtree of
    `2**level` leaves may be appended as its root whenever `size` is a multiple of `2**level`.
    """

    __slots__ = ("_levels", "_nodes", "size")

    def __init__(self) -> None:
        self.size = 0
        self._nodes: list[bytes] = []
        self._levels: list[int] = []

    def append(self, node: bytes, level: int = 0) -> None:
        """Append a perfect subtree of `2**level` leaves by its root.

        Raises ValueError where `size` is not a multiple of `2**level`: the subtree would not be one of this tree's.
        """
        if self.size % (1 << level):
            raise ValueError("the subtree does not start at a multiple of its size")
        self.size += 1 << level
        while self._levels and self._levels[-1] == level:
            self._levels.pop()
            node = node_hash(self._nodes.pop(), node)
            level += 1
        self._nodes.append(node)
        self._levels.append(level)

    def extend(self, leaves: bytes) -> None:
        """Append leaf hashes, joined; a large perfect part is folded in one call."""
        count = len(leaves) // HASH_BYTES
        done = 0
        while done < count:
            level = _largest_level(self.size, count - done)
            part = leaves[done * HASH_BYTES : (done + (1 << level)) * HASH_BYTES]
            self.append(native.perfect_root(part), level)
            done += 1 << level

    def root(self) -> bytes:
        """Root of the tree of all leaves appended so far; `EMPTY_ROOT` before the first."""
        if not self._nodes:
            return EMPTY_ROOT
        root = self._nodes[-1]
        for node in reversed(self._nodes[:-1]):
            root = node_hash(node, root)
        return root

    def nodes(self) -> tuple[bytes, ...]:
        """Roots of the perfect subtrees, leftmost first."""
        return tuple(self._nodes)


def _largest_level(start: int, count: int) -> int:
    level = count.bit_length() - 1
    if start:
        level = min(level, (start & -start).bit_length() - 1)
    return level


def root_of(leaves: bytes) -> bytes:
    """Root over joined leaf hashes."""
    frontier = Frontier()
    frontier.extend(leaves)
    return frontier.root()


def perfect_ranges(first: int, last: int) -> list[Range]:
    """Cut `[first, last)` into the largest aligned perfect subtrees, left to right."""
    ranges = []
    while first < last:
        level = _largest_level(first, last - first)
        ranges.append((first, first + (1 << level)))
        first += 1 << level
    return ranges


def audit_ranges(index: int, size: int) -> list[Range]:
    """Leaf ranges of the siblings in the audit path of `index` (RFC 6962 section 2.1.1), leaf upwards."""
    first, last, ranges = 0, size, []
    while last - first > 1:
        middle = first + (1 << ((last - first - 1).bit_length() - 1))
        if index < middle:
            ranges.append((middle, last))
            last = middle
        else:
            ranges.append((first, middle))
            first = middle
    return ranges[::-1]


def fold_ranges(leaves: Iterable[bytes], ranges: Sequence[Range]) -> list[bytes]:
    """Roots over each of the disjoint `ranges`, in their order, from one pass over joined leaf hashes.

    Memory is one frontier, whatever the ranges. Raises ValueError if the leaves end before the ranges do.
    """
    roots: dict[Range, bytes] = {}
    pending = iter(sorted(ranges))
    current = next(pending, None)
    frontier = Frontier()
    for start, block in _positions(leaves):
        end = start + len(block) // HASH_BYTES
        while current and current[0] < end:
            low, high = max(current[0], start), min(current[1], end)
            frontier.extend(block[(low - start) * HASH_BYTES : (high - start) * HASH_BYTES])
            if high < current[1]:
                break
            roots[current] = frontier.root()
            frontier = Frontier()
            current = next(pending, None)
    if current:
        raise ValueError("the tree ends before the range does")
    return [roots[each] for each in ranges]


def _positions(blocks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    position = 0
    for block in blocks:
        yield position, block
        position += len(block) // HASH_BYTES


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Root that an audit path leads to (RFC 9162 section 2.1.3.2).

    Raises ValueError where the path is too short or too long for that place in that tree.
    """
    if not 0 <= index < size:
        raise ValueError("the index is outside the tree")
    position, last, root = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise ValueError("the path is too long")
        if position & 1 or position == last:
            root = node_hash(sibling, root)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            root = node_hash(root, sibling)
        position >>= 1
        last >>= 1
    if last:
        raise ValueError("the path is too short")
    return root


class RangeFold:
    """Root of a tree of which only `[first, last)` is at hand; the rest is given as perfect subtrees.

    The outside of the range is `perfect_ranges(0, first)` and `perfect_ranges(last, size)`. No leaf inside can be left
    out, added or moved without another root, since every leaf's place is part of the hash.
    """

    def __init__(self, first: int, left: Sequence[bytes]) -> None:
        """Raise ValueError where `left` is not one hash for each subtree before `first`."""
        ranges = perfect_ranges(0, first)
        self._frontier = Frontier()
        self._add(ranges, left)

    def extend(self, leaves: bytes) -> None:
        """Append leaf hashes of the range, joined."""
        self._frontier.extend(leaves)

    def root(self, size: int, right: Sequence[bytes]) -> bytes:
        """Root of the whole tree; raises ValueError where `right` is not one hash for each subtree behind."""
        self._add(perfect_ranges(self._frontier.size, size), right)
        if self._frontier.size != size:
            raise ValueError("the range is longer than the tree")
        return self._frontier.root()

    def _add(self, ranges: Sequence[Range], hashes: Sequence[bytes]) -> None:
        if len(ranges) != len(hashes):
            raise ValueError("the proof has the wrong number of hashes")
        for (low, high), node in zip(ranges, hashes, strict=True):
            self._frontier.append(node, (high - low).bit_length() - 1)
