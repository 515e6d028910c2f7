"""Proofs that a part belongs to a signed whole: one entry, or everything below a directory and nothing else.

The format and its rules are section 6 of `docs/formats/manifest-v1.md`.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lineward.domain import entry as entries
from lineward.domain import merkle
from lineward.domain.digest import Digest
from lineward.domain.entry import Entry, check_path, order, printable
from lineward.domain.errors import InvalidInputError
from lineward.domain.manifest import Parameters, Totals
from lineward.domain.reasons import Reason

INCLUSION = "lineward.dev/inclusion-proof/v1"
RANGE = "lineward.dev/range-proof/v1"
MAX_PROOF_BYTES = 262_144
"""A directory and two neighbours of at most 49 KiB in base64 each, and 192 hashes."""
_MAX_INTEGER = 1 << 53


@dataclass(frozen=True, slots=True)
class ParametersProof:
    """The parameters are leaf 0; `path` is its audit path. What an entry means depends on its set's parameters."""

    leaf: Parameters
    path: tuple[bytes, ...]

    def value(self) -> dict[str, Any]:
        """As a member of a proof."""
        return {"leaf": _text(self.leaf.encode()), "path": list(map(_text, self.path))}


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """One entry is leaf `index` of a tree of `size` leaves; `path` is its audit path (RFC 6962 section 2.1.1)."""

    root: Digest
    size: int
    parameters: ParametersProof
    index: int
    leaf: bytes
    path: tuple[bytes, ...]

    @property
    def entry(self) -> Entry:
        """What is proven; raises InvalidInputError where the leaf is no entry."""
        return entries.decode(self.leaf)

    def check(self, root: Digest) -> Entry:
        """Return the entry if it and the parameters lead to the signed root; raises InvalidInputError(ProofInvalid)."""
        with _refusing():
            _check_head(self, root)
            entry = self.entry
            if merkle.root_from_path(merkle.leaf_hash(self.leaf), self.index, self.size, self.path) != root.raw:
                raise _invalid(f"{printable(entry.path)} is not in the set that the root stands for")
            return entry

    def encode(self) -> str:
        """JSON text; `decode` reads it."""
        return _dump(
            {
                "format": INCLUSION,
                "root": str(self.root),
                "size": self.size,
                "parameters": self.parameters.value(),
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
    parameters: ParametersProof
    directory: bytes
    first: int
    count: int
    before: bytes
    after: bytes
    left: tuple[bytes, ...]
    right: tuple[bytes, ...]

    def check(self, root: Digest) -> RangeCheck:
        """Begin to check against the signed `root`: feed it the directory's entries, hashed under the parameters.

        Raises InvalidInputError(ProofInvalid).
        """
        with _refusing():
            _check_head(self, root)
            return RangeCheck(self)

    def encode(self) -> str:
        """JSON text; `decode` reads it."""
        return _dump(
            {
                "format": RANGE,
                "root": str(self.root),
                "size": self.size,
                "parameters": self.parameters.value(),
                "directory": _text(self.directory),
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
        self._fold = merkle.RangeFold(proof.first - 1, proof.left)
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
        with _refusing():
            return Digest(self._fold.root(self._proof.size, self._proof.right))


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


def _check_head(proof: Proof, root: Digest) -> None:
    if proof.root != root:
        raise _invalid("the proof is about another root")
    leaf = merkle.leaf_hash(proof.parameters.leaf.encode())
    if merkle.root_from_path(leaf, 0, proof.size, proof.parameters.path) != root.raw:
        raise _invalid("the set that the root stands for has other parameters")


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Whatever is wrong with a part of a proof makes it invalid as a proof."""
    try:
        yield
    except InvalidInputError as error:
        raise _invalid(error.message) from error
    except ValueError as error:
        raise _invalid(str(error)) from error


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


def _parameters(value: Any) -> ParametersProof:
    if value.keys() != {"leaf", "path"}:
        raise ValueError("not the parameters of a proof")
    return ParametersProof(Parameters.decode(_bytes(value["leaf"])), _hashes(value["path"]))


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
    "parameters": _parameters,
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
