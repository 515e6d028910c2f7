"""`lineward manifest`: make manifests, check folders against them, compare them, prove parts of them."""

from __future__ import annotations

import argparse
import importlib
import os
import re
from collections.abc import Callable, Sequence

from lineward.cli.terminal import (
    Parser,
    add_hashing,
    add_output,
    add_progress,
    chunk_argument,
    file_argument,
    number_argument,
)
from lineward.domain.digest import Digest
from lineward.domain.entry import check_path, printable
from lineward.domain.errors import InvalidInputError
from lineward.domain.manifest import DEFAULT_CHUNK_BYTES, Profile

_COUNT = number_argument(0, 2**63 - 1)
_POSITIVE = number_argument(1, 2**63 - 1)
_OUT = "where to write the manifest"
_ONLY_SUMMARY = "(default: nowhere, only its root and counts are printed)"
_READ = "manifest file; - is standard input"


def run(argv: Sequence[str], prog: str) -> int:
    """Run one sub-command; exit codes: 0 equal or done, 1 differs, 2 could not tell, 64 usage."""
    argv = argv[1:] if argv[:1] == ["--"] else argv
    if argv and argv[0] in _commands():
        arguments = _command(f"{prog} {argv[0]}", argv[0]).parse_args(argv[1:])
    else:
        arguments = _parser(prog).parse_args(argv)
    module, function = arguments.command
    command: Callable[[argparse.Namespace], int] = getattr(importlib.import_module(module), function)
    return command(arguments)


def _parser(prog: str) -> Parser:
    """All commands by name, for help and for who names none."""
    parser = Parser(
        prog,
        description="A manifest lists what is in a folder; one root digest stands for all of it.",
        epilog="Exit codes: 0 done or equal, 1 differs, 2 could not tell, 64 usage.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (text, *_) in _commands().items():
        commands.add_parser(name, help=text)
    return parser


def _command(prog: str, name: str) -> Parser:
    text, module, add_arguments = _commands()[name]
    parser = Parser(prog, description=text[0].upper() + text[1:] + ".")
    command = (f"lineward.cli.manifest_{module}", name.replace("-", "_"))  # imported only if it is the one
    parser.set_defaults(command=command, parser=parser)
    add_output(parser)
    add_arguments(parser)
    return parser


def _commands() -> dict[str, tuple[str, str, Callable[[Parser], None]]]:
    """Help, module and arguments of each command."""
    return {
        "create": ("hash a folder and write its manifest", "tree", _create),
        "verify": ("compare a folder with a root or a manifest", "tree", _verify),
        "merge": ("make one manifest from all shards of a folder", "file", _merge),
        "show": ("check a manifest file and print what it says", "file", _show),
        "diff": ("list what differs between two manifests", "file", _diff),
        "prove": ("prove that a file or folder is part of a set", "proof", _prove),
        "check-proof": ("check a proof against a signed root", "proof", _check),
    }


def _tree_arguments(parser: Parser, default: str = "") -> None:
    parser.add_argument("folder", type=file_argument, metavar="DIR", help="the folder with the data")
    what = "what counts: portable takes files alone, posix also links, modes and empty folders"
    parser.add_argument("--profile", choices=[str(p) for p in Profile], help=f"{what} (default: {default}portable)")
    parts = "power of two; files above it are hashed in parts"
    parts += f" (default: {default}{DEFAULT_CHUNK_BYTES // 1024**2}MiB)"
    parser.add_argument("--chunk-size", type=chunk_argument, metavar="SIZE", help=parts)
    add_hashing(parser)


def _create(parser: Parser) -> None:
    _tree_arguments(parser)
    parser.add_argument(
        "--out", type=file_argument, metavar="FILE", help=f"{_OUT}; - is standard output {_ONLY_SUMMARY}"
    )
    parser.add_argument("--shard", type=_shard, metavar="I/N", help="only part I (from 0) of N; see merge")
    _recall_arguments(parser)


def _verify(parser: Parser) -> None:
    _tree_arguments(parser, "the manifest's, else ")
    root = "the root that the folder must have (default: the manifest's)"
    parser.add_argument("--root", type=_digest, metavar="sha256:HEX", help=root)
    parser.add_argument(
        "--manifest", type=file_argument, metavar="FILE", help="names what differs; only believed if it fits the root"
    )
    parser.add_argument("--manifest-digest", type=_digest, metavar="sha256:HEX", help="digest the manifest must have")
    parser.add_argument(
        "--directory",
        type=_directory,
        metavar="PATH",
        help="DIR is only this folder of the set (default: it is the set); needs the manifest",
    )
    _recall_arguments(parser).add_argument(
        "--sample", type=_POSITIVE, metavar="N", help="read only N random files: a quick look, never a verdict"
    )
    _max_names(parser, 20)


def _max_names(parser: Parser, default: int) -> None:
    text = "name the first N differences (default: %(default)s)"
    parser.add_argument("--max-names", type=_COUNT, default=default, metavar="N", help=text)


def _recall_arguments(parser: Parser) -> argparse._MutuallyExclusiveGroup:
    recall = parser.add_mutually_exclusive_group()
    recall.add_argument(
        "--journal", type=file_argument, metavar="FILE", help="go on from FILE after a kill; removed when done"
    )
    recall.add_argument(
        "--cache",
        type=file_argument,
        metavar="FILE",
        help="do not read files whose size, inode and times are as before",
    )
    return recall


def _merge(parser: Parser) -> None:
    parser.add_argument(
        "shards", type=file_argument, metavar="SHARD", nargs="+", help="what create --shard wrote, all N of them"
    )
    parser.add_argument("--out", type=file_argument, metavar="FILE", help=f"{_OUT} {_ONLY_SUMMARY}")


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no part I/N, such as 0/4 for the first of 4")
    return int(found[1]), int(found[2])


def _show(parser: Parser) -> None:
    parser.add_argument("manifest", type=file_argument, metavar="FILE", help=_READ)
    parser.add_argument("--entries", action="store_true", help="list the entries; with -o json an array, one a line")


def _diff(parser: Parser) -> None:
    parser.add_argument("before", type=file_argument, metavar="OLD", help=_READ)
    parser.add_argument("after", type=file_argument, metavar="NEW", help=_READ)
    _max_names(parser, 1000)


def _prove(parser: Parser) -> None:
    parser.add_argument("manifest", type=file_argument, metavar="FILE", help="manifest file")
    parser.add_argument(
        "path", type=_path, metavar="PATH", help="in the set: a file, or a folder with everything below it"
    )
    parser.add_argument(
        "--out", type=file_argument, metavar="FILE", help="where to write the proof, in JSON (default: standard output)"
    )


def _check(parser: Parser) -> None:
    parser.add_argument("proof", type=file_argument, metavar="PROOF", help="what prove wrote")
    parser.add_argument("--root", type=_digest, required=True, metavar="sha256:HEX", help="the signed root")
    parser.add_argument(
        "--path", type=_path, required=True, metavar="PATH", help="what in the set the proof must be about"
    )
    parser.add_argument(
        "--data",
        type=file_argument,
        metavar="PATH",
        help="where that file or folder is here; always given for a folder",
    )
    add_progress(parser)


def _path(text: str) -> bytes:
    path = os.fsencode(text.rstrip("/"))
    try:
        check_path(path)
    except InvalidInputError as error:
        raise argparse.ArgumentTypeError(f"'{printable(path)[:40]}' is no path in a set, such as train/cats") from error
    return path


def _directory(text: str) -> bytes:
    return _path(text.lstrip("/"))


def _digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except InvalidInputError as error:
        raise argparse.ArgumentTypeError(error.message) from error
