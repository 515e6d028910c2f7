"""What the arguments of `lineward attest` say, in the shapes of provenance and DatasetVersion."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any


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
    made: list[dict[str, Any]] = []
    for text in arguments.pvc:
        claim, _, sub_path = text.partition(":")
        made.append({"persistentVolumeClaim": {"name": claim, **({"subPath": sub_path} if sub_path else {})}})
    made += [{"image": {"reference": text}} for text in arguments.image]
    for text in arguments.nfs:
        server, _, path = text.partition(":")
        made.append({"nfs": {"server": server, "path": path}})
    for text in arguments.csi:
        driver, _, handle = text.partition("/")
        made.append({"csi": {"driver": driver, "volumeHandle": handle}})
    made += [{"fetched": {"mountPath": text}} for text in arguments.fetched]
    return made
