"""The streamed tree against RFC 6962's recursive definition, and proofs against every leaf that could be cheated."""

import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineward.domain import merkle


def leaves(count: int) -> list[bytes]:
    return [merkle.leaf_hash(str(i).encode()) for i in range(count)]


def by_definition(hashes: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return hashlib.sha256(b"\1" + by_definition(hashes[:k]) + by_definition(hashes[k:])).digest()


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("count", [*range(20), 31, 32, 33, 100, 255, 256, 257, 1000])
def test_root_is_the_one_of_the_definition(count: int) -> None:
    assert merkle.root_of(b"".join(leaves(count))) == by_definition(leaves(count))


def test_known_roots_of_rfc_6962_implementations() -> None:
    """Test vectors of the Certificate Transparency reference implementation (merkle_tree_test.cc)."""
    data = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    hashes = [merkle.leaf_hash(bytes.fromhex(text)) for text in data]
    assert merkle.root_of(hashes[0]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert merkle.root_of(b"".join(hashes)).hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@given(st.lists(st.integers(0, 40), max_size=8))
def test_extending_in_parts_changes_nothing(parts: list[int]) -> None:
    frontier, start = merkle.Frontier(), 0
    every = leaves(sum(parts))
    for part in parts:
        frontier.extend(b"".join(every[start : start + part]))
        start += part
    assert frontier.root() == by_definition(every)
    assert frontier.size == len(every)


def test_a_subtree_only_fits_where_it_belongs() -> None:
    frontier = merkle.Frontier()
    frontier.append(leaves(1)[0])
    with pytest.raises(ValueError, match="multiple"):
        frontier.append(bytes(32), 1)


@given(st.integers(1, 70), st.data())
def test_audit_paths_lead_to_the_root_and_nowhere_else(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    every = leaves(size)
    path = merkle.fold_ranges(every, merkle.audit_ranges(index, size))
    root = by_definition(every)
    assert merkle.root_from_path(every[index], index, size, path) == root
    other = data.draw(st.integers(0, size - 1))
    if other != index:
        with contextlib.suppress(ValueError):
            assert merkle.root_from_path(every[index], other, size, path) != root
    if path:
        with pytest.raises(ValueError, match="short"):
            merkle.root_from_path(every[index], index, size, path[:-1])
    with pytest.raises(ValueError, match="long"):
        merkle.root_from_path(every[index], index, size, [*path, bytes(32)])


@given(st.integers(1, 70), st.data())
def test_a_range_and_its_outside_make_the_root(size: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, size - 1))
    last = data.draw(st.integers(first + 1, size))
    every = leaves(size)
    left = merkle.fold_ranges(every, merkle.perfect_ranges(0, first))
    right = merkle.fold_ranges(every, merkle.perfect_ranges(last, size))
    assert _fold(first, every[first:last], size, left, right) == by_definition(every)
    inside = every[first:last]
    swapped = [*inside[1:], inside[0]]
    for cheat in (inside[:-1], [*inside, every[0]], swapped if swapped != inside else [bytes(32)]):
        with contextlib.suppress(ValueError):
            assert _fold(first, cheat, size, left, right) != by_definition(every)


def _fold(first: int, inside: list[bytes], size: int, left: list[bytes], right: list[bytes]) -> bytes:
    fold = merkle.RangeFold(first, left)
    fold.extend(b"".join(inside))
    return fold.root(size, right)
