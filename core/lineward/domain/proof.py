"""Proofs that a part belongs to a signed whole: one entry, or everything below a directory and nothing else.

The format and its rules are section 6 of `docs/formats/manifest-v1.md`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lineward.domain import entry as entries
from lineward.domain import merkle
from lineward.domain.digest import Digest
from lineward.domain.entry import Entry, check_path, decode_all, order, printable
from lineward.domain.errors import InvalidInputError
from lineward.domain.manifest import Page, Parameters, Totals
from lineward.domain.reasons import Reason

INCLUSION = "lineward.dev/inclusion-proof/v1"
RANGE = "lineward.dev/range-proof/v1"
MAX_PROOF_BYTES = 262_144
"""Two neighbours of at most 44 KiB in base64 each, and 128 hashes."""
_MAX_INTEGER = 1 << 53


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """One entry is leaf `index` of a tree of `size` leaves; `path` is its audit path (RFC 6962 section 2.1.1)."""

    root: Digest
    size: int
    index: int
    leaf: bytes
    path: tuple[bytes, ...]

    @property
    def entry(self) -> Entry:
        """What is proven; raises InvalidInputError where the leaf is no entry."""
        return entries.decode(self.leaf)

    def check(self, root: Digest) -> Entry:
        """Return the entry if the proof leads to the signed `root`; raises InvalidInputError(ProofInvalid)."""
        entry = self.entry
        try:
            found = merkle.root_from_path(merkle.leaf_hash(self.leaf), self.index, self.size, self.path)
        except ValueError as error:
            raise _invalid(str(error)) from error
        if found != root.raw:
            raise _invalid(f"{printable(entry.path)} is not in the set that the root stands for")
        return entry

    def encode(self) -> str:
        """JSON text; `decode` reads it."""
        return _dump(
            {
                "format": INCLUSION,
                "root": str(self.root),
                "size": self.size,
                "index": self.index,
                "leaf": _text(self.leaf),
                "path": list(map(_text, self.path)),
            }
        )


@dataclass(frozen=True, slots=True)
class RangeProof:
    """The leaves from `first` on, `count` of them, are all entries below `directory`; see the format for the rest."""

    root: Digest
    size: int
    directory: bytes
    parameters: Parameters
    first: int
    count: int
    before: bytes
    after: bytes
    left: tuple[bytes, ...]
    right: tuple[bytes, ...]

    def check(self) -> RangeCheck:
        """Begin to check: feed it the directory's entries. Raises InvalidInputError(ProofInvalid)."""
        return RangeCheck(self)

    def encode(self) -> str:
        """JSON text; `decode` reads it."""
        return _dump(
            {
                "format": RANGE,
                "root": str(self.root),
                "size": self.size,
                "directory": _text(self.directory),
                "parameters": _text(self.parameters.encode()),
                "first": self.first,
                "count": self.count,
                "before": _text(self.before),
                "after": _text(self.after),
                "left": list(map(_text, self.left)),
                "right": list(map(_text, self.right)),
            }
        )


class RangeCheck:
    """Rebuilds the signed root from a directory's entries and a proof about everything else."""

    def __init__(self, proof: RangeProof) -> None:
        self._proof = proof
        self._fed = 0
        check_path(proof.directory)
        if not 0 < proof.first < proof.first + proof.count < proof.size:
            raise _invalid("the range is not inside the tree")
        self._check_neighbours()
        try:
            self._fold = merkle.RangeFold(proof.first - 1, proof.left)
        except ValueError as error:
            raise _invalid(str(error)) from error
        self._fold.extend(merkle.leaf_hash(proof.before))

    def _check_neighbours(self) -> None:
        proof, below = self._proof, order(self._proof.directory) + b"\0"
        if proof.first == 1:
            Parameters.decode(proof.before)
        elif (path := order(entries.decode(proof.before).path)) >= below or path.startswith(below):
            raise _invalid("the entry before the range does not belong before the directory")
        if proof.first + proof.count == proof.size - 1:
            Totals.decode(proof.after)
        elif (path := order(entries.decode(proof.after).path)) <= below or path.startswith(below):
            raise _invalid("the entry behind the range does not belong behind the directory")

    def feed(self, leaves: bytes) -> None:
        """Add the leaf hashes of the directory's entries, joined, in order; paths begin with the directory."""
        self._fed += len(leaves) // merkle.HASH_BYTES
        self._fold.extend(leaves)

    def root(self) -> Digest | None:
        """Root of the whole set if the directory is what was fed; None where it has another number of entries.

        Raises InvalidInputError(ProofInvalid) where the proof has the wrong number of hashes.
        """
        if self._fed != self._proof.count:
            return None
        self._fold.extend(merkle.leaf_hash(self._proof.after))
        try:
            return Digest(self._fold.root(self._proof.size, self._proof.right))
        except ValueError as error:
            raise _invalid(str(error)) from error


