"""`lineward attest DIR`: vouch for a folder of data, all or nothing.

Everything that can be wrong before hashing is found before hashing: names, provenance, identity, where to write.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from lineward.cli import attest_run
from lineward.cli.terminal import FORMATS, PROGRESS, Parser, chunk_argument, workers_argument
from lineward.domain.manifest import DEFAULT_CHUNK_BYTES, Profile

_EPILOG = """\
It writes NAME.yaml (DatasetVersion), NAME-manifest.yaml (ConfigMap, where the manifest has up to 900 KiB),
NAME.lwm (the manifest) and NAME.sigstore (the bundle) into the folder given by --out; then
kubectl apply --server-side -f OUT, or give --apply.  Keyless signatures need a Sigstore: the public one, or yours with
--trust-config.  Exit codes: 0 done, 1 the folder or the first signature is refused (--add-signature), 2 nothing written
and why (where --apply fails, the files stay and the message says so), 64 usage."""

_HEEDED = frozenset(
    [
        "folder",
        "parser",
        "add_signature",
        "trust_root",
        "policy",
        "unverified_first",
        "identity_token",
        "trust_config",
        "key",
        "workers",
        "progress",
        "apply",
        "context",
        "output",
    ]
)
"""What `--add-signature` heeds."""


def run(argv: Sequence[str], prog: str) -> int:
    """Attest a folder; exit codes as in the epilog."""
    parser = Parser(
        prog,
        description="Hash a folder, sign a statement about it, and write what a cluster needs to believe it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="DIR")
    _what(parser.add_argument_group("what it is"))
    _where(parser.add_argument_group("where the bytes are in the cluster"))
    _provenance(parser.add_argument_group("provenance"))
    _signature(parser.add_argument_group("signature"))
    _rest(parser.add_argument_group("manifest and output"))
    arguments = parser.parse_args(argv)
    arguments.parser = parser
    if arguments.add_signature:
        if useless := _useless(parser, arguments):
            parser.error(f"--add-signature takes everything else from the file: leave out {', '.join(useless)}")
        if not (arguments.trust_root or arguments.unverified_first):
            parser.error("whose statement is signed too? give --trust-root and --policy, or --unverified-first")
        return attest_run.add_signature(arguments)
    if arguments.trust_root or arguments.policy or arguments.unverified_first:
        parser.error("--trust-root, --policy and --unverified-first are of --add-signature")
    if not (arguments.dataset and arguments.version and arguments.namespace):
        parser.error("give --dataset, --version and --namespace (or --add-signature FILE)")
    return attest_run.attest(arguments)


def _useless(parser: Parser, arguments: argparse.Namespace) -> list[str]:
    """Arguments that were given and that `--add-signature` would not heed."""
    given = [name for name, value in vars(arguments).items() if value != parser.get_default(name)]
    return [f"--{name.replace('_', '-')}" for name in given if name not in _HEEDED]


def _what(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--dataset", metavar="NAME", help="the named family of data")
    group.add_argument("--version", metavar="VERSION", help="the name of this state of it")
    group.add_argument("--namespace", "-n", metavar="NAMESPACE", help="where the DatasetVersion will be")
    group.add_argument("--name", help="name of the DatasetVersion object (default: DATASET-VERSION)")


def _where(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--pvc", action="append", default=[], metavar="CLAIM[:SUBPATH]", help="a PersistentVolumeClaim that holds DIR")
    add("--image", action="append", default=[], metavar="REF@sha256:HEX", help="an image volume")
    add("--nfs", action="append", default=[], metavar="SERVER:/PATH", help="an NFS export")
    add("--csi", action="append", default=[], metavar="DRIVER/HANDLE", help="a CSI volume")
    add("--fetched", action="append", default=[], metavar="PATH", help="an init container brings it to PATH")


def _provenance(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--provenance", metavar="FILE", help="YAML of docs/formats/dataset-provenance-v1.md, without integrity")
    add("--from-previous", metavar="FILE", help="start from what an earlier DatasetVersion or bundle says")
    add("--issuer", metavar="ORGANISATION", help="who publishes the data")
    add("--description", metavar="TEXT")
    add("--source", action="append", default=[], metavar="URI", help="where the data came from")
    add("--license", metavar="SPDX", help="such as CC-BY-4.0")
    add("--classification", metavar="WORD", help="such as internal")
    add("--purpose", action="append", default=[], metavar="WORD", help="what it may be used for")
    add("--personal-data", choices=("yes", "no"), help="whether it holds personal data")
    add("--expires", metavar="TIME", help="when its use ends, such as 2027-01-01T00:00:00Z")
    add("--strict", action="store_true", help="refuse where something expected is missing, instead of naming it")


def _signature(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--identity-token", metavar="TOKEN|@FILE", default="", help="default: SIGSTORE_ID_TOKEN, CI, or a browser")
    add("--trust-config", metavar="FILE", default="", help="client trust config of a private Sigstore")
    add("--key", metavar="PEM", help="sign with a private key (password: LINEWARD_KEY_PASSWORD)")
    add("--add-signature", metavar="FILE", help="hash DIR again and add a signature to a DatasetVersion")
    add(
        "--trust-root", action="append", default=[], metavar="FILE", help="with --add-signature: verify the first by it"
    )
    add("--policy", action="append", default=[], metavar="FILE", help="with --add-signature: who may have been first")
    add("--unverified-first", action="store_true", help="with --add-signature: believe what is shown, whoever said it")


def _rest(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--profile", choices=[str(p) for p in Profile], default=str(Profile.PORTABLE))
    add("--chunk-size", type=chunk_argument, default=DEFAULT_CHUNK_BYTES, metavar="SIZE")
    add("--workers", type=workers_argument, metavar="N", help="hashing threads (default: what the CPU quota allows)")
    add("--progress", choices=PROGRESS, default="auto", help="on stderr (default: bar on a terminal)")
    add("--out", metavar="DIR", default=".", help="where to write (default: the current folder)")
    add("--oms", action="store_true", help="also write NAME.sig, an OpenSSF Model Signing signature (small sets)")
    add("--apply", action="store_true", help="apply the objects to the cluster, once they are written")
    add("--context", help="with --apply: of the kubeconfig (default: the current one)")
    add("--force", action="store_true", help="replace files that are there")
    add("-o", "--output", choices=FORMATS, default="table", help="format of the summary")
