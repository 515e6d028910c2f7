"""`lineward attest DIR`: vouch for a folder of data, all or nothing.

Everything that can be wrong before hashing is found before hashing: names, provenance, identity, where to write.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from lineward.cli import attest_arguments as arg
from lineward.cli import attest_run
from lineward.cli.terminal import Parser, add_context, add_hashing, add_output, chunk_argument
from lineward.domain.manifest import DEFAULT_CHUNK_BYTES, Profile

_EPILOG = """\
example:
  lineward attest ./credit --dataset german-credit --version 1.0.0 -n ml --pvc credit --out attested/
  kubectl apply --server-side -f attested/

It writes NAME.yaml (DatasetVersion), NAME-manifest.yaml (ConfigMap, where the manifest has up to 900 KiB),
NAME.lwm (the manifest) and NAME.sigstore (the bundle) into the folder given by --out, all of them or none.
Signing with an identity needs a Sigstore: the public one, or yours with --trust-config.  What is wrong is told before
anything is hashed.  Exit codes: 0 done, 1 the folder or the first signature is refused (--add-signature), 2 nothing
written and why (where --apply fails, the files stay and the message says so), 64 usage."""

_HEEDED = frozenset(
    [
        "folder",
        "parser",
        "add_signature",
        "trust_root",
        "policy",
        "recall",
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
    parser = _parser(prog)
    arguments = parser.parse_args(argv)
    arguments.parser = parser
    if arguments.context and not arguments.apply:
        parser.error("--context says where to --apply")
    if arguments.add_signature:
        if useless := _useless(parser, arguments):
            parser.error(f"--add-signature takes everything else from the file: leave out {', '.join(useless)}")
        if not (arguments.trust_root or arguments.unverified_first):
            parser.error("whose statement is signed too? give --trust-root and --policy, or --unverified-first")
        return attest_run.add_signature(arguments)
    if arguments.trust_root or arguments.policy or arguments.recall or arguments.unverified_first:
        parser.error("--trust-root, --policy, --recall and --unverified-first are of --add-signature")
    if not (arguments.dataset and arguments.version and arguments.namespace):
        parser.error("give --dataset, --version and --namespace (or --add-signature FILE)")
    return attest_run.attest(arguments)


def _useless(parser: Parser, arguments: argparse.Namespace) -> list[str]:
    """Arguments that were given and that `--add-signature` would not heed."""
    given = [name for name, value in vars(arguments).items() if value != parser.get_default(name)]
    return [f"--{name.replace('_', '-')}" for name in given if name not in _HEEDED]


def _parser(prog: str) -> Parser:
    parser = Parser(
        prog,
        description="Hash a folder, sign a statement about it, and write what a cluster needs to believe it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="DIR", help="the folder with the data, and with nothing else")
    _what(parser.add_argument_group("what it is", "The first three are needed, except with --add-signature."))
    _where(parser.add_argument_group("where the bytes are in the cluster", "Each may be given several times."))
    order = "Options win over the file and add to its lists; a file wins over an earlier version, lists included."
    _provenance(parser.add_argument_group("provenance", order))
    _signature(parser.add_argument_group("signature"))
    _second(parser.add_argument_group("second signature"))
    _rest(parser.add_argument_group("manifest and output"))
    return parser


def _what(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--dataset", type=arg.word_argument, metavar="DATASET", help="the named family of data")
    add("--version", type=arg.word_argument, metavar="VERSION", help="the name of this state of it, such as 1.0.0")
    add(
        *("-n", "--namespace"),
        type=arg.namespace_argument,
        metavar="NAMESPACE",
        help="where the DatasetVersion and the pods that use it will be",
    )
    add(
        "--name",
        type=arg.name_argument,
        metavar="NAME",
        help="name of the DatasetVersion object and of the files (default: DATASET-VERSION in lower case)",
    )


def _where(group: argparse._ArgumentGroup) -> None:
    kinds = (
        ("--pvc", arg.claim_argument, "CLAIM[:SUBPATH]", "a PersistentVolumeClaim that holds DIR"),
        ("--image", arg.image_argument, "REF@sha256:HEX", "an image volume that holds DIR"),
        ("--nfs", arg.nfs_argument, "SERVER:/PATH", "an NFS export that is DIR"),
        ("--csi", arg.csi_argument, "DRIVER/HANDLE", "a volume of a CSI driver that holds DIR"),
        ("--fetched", arg.fetched_argument, "PATH", "an init container brings DIR into an emptyDir mounted at PATH"),
    )
    for option, read, metavar, text in kinds:
        group.add_argument(option, type=read, action="append", default=[], metavar=metavar, help=text)


def _provenance(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--provenance",
        metavar="FILE",
        help="YAML with sources, consent, licence and more (docs/formats/dataset-provenance-v1.md)",
    )
    add(
        "--from-previous",
        metavar="FILE",
        help="start from what an earlier DatasetVersion or bundle says; its signature is not checked",
    )
    add("--issuer", metavar="ORGANISATION", help="who publishes the data")
    add("--description", metavar="TEXT", help="what the data is, for people")
    add("--source", action="append", default=[], metavar="URI", help="where the data came from; may be repeated")
    add("--license", metavar="SPDX", help="the licence, such as CC-BY-4.0")
    add("--classification", metavar="WORD", help="how it is classified, such as internal")
    add("--purpose", action="append", default=[], metavar="WORD", help="what it may be used for; may be repeated")
    add("--personal-data", choices=("yes", "no"), help="whether it holds personal data (default: not said)")
    add("--expires", type=arg.time_argument, metavar="TIME", help="when its use ends, such as 2027-01-31T12:00:00Z")
    add("--strict", action="store_true", help="refuse gaps and ended consents, instead of warning of them")


def _signature(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--identity-token",
        metavar="TOKEN|@FILE",
        default="",
        help="OIDC token to sign with (default: $SIGSTORE_ID_TOKEN, else the CI job's own, else a browser opens)",
    )
    add(
        "--trust-config",
        metavar="FILE",
        default="",
        help="client trust config of a private Sigstore (default: the public one); with --key it adds a signing time",
    )
    add("--key", metavar="FILE", help="PEM private key to sign with instead (password: $LINEWARD_KEY_PASSWORD)")


def _second(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--add-signature", metavar="FILE", help="hash DIR again, and add a signature to this DatasetVersion")
    keys = "TrustRoot, trusted_root.json, or PEM public key that the first signature is verified by; may be repeated"
    add("--trust-root", action="append", default=[], metavar="FILE", help=keys)
    who = "ProvenancePolicy that says who may have signed first; may be repeated"
    add("--policy", action="append", default=[], metavar="FILE", help=who)
    add("--recall", action="append", default=[], metavar="FILE", help="DatasetRecall that counts; may be repeated")
    add("--unverified-first", action="store_true", help="sign what the first statement says, whoever said it")


def _rest(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--profile",
        choices=[str(p) for p in Profile],
        default=str(Profile.PORTABLE),
        help="what counts: portable takes files alone, posix also links, modes and empty folders (default: portable)",
    )
    add(
        "--chunk-size",
        type=chunk_argument,
        default=DEFAULT_CHUNK_BYTES,
        metavar="SIZE",
        help=f"power of two; files above it are hashed in parts (default: {DEFAULT_CHUNK_BYTES // 1024**2}MiB)",
    )
    add_hashing(group)
    add("--out", metavar="DIR", default=".", help="folder to write into (default: the current one)")
    add("--oms", action="store_true", help="also write NAME.sig, an OpenSSF Model Signing signature (small sets)")
    add("--apply", action="store_true", help="apply the objects to the cluster, once they are written")
    add_context(group, "with --apply: ")
    add("--force", action="store_true", help="replace the files of this NAME that are there")
    add_output(group)