Proof = InclusionProof | RangeProof


def decode(text: bytes) -> Proof:
    """Parse a proof of either kind; raises InvalidInputError(ProofInvalid)."""
    if len(text) > MAX_PROOF_BYTES:
        raise _invalid("the proof is too long")
    try:
        raw = json.loads(text.decode("utf-8"), object_pairs_hook=_no_duplicates)
        kind = raw.pop("format")
        fields: dict[str, Any] = {name: _FIELDS[name](value) for name, value in raw.items()}
        if kind == INCLUSION:
            return InclusionProof(**fields)
        if kind == RANGE:
            return RangeProof(**fields)
        raise ValueError("another format")
    except InvalidInputError as error:
        raise _invalid(error.message) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _invalid("this is not a proof that this version reads") from error


def prove(pages: Callable[[], Iterator[Page]], parameters: Parameters, totals: Totals, path: bytes) -> Proof:
    """Prove the entry at `path`, or else everything below the directory `path`, from two passes over a manifest.

    Raises InvalidInputError(RequestInvalid) where there is neither; what the passes raise.
    """
    check_path(path)
    place = _locate(pages(), path)
    size = totals.entries + 2

    def leaves() -> Iterator[bytes]:
        yield merkle.leaf_hash(parameters.encode())
        for page in pages():
            yield page.leaves
        yield merkle.leaf_hash(totals.encode())

    if place.exact:
        ranges = merkle.audit_ranges(place.first, size)
        hashes = merkle.fold_ranges(leaves(), ranges)
        root = merkle.root_from_path(merkle.leaf_hash(place.exact), place.first, size, hashes)
        return InclusionProof(Digest(root), size, place.first, place.exact, tuple(hashes))
    if not place.count:
        raise InvalidInputError(Reason.REQUEST_INVALID, f"the manifest has nothing at or below {printable(path)}")
    left = merkle.perfect_ranges(0, place.first - 1)
    right = merkle.perfect_ranges(place.first + place.count + 1, size)
    whole, *hashes = merkle.fold_ranges(leaves(), [(0, size)]) + merkle.fold_ranges(leaves(), [*left, *right])
    return RangeProof(
        Digest(whole), size, path, parameters, place.first, place.count,
        place.before or parameters.encode(), place.after or totals.encode(),
        tuple(hashes[: len(left)]), tuple(hashes[len(left) :]),
    )  # fmt: skip


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


def _no_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a member stands twice")
    return dict(pairs)


def _integer(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _MAX_INTEGER:
        raise ValueError("not an integer of a proof")
    return value


def _bytes(value: Any) -> bytes:
    try:
        data = base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if _text(data) != value:
        raise ValueError("not canonical base64")
    return data


def _hashes(value: Any) -> tuple[bytes, ...]:
    if not isinstance(value, list):
        raise ValueError("not a list of hashes")
    return tuple(Digest(_bytes(item)).raw for item in value)


_FIELDS: dict[str, Callable[[Any], Any]] = {
    "root": Digest.parse,
    "size": _integer,
    "index": _integer,
    "first": _integer,
    "count": _integer,
    "leaf": _bytes,
    "before": _bytes,
    "after": _bytes,
    "directory": _bytes,
    "parameters": lambda value: Parameters.decode(_bytes(value)),
    "path": _hashes,
    "left": _hashes,
    "right": _hashes,
}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _dump(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1) + "\n"


def _invalid(message: str) -> InvalidInputError:
    return InvalidInputError(Reason.PROOF_INVALID, message)
