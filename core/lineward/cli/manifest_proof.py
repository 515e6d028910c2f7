"""Commands about proofs: prove and check-proof."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, BinaryIO

from lineward.adapters.files import Outcome, prove_path, verify_tree
from lineward.adapters.files_single import read_entry
from lineward.cli import exits, terminal
from lineward.cli.manifest_tree import comparison_rows, comparison_value
from lineward.cli.output import replacing
from lineward.domain.digest import Digest
from lineward.domain.entry import Entry, decode_all, printable
from lineward.domain.errors import InvalidInputError
from lineward.domain.manifest import Parameters
from lineward.domain.manifest_reader import ManifestReader
from lineward.domain.proof import MAX_PROOF_BYTES, RangeProof, decode
from lineward.domain.reasons import Reason

_EXITS = {Outcome.EQUAL: exits.OK, Outcome.DIFFERS: exits.DIFFERS, Outcome.UNKNOWN: exits.UNKNOWN}


def prove(arguments: argparse.Namespace) -> int:
    """Write a proof; 2 where the manifest is invalid or has no such path."""
    try:
        with Path(arguments.manifest).open("rb") as manifest:
            if not manifest.seekable():
                message = f"{arguments.manifest} must be a file: it is read more than once"
                raise InvalidInputError(Reason.MANIFEST_INVALID, message)
            proof = prove_path(manifest, arguments.path)
            files, size = _sums(manifest, arguments.path) if arguments.out else (0, 0)
    except OSError as error:
        raise InvalidInputError(Reason.MANIFEST_INVALID, f"{arguments.manifest}: {error.strerror}") from error
    text = proof.encode()
    if not arguments.out:
        sys.stdout.write(text)
        return exits.OK
    with replacing(Path(arguments.out)) as file:
        file.write(text.encode())
    length = len(text.encode())
    value = {"root": str(proof.root), "files": files, "bytes": size}
    value |= {"path": printable(arguments.path), "proof": arguments.out, "proofBytes": length}
    rows = [
        ("root", str(proof.root)),
        ("path", printable(arguments.path)),
        ("files", str(files)),
        ("bytes", f"{size} ({terminal.size_text(size)})"),
        ("proof", f"{arguments.out} ({terminal.size_text(length)})"),
    ]
    terminal.show(value, rows, arguments.output)
    return exits.OK


def _sums(manifest: BinaryIO, path: bytes) -> tuple[int, int]:
    """Files and their bytes at the path and below it."""
    manifest.seek(0)
    entries = (entry for page in ManifestReader(manifest).pages() for entry in decode_all(page.body) if entry.is_file)
    sizes = [entry.size for entry in entries if (entry.path + b"/").startswith(path + b"/")]
    return len(sizes), sum(sizes)


def check_proof(arguments: argparse.Namespace) -> int:
    """Check a proof against a root, and the file or folder that it is about; 0 proven, 1 not, 2 could not tell."""
    try:
        with Path(arguments.proof).open("rb") as file:
            proof = decode(file.read(MAX_PROOF_BYTES + 1))
    except OSError as error:
        raise InvalidInputError(Reason.PROOF_INVALID, f"{arguments.proof}: {error.strerror}") from error
    try:
        proof.check(arguments.root)
    except InvalidInputError as error:
        return _differs(arguments, error.message)
    about = proof.directory if isinstance(proof, RangeProof) else proof.entry.path
    if about != arguments.path:
        return _differs(arguments, f"the proof is about {printable(about)}, not {printable(arguments.path)}")
    if isinstance(proof, RangeProof):
        return _check_range(proof, arguments)
    return _check_entry(proof.entry, proof.parameters.leaf, arguments)


def _check_range(proof: RangeProof, arguments: argparse.Namespace) -> int:
    if not arguments.data:
        arguments.parser.error("a proof about a folder is checked together with the folder: give --data DIR")
    comparison = verify_tree(
        arguments.data,
        arguments.root,
        proof.parameters.leaf,
        proof=proof,
        progress=terminal.progress_to(arguments.progress),
    )
    terminal.end_progress(arguments.progress)
    rows = [("directory", printable(proof.directory)), *comparison_rows(comparison, arguments.root)]
    value = {"directory": printable(proof.directory)} | comparison_value(comparison, arguments.root)
    terminal.show(value, rows, arguments.output)
    return _EXITS[comparison.outcome]


def _check_entry(entry: Entry, parameters: Parameters, arguments: argparse.Namespace) -> int:
    if arguments.data and read_entry(Path(arguments.data), entry.path, parameters) != entry:
        return _differs(arguments, f"{arguments.data} is not what is proven")
    path = printable(entry.path)
    return _say(
        arguments,
        outcome="equal",
        message=f"{path} is in the set" + (" and is this file" if arguments.data else ""),
        code=exits.OK,
        path=path,
        digest=str(Digest(entry.content)) if entry.is_file else "",
        files=int(entry.is_file),
        bytes=entry.size if entry.is_file else 0,
    )


def _differs(arguments: argparse.Namespace, message: str) -> int:
    return _say(arguments, outcome="differs", message=message, code=exits.DIFFERS, files=0, bytes=0)


def _say(arguments: argparse.Namespace, *, code: int, **values: Any) -> int:
    rows = [(name, str(value)) for name, value in values.items() if value != ""]
    terminal.show({"root": str(arguments.root)} | values, rows, arguments.output)
    return code
