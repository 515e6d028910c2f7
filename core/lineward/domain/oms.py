"""OpenSSF Model Signing (OMS) v1.0 statements: a list of files with plain digests, and one digest over the digests.

Specification: https://github.com/ossf/model-signing-spec (v1.0, method `files`). Names are ours to check: two files of
one name, a name that leaves the folder, and paths that the signer chose to ignore are where such lists are cheated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lineward.domain.digest import Digest
from lineward.domain.errors import InvalidInputError, RefusedError
from lineward.domain.fields import Reader
from lineward.domain.reasons import Reason
from lineward.domain.statement import Statement, build

OMS_SIGNATURE = "https://model_signing/signature/v1.0"
MAX_RESOURCES = 300_000
"""Files of one statement: what 64 MiB hold."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A parsed statement: digest by name (relative, "/" between components), and what the signer left out."""

    resources: Mapping[str, Digest]
    ignored: tuple[str, ...]


def parse(statement: Statement) -> Signature:
    """Parse an OMS v1.0 statement and recompute its root.

    Raises InvalidInputError(WrongPredicateType, EvidenceInvalid): other methods and algorithms than `files` with
    SHA-256 are refused, as are symlinks, duplicate names and names outside the folder.
    """
    if statement.predicate_type != OMS_SIGNATURE:
        raise InvalidInputError(Reason.WRONG_PREDICATE_TYPE, f"the statement is a {statement.predicate_type[:120]}")
    raw = Reader(statement.predicate, "predicate", Reason.EVIDENCE_INVALID)
    serialization = raw.object("serialization")
    serialization.text("method", pattern="files")
    serialization.text("hash_type", pattern="sha256")
    if serialization.flag("allow_symlinks"):
        serialization.fail("is true; symlinks are refused", "allow_symlinks")
    ignored = serialization.texts("ignore_paths")
    found = [_resource(item) for item in raw.objects("resources", cap=MAX_RESOURCES)]
    resources = dict(found)
    if not found or len(resources) != len(found):
        raw.fail("is empty or has two files of one name", "resources")
    if root(list(resources.values())) != statement.subject:
        raw.fail("do not have the digest that was signed", "resources")
    serialization.done()
    raw.done()
    return Signature(resources, ignored)


def require_same(signature: Signature, there: Mapping[str, Digest]) -> None:
    """Compare a folder's files with what was signed; nothing may be added, even where the signer ignores it.

    Raises RefusedError(ContentDiffers) with the first names.
    """
    signed = signature.resources
    changes = [f"modified {name}" for name in there.keys() & signed.keys() if there[name] != signed[name]]
    changes += [f"added {name}" for name in there.keys() - signed.keys()]
    changes += [f"removed {name}" for name in signed.keys() - there.keys()]
    if changes:
        more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
        raise RefusedError(Reason.CONTENT_DIFFERS, ("; ".join(sorted(changes)[:3]) + more)[:300])


def statement_of(name: str, files: Sequence[tuple[str, Digest]]) -> bytes:
    """The OMS statement about these files, as `parse` and model_signing 1.1 read it. Raises nothing."""
    resources = [{"name": path, "digest": digest.raw.hex(), "algorithm": "sha256"} for path, digest in files]
    serialization = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": []}
    predicate: dict[str, Any] = {"resources": resources, "serialization": serialization}
    return build(Statement(name, root([digest for _, digest in files]), OMS_SIGNATURE, predicate))


def root(digests: Sequence[Digest]) -> Digest:
    """SHA-256 over the raw digests in listed order."""
    return Digest(hashlib.sha256(b"".join(digest.raw for digest in digests)).digest())


def _resource(raw: Reader) -> tuple[str, Digest]:
    name = raw.text("name")
    if name.startswith("/") or any(part in {"", ".", ".."} for part in name.split("/")):
        raw.fail("leaves the folder", "name")
    raw.text("algorithm", pattern="sha256")
    return name, Digest(bytes.fromhex(raw.text("digest", pattern="[0-9a-f]{64}")))
