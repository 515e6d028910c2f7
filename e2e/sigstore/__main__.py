"""``python -m e2e.sigstore``: a private Sigstore for tests and the demo."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from e2e import command
from e2e.prerequisites import MissingPrerequisiteError
from e2e.sigstore import cluster_issuer, trust
from e2e.sigstore.issuer import LIFETIME_SECONDS
from e2e.sigstore.layout import AUDIENCE, ENDPOINTS
from e2e.sigstore.stack import Stack, StackError
from e2e.tools import BuildError, DescriptionError

_ERRORS = (
    BuildError,
    DescriptionError,
    MissingPrerequisiteError,
    StackError,
    cluster_issuer.ClusterIssuerError,
    OSError,
    ValueError,
)


def main() -> int:
    arguments = _parser().parse_args()
    return command.run(lambda: int(arguments.run(Stack.default(), arguments)), _ERRORS)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m e2e.sigstore", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start it, or say that it runs; builds its programs when they are missing")
    up.add_argument(
        "--kubeconfig",
        type=Path,
        help="also accept service accounts of this cluster too (ours is anyway); makes its public keys readable",
    )
    up.set_defaults(run=_up)
    commands.add_parser("down", help="stop it; keys and logs stay").set_defaults(run=_down)
    status = commands.add_parser("status", help="what is ready; exit code 1 unless all is")
    status.add_argument("-o", "--output", choices=("table", "json"), default="table")
    status.set_defaults(run=_status)
    logs = commands.add_parser("logs", help="the end of the services' logs")
    logs.add_argument("service", nargs="?", choices=(*ENDPOINTS.health(), "supervisor"))
    logs.add_argument("-f", "--follow", action="store_true", help="go on printing")
    logs.add_argument("-n", "--lines", type=int, default=20, help="lines of each log (default: %(default)s)")
    logs.set_defaults(run=_logs)
    token = commands.add_parser("token", help="print an OIDC token of the test issuer, without a newline in a pipe")
    token.add_argument("--email", required=True, help="the identity that Fulcio will certify")
    token.add_argument("--audience", default=AUDIENCE, help="(default: %(default)s)")
    token.add_argument("--lifetime", type=int, default=LIFETIME_SECONDS, help="seconds (default: %(default)s)")
    token.set_defaults(run=_token)
    show = commands.add_parser("trust", help="print whom to trust and where to sign")
    show.add_argument("file", nargs="?", choices=_FILES, default="client", help="what to print (default: %(default)s)")
    show.add_argument("--out", type=Path, metavar="DIR", help="write all three files there instead")
    show.set_defaults(run=_trust)
    return parser


_FILES = {
    "root": trust.TRUSTED_ROOT,
    "signing": trust.SIGNING_CONFIG,
    "client": trust.CLIENT_TRUST_CONFIG,
}


def _up(stack: Stack, arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    if arguments.kubeconfig:
        print(f"service accounts of {stack.accept(arguments.kubeconfig)} can sign")
    started = stack.up()
    print(f"ready after {time.monotonic() - began:.1f} s" if started else "already running")
    print(f"issuer {ENDPOINTS.issuer_url}, trust files in {stack.layout.trust}")
    return 0


def _down(stack: Stack, _arguments: argparse.Namespace) -> int:
    print("stopped" if stack.down() else "not running")
    return 0


def _status(stack: Stack, arguments: argparse.Namespace) -> int:
    ready = stack.status()
    if arguments.output == "json":
        print(json.dumps({name: {"ready": ready[name], "url": url} for name, url in ENDPOINTS.health().items()}))
    else:
        for name, url in ENDPOINTS.health().items():
            print(f"{name:<8} {'ready' if ready[name] else 'down':<6} {url}")
    return 0 if all(ready.values()) else 1


def _logs(stack: Stack, arguments: argparse.Namespace) -> int:
    paths = [stack.layout.log(arguments.service)] if arguments.service else sorted(stack.layout.logs.glob("*.log"))
    if not all(path.exists() for path in paths) or not paths:
        raise StackError(f"no logs in {stack.layout.logs}; it was never started")
    options = ["-F"] if arguments.follow else []
    return subprocess.call(["tail", "-n", str(arguments.lines), *options, *map(str, paths)])


def _token(stack: Stack, arguments: argparse.Namespace) -> int:
    token = stack.token(arguments.email, audience=arguments.audience, lifetime=arguments.lifetime)
    print(token, end="\n" if sys.stdout.isatty() else "")
    return 0


def _trust(stack: Stack, arguments: argparse.Namespace) -> int:
    files = stack.trust_files()
    if arguments.out:
        trust.write(arguments.out, files)
    else:
        print(files[_FILES[arguments.file]], end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
