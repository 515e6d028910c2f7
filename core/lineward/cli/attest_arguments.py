"""What the arguments of `lineward attest` say, in the shapes of provenance and DatasetVersion.

A value that cannot be meant is refused as the command line is read, with the name of its option, and not by the API
server after an hour of hashing.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from typing import Any

from lineward.domain import fields
from lineward.domain.dataset import DNS_NAME, IMAGE, INSIDE, LABEL, MAX_IMAGE, MAX_WORD, WORD
from lineward.domain.fields import MAX_TEXT

MAX_NAME = 240
"""Characters of an object's name: of the files named after it, NAME-manifest.yaml is to fit 255 bytes."""
_NAME = "lower-case letters and digits, with - and . between them"
_CLAIM = f"(?P<name>{DNS_NAME})(?::(?P<path>{INSIDE}))?"
_NFS = r"(?P<server>[^\s/]{1,253}):(?P<path>/.*)"
_CSI = r"(?P<driver>[A-Za-z0-9](?:[-.A-Za-z0-9]{0,61}[A-Za-z0-9])?)/(?P<handle>\S.*)"


def _of_form(pattern: str, cap: int, form: str) -> Callable[[str], str]:
    """A reader for arguments of a form; it raises argparse.ArgumentTypeError."""

    def read(text: str) -> str:
        if len(text) > cap or not re.fullmatch(pattern, text):
            raise argparse.ArgumentTypeError(f"{text[:80]!r} is not {form}, at most {cap} characters")
        return text

    return read


word_argument = _of_form(WORD, MAX_WORD, "letters and digits, with - _ . + between them")
namespace_argument = _of_form(LABEL, 63, "lower-case letters and digits, with - between them")
name_argument = _of_form(DNS_NAME, MAX_NAME, _NAME)
_claim_name = _of_form(DNS_NAME, 253, _NAME)


def time_argument(text: str) -> str:
    """A time as provenance has it. Raises argparse.ArgumentTypeError."""
    try:
        fields.moment(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is no time such as 2027-01-31T12:00:00Z") from error
    return text


def claim_argument(text: str) -> dict[str, Any]:
    """`CLAIM[:SUBPATH]` as a volume identity. Raises argparse.ArgumentTypeError, as the next ones do."""
    found = _matched(_CLAIM, text, "CLAIM or CLAIM:SUBPATH, such as credit or credit:2026/april")
    sub_path = {"subPath": found["path"]} if found["path"] else {}
    return {"persistentVolumeClaim": {"name": _claim_name(found["name"]), **sub_path}}


def image_argument(text: str) -> dict[str, Any]:
    """`REF@sha256:HEX` as a volume identity."""
    _matched(IMAGE, text, "an image by its digest, registry.example/credit@sha256: and 64 digits", MAX_IMAGE)
    return {"image": {"reference": text}}


def nfs_argument(text: str) -> dict[str, Any]:
    """`SERVER:/PATH` as a volume identity; an IPv6 address has colons of its own."""
    found = _matched(_NFS, text, "SERVER:/PATH, such as files.example:/exports/credit")
    return {"nfs": {"server": found["server"], "path": found["path"]}}


def csi_argument(text: str) -> dict[str, Any]:
    """`DRIVER/HANDLE` as a volume identity."""
    found = _matched(_CSI, text, "DRIVER/HANDLE, such as ebs.csi.aws.com/vol-0a1b2c3d")
    return {"csi": {"driver": found["driver"], "volumeHandle": found["handle"]}}


def fetched_argument(text: str) -> dict[str, Any]:
    """An absolute path as a volume identity."""
    _matched(f"/{INSIDE}", text, "an absolute path without . and .., such as /data")
    return {"fetched": {"mountPath": text}}


def _matched(pattern: str, text: str, form: str, cap: int = MAX_TEXT) -> re.Match[str]:
    found = re.fullmatch(pattern, text) if len(text) <= cap and text.isprintable() else None
    if not found:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not {form}")
    return found


def flags(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """What the provenance flags say, in the shape of a provenance file."""
    dataset = {"issuer": arguments.issuer, "description": arguments.description}
    personal = None if arguments.personal_data is None else arguments.personal_data == "yes"
    use = {
        "license": arguments.license,
        "classification": arguments.classification,
        "purposes": arguments.purpose or None,
        "personalData": personal,
        "expires": arguments.expires,
    }
    said = {
        "dataset": {member: value for member, value in dataset.items() if value is not None},
        "sources": [{"uri": uri} for uri in arguments.source],
        "use": {member: value for member, value in use.items() if value is not None},
    }
    return {member: value for member, value in said.items() if value}


def volumes(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Volume identities of the DatasetVersion, as its schema spells them."""
    return [*arguments.pvc, *arguments.image, *arguments.nfs, *arguments.csi, *arguments.fetched]
