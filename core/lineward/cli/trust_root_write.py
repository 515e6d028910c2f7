"""`lineward trust-root fetch` and `from-key`: write a TrustRoot, for the cluster and for `--trust-root` alike."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any

from sigstore.models import ClientTrustConfig

from lineward.adapters import documents, keys, sources
from lineward.adapters.anchors import Anchors
from lineward.adapters.library import root_json
from lineward.adapters.signing import chain, temporary_cache
from lineward.cli import exits
from lineward.cli.output import replacing
from lineward.cli.terminal import moment_argument
from lineward.domain import trustroot
from lineward.domain.draft import API_VERSION
from lineward.domain.errors import InvalidInputError, LinewardError
from lineward.domain.evidence import SigningTime
from lineward.domain.reasons import Reason


def add_commands(commands: Any) -> None:
    """Add the two to the sub-parsers of `lineward trust-root`."""
    fetch = _add(commands, "fetch", "fetch a trusted root by TUF, and write a TrustRoot")
    fetch.add_argument("--staging", action="store_true", help="of Sigstore's staging instance")
    fetch.add_argument("--url", help="of a private TUF repository; needs --root")
    fetch.add_argument("--root", metavar="FILE", help="root.json that the repository is trusted by")
    fetch.add_argument("--raw", action="store_true", help="write trusted_root.json itself")
    fetch.set_defaults(command=_fetch, parser=fetch)
    from_key = _add(commands, "from-key", "write a TrustRoot of a public key")
    from_key.add_argument("key", metavar="PEM", help="file with the public key, which gets the file's name")
    from_key.add_argument("--not-before", type=moment_argument, metavar="TIME", help="signatures before do not count")
    from_key.add_argument("--not-after", type=moment_argument, metavar="TIME", help="signatures after do not count")
    words = [str(word) for word in SigningTime]
    from_key.add_argument("--signing-time", choices=words, help="Required: none counts without a verified time")
    from_key.add_argument("--trusted-root", metavar="FILE", help="trusted_root.json or trust config that times are by")
    from_key.set_defaults(command=_from_key, parser=from_key)
    for made in (fetch, from_key):
        made.add_argument("--name", default="default", help="of the TrustRoot object (default: default)")
        made.add_argument("--out", metavar="FILE", help="where to write (default: standard output)")


def _add(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    return made


def _fetch(arguments: argparse.Namespace) -> int:
    if bool(arguments.url) is not bool(arguments.root):
        arguments.parser.error("--url and --root go together")
    logging.getLogger("sigstore").setLevel(logging.ERROR)
    try:
        with temporary_cache():
            config = _config(arguments)
    except Exception as error:
        problem = f"the trusted root could not be fetched: {chain(error)}"[:300]
        raise LinewardError(Reason.TRUST_ROOT_MISSING, problem) from error
    text = root_json(config)
    Anchors(text)
    if arguments.raw:
        return _write(documents.dump_json(json.loads(text)), arguments.out)
    return _write_object({"trustedRoot": text}, arguments)


def _config(arguments: argparse.Namespace) -> ClientTrustConfig:
    if arguments.url:
        return ClientTrustConfig.from_tuf(arguments.url, bootstrap_root=Path(arguments.root))
    return ClientTrustConfig.staging() if arguments.staging else ClientTrustConfig.production()


def _from_key(arguments: argparse.Namespace) -> int:
    if not arguments.not_after and not arguments.trusted_root:
        arguments.parser.error("give --not-after, --trusted-root or both: else no signature of the key would count")
    path = Path(arguments.key)
    key = {"name": path.stem, "pem": sources.read_pem(path)}
    for name, time in (("notBefore", arguments.not_before), ("notAfter", arguments.not_after)):
        if time:
            key[name] = f"{time:%Y-%m-%dT%H:%M:%SZ}"
    if arguments.signing_time:
        key["signingTime"] = arguments.signing_time
    keys.load(key["pem"])
    spec: dict[str, Any] = {"keys": [key]}
    if arguments.trusted_root:
        spec["trustedRoot"] = _trusted_root(Path(arguments.trusted_root))
    return _write_object(spec, arguments)


def _trusted_root(path: Path) -> str:
    found = [root.trusted_root_json for root in sources.read_trust_root(path)]
    if len(found) != 1 or not found[0]:
        raise InvalidInputError(Reason.TRUST_ROOT_INVALID, f"{path} is no trusted_root.json and no trust config")
    return found[0]


def _write_object(spec: dict[str, Any], arguments: argparse.Namespace) -> int:
    obj = {"apiVersion": API_VERSION, "kind": "TrustRoot", "metadata": {"name": arguments.name}, "spec": spec}
    trustroot.parse(obj)
    return _write(documents.dump([obj]), arguments.out)


def _write(content: bytes, out: str | None) -> int:
    if out:
        with replacing(Path(out)) as file:
            file.write(content)
    else:
        sys.stdout.write(content.decode())
    return exits.OK
