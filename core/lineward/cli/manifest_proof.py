"""Commands about proofs: prove and check-proof."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from pathlib import Path
from typing import Any

from lineward.adapters.files import Outcome, prove_path, verify_tree
from lineward.adapters.files_single import read_entry
from lineward.cli import exits, terminal
from lineward.cli.manifest_tree import comparison_rows, comparison_value
from lineward.cli.output import replacing
from lineward.domain.digest import Digest
from lineward.domain.entry import printable
from lineward.domain.errors import InvalidInputError
from lineward.domain.manifest import Parameters, Profile
from lineward.domain.proof import MAX_PROOF_BYTES, InclusionProof, RangeProof, decode
from lineward.domain.reasons import Reason

_EXITS = {Outcome.EQUAL: exits.OK, Outcome.DIFFERS: exits.DIFFERS, Outcome.UNKNOWN: exits.UNKNOWN}


def prove(arguments: argparse.Namespace) -> int:
    """Write a proof; 2 where the manifest is invalid or has no such path."""
    try:
        with Path(arguments.manifest).open("rb") as manifest:
            proof = prove_path(manifest, os.fsencode(arguments.path.rstrip("/")))
    except OSError as error:
        raise InvalidInputError(Reason.MANIFEST_INVALID, f"{arguments.manifest}: {error.strerror}") from error
    if arguments.out:
        with replacing(Path(arguments.out)) as file:
            file.write(proof.encode().encode())
    else:
        sys.stdout.write(proof.encode())
    return exits.OK


def check_proof(arguments: argparse.Namespace) -> int:
    """Check a proof against a root, and the file or folder that it is about; 0 proven, 1 not, 2 could not tell."""
    try:
        with Path(arguments.proof).open("rb") as file:
            proof = decode(file.read(MAX_PROOF_BYTES + 1))
    except OSError as error:
        raise InvalidInputError(Reason.PROOF_INVALID, f"{arguments.proof}: {error.strerror}") from error
    if isinstance(proof, RangeProof):
        return _check_range(proof, arguments)
    return _check_inclusion(proof, arguments)


def _check_range(proof: RangeProof, arguments: argparse.Namespace) -> int:
    if not arguments.data:
        arguments.parser.error("a proof about a folder is checked together with the folder: give --data DIR")
    comparison = verify_tree(
        arguments.data,
        arguments.root,
        _parameters(proof.parameters, arguments),
        proof=proof,
        progress=terminal.progress_to(arguments.progress),
    )
    terminal.end_progress(arguments.progress)
    rows = [("directory", printable(proof.directory)), *comparison_rows(comparison, arguments.root)]
    value = {"directory": printable(proof.directory)} | comparison_value(comparison, arguments.root)
    terminal.show(value, rows, arguments.output)
    return _EXITS[comparison.outcome]


def _check_inclusion(proof: InclusionProof, arguments: argparse.Namespace) -> int:
    problem = ""
    try:
        entry = proof.check(arguments.root)
    except InvalidInputError as error:
        return _say(arguments, outcome="differs", message=error.message, code=exits.DIFFERS)
    if arguments.data:
        parameters = _parameters(Parameters(Profile.POSIX), arguments)
        mode = Path(arguments.data).lstat().st_mode if os.path.lexists(arguments.data) else 0
        if stat.S_ISDIR(mode):
            arguments.parser.error("the proof is about a file; --data names a folder")
        found = read_entry(Path(arguments.data), entry, parameters.chunk_bytes)
        problem = "" if found == entry else "the file is not the one that is proven"
    path = printable(entry.path)
    return _say(
        arguments,
        outcome="differs" if problem else "equal",
        message=problem or f"{path} is in the set" + (" and is this file" if arguments.data else ""),
        code=exits.DIFFERS if problem else exits.OK,
        path=path,
        digest=str(Digest(entry.content)) if entry.is_file else "",
        size=entry.size,
    )


def _say(arguments: argparse.Namespace, *, code: int, **values: Any) -> int:
    rows = [(name, str(value)) for name, value in values.items() if value != ""]
    terminal.show({"root": str(arguments.root)} | values, rows, arguments.output)
    return code


def _parameters(hint: Parameters, arguments: argparse.Namespace) -> Parameters:
    profile = Profile(arguments.profile) if arguments.profile else hint.profile
    try:
        return Parameters(profile, arguments.chunk_size or hint.chunk_bytes)
    except InvalidInputError as error:
        arguments.parser.error(error.message)
        raise
