"""`lineward-conformance`: the protocol of the sigstore-conformance suite, so that the tests of others judge us too.

Protocol: https://github.com/sigstore/sigstore-conformance/blob/main/docs/cli_protocol.md. It is not for people: there
is no policy in it but one identity or one key.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sigstore.hashes import Hashed
from sigstore.models import ClientTrustConfig
from sigstore_models.common.v1 import HashAlgorithm

from lineward.adapters.bundle import Signed
from lineward.adapters.documents import MAX_FILE
from lineward.adapters.library import root_json
from lineward.adapters.signing import temporary_cache
from lineward.adapters.sigstore import SigstoreVerifier
from lineward.cli import exits
from lineward.cli.conformance_sign import sign_bundle
from lineward.cli.terminal import Parser
from lineward.domain import strictjson, trustroot
from lineward.domain.errors import LinewardError, RefusedError
from lineward.domain.evidence import KeyAnchor, TrustRoot
from lineward.domain.reasons import Reason
from lineward.domain.statement import PAYLOAD_TYPE

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_FAR = datetime(9999, 1, 1, tzinfo=UTC)
"""The suite gives a key no window, and judges a signature that has no time by the key alone."""


def main() -> int:
    """Entry point of the console script."""
    try:
        return run(sys.argv[1:], "lineward-conformance")
    except (LinewardError, OSError) as error:
        print(f"lineward-conformance: {error}", file=sys.stderr)
        return exits.DIFFERS


def run(argv: Sequence[str], prog: str) -> int:
    """Verify or sign one bundle; 0 or an exception."""
    parser = Parser(prog, description="Client of the sigstore-conformance suite.")
    commands = parser.add_subparsers(required=True, parser_class=Parser)
    verify = commands.add_parser("verify-bundle")
    verify.set_defaults(command=verify_bundle)
    verify.add_argument("--certificate-identity")
    verify.add_argument("--certificate-oidc-issuer")
    verify.add_argument("--key")
    sign = commands.add_parser("sign-bundle")
    sign.set_defaults(command=sign_bundle)
    sign.add_argument("--in-toto", action="store_true")
    sign.add_argument("--identity-token", required=True)
    sign.add_argument("--signing-config")
    for command in (verify, sign):
        command.add_argument("--staging", action="store_true")
        command.add_argument("--bundle", required=True)
        command.add_argument("--trusted-root")
        command.add_argument("artifact")
    arguments = parser.parse_args(argv)
    if arguments.command is verify_bundle and bool(arguments.key) is bool(arguments.certificate_identity):
        verify.error("give --certificate-identity with --certificate-oidc-issuer, or --key")
    arguments.command(arguments)
    return exits.OK


def verify_bundle(arguments: argparse.Namespace) -> None:
    """Verify one bundle over an artifact, by its path or digest. Raises LinewardError or OSError."""
    digest = _digest(arguments.artifact)
    with Path(arguments.bundle).open("rb") as file:
        bundle = file.read(MAX_FILE)
    artifact = Hashed(algorithm=HashAlgorithm.SHA2_256, digest=digest)
    signed = SigstoreVerifier().check(bundle, _trust_root(arguments), artifact)
    if signed.payload_type and digest.hex() not in _subjects(signed):
        raise RefusedError(Reason.EVIDENCE_INVALID, "the statement is not about the artifact")
    signer = (signed.signer.subject, signed.signer.issuer)
    wanted = (arguments.certificate_identity, arguments.certificate_oidc_issuer)
    if bool(signed.signer.key) is not bool(arguments.key) or (not arguments.key and signer != wanted):
        raise RefusedError(Reason.WRONG_IDENTITY, f"signed by {signed.signer}")


def _digest(artifact: str) -> bytes:
    path = Path(artifact)
    found = _DIGEST.fullmatch(artifact)
    if found and not path.exists():
        return bytes.fromhex(found[1])
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _trust_root(arguments: argparse.Namespace) -> TrustRoot:
    text = ""
    if arguments.trusted_root:
        text = Path(arguments.trusted_root).read_text()
    elif not arguments.key:
        text = embedded_root(staging=arguments.staging)
    keys = (KeyAnchor("key", Path(arguments.key).read_text(), None, _FAR),) if arguments.key else ()
    return trustroot.make("conformance", text or embedded_root(staging=arguments.staging), keys)


def embedded_root(*, staging: bool = False) -> str:
    """The trusted root that the sigstore library carries; may be out of date, and nothing is fetched."""
    with temporary_cache():
        logging.getLogger("sigstore").setLevel(logging.ERROR)
        config = ClientTrustConfig.staging(offline=True) if staging else ClientTrustConfig.production(offline=True)
        return root_json(config)


def _subjects(signed: Signed) -> set[str]:
    """SHA-256 digests of all subjects: the suite's statements have several, and other versions than ours."""
    if signed.payload_type != PAYLOAD_TYPE:
        raise RefusedError(Reason.EVIDENCE_INVALID, "the envelope holds no in-toto statement")
    statement: Any = strictjson.parse(signed.payload, cap=MAX_FILE, what="the statement")
    return {subject["digest"]["sha256"] for subject in statement["subject"]}
