"""Makes proofs from a manifest; what they are and how they are checked is in `lineward.domain.proof`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lineward.domain import merkle
from lineward.domain.digest import Digest
from lineward.domain.entry import check_path, decode_all, order, printable
from lineward.domain.errors import InvalidInputError
from lineward.domain.manifest import Page, Parameters, Totals
from lineward.domain.proof import InclusionProof, ParametersProof, Proof, RangeProof
from lineward.domain.reasons import Reason


def prove(pages: Callable[[], Iterator[Page]], parameters: Parameters, totals: Totals, path: bytes) -> Proof:
    """Prove the entry at `path`, or else everything below the directory `path`, from passes over a manifest.

    Raises InvalidInputError(RequestInvalid) where there is neither; what the passes raise.
    """
    check_path(path)
    place = _locate(pages(), path)
    size = totals.entries + 2

    def fold(ranges: Sequence[merkle.Range]) -> tuple[bytes, ...]:
        return tuple(merkle.fold_ranges(_leaves(pages(), parameters, totals), ranges))

    head = ParametersProof(parameters, fold(merkle.audit_ranges(0, size)))
    root = Digest(merkle.root_from_path(merkle.leaf_hash(parameters.encode()), 0, size, head.path))
    if place.exact:
        hashes = fold(merkle.audit_ranges(place.first, size))
        return InclusionProof(root, size, head, place.first, place.exact, hashes)
    if not place.count:
        raise InvalidInputError(Reason.REQUEST_INVALID, f"the manifest has nothing at or below {printable(path)}")
    left = merkle.perfect_ranges(0, place.first - 1)
    right = merkle.perfect_ranges(place.first + place.count + 1, size)
    hashes = fold([*left, *right])
    return RangeProof(
        root, size, head, path, place.first, place.count,
        place.before or parameters.encode(), place.after or totals.encode(),
        hashes[: len(left)], hashes[len(left) :],
    )  # fmt: skip


def _leaves(pages: Iterator[Page], parameters: Parameters, totals: Totals) -> Iterator[bytes]:
    yield merkle.leaf_hash(parameters.encode())
    for page in pages:
        yield page.leaves
    yield merkle.leaf_hash(totals.encode())


@dataclass(slots=True)
class _Place:
    """Where a path stands: its own leaf, or the range below it with its neighbours."""

    first: int = 1
    count: int = 0
    exact: bytes = b""
    before: bytes = b""
    after: bytes = b""


def _locate(pages: Iterator[Page], path: bytes) -> _Place:
    place, index, below = _Place(), 0, order(path) + b"\0"
    for page in pages:
        for entry in decode_all(page.body):
            index += 1
            key = order(entry.path)
            if entry.path == path:
                place.first, place.exact = index, entry.encode()
            elif key.startswith(below):
                place.first = place.first if place.count else index
                place.count += 1
            elif key < below:
                place.before = entry.encode()
            elif not place.after:
                place.after = entry.encode()
    return place
