"""Objects as users write them, and the values they stand for; tests change one thing at a time."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

from lineward.domain import dataset, policy, provenance
from lineward.domain.dataset import DatasetVersion
from lineward.domain.digest import Digest
from lineward.domain.evidence import Evidence, Signer
from lineward.domain.policy import Policy
from lineward.domain.statement import DATASET_PROVENANCE

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
ISSUER = "https://issuer.example"
SUBJECT = "data-team@example.org"
ROOT = "sha256:" + "11" * 32
MANIFEST = "sha256:" + "22" * 32

INTEGRITY: dict[str, Any] = {
    "algorithm": "sha256",
    "profile": "portable",
    "chunkBytes": 8388608,
    "root": ROOT,
    "files": 3,
    "bytes": 12345,
    "manifest": {"digest": MANIFEST, "size": 1234},
}

PREDICATE: dict[str, Any] = {
    "dataset": {"name": "german-credit", "version": "1.0.0", "issuer": "Example Bank", "owners": ["risk@example.org"]},
    "integrity": INTEGRITY,
    "sources": [
        {
            "uri": "s3://bank/credit.csv",
            "system": "s3",
            "pin": {"s3": {"bucket": "bank", "key": "credit.csv", "versionId": "v7"}},
            "origin": {"organization": "Example Bank", "geography": "DE"},
            "consent": {
                "documentId": "consent-2025-17",
                "status": "granted",
                "digest": "sha256:" + "33" * 32,
                "validFrom": "2025-01-01T00:00:00Z",
                "validUntil": "2027-01-01T00:00:00Z",
            },
        }
    ],
    "transformations": [{"name": "clean", "code": {"repository": "https://git.example/etl", "commit": "a" * 40}}],
    "use": {
        "purposes": ["credit-scoring"],
        "prohibited": ["marketing"],
        "license": "CC-BY-4.0",
        "classification": "internal",
        "personalData": True,
        "expires": "2027-01-01T00:00:00Z",
    },
    "quality": {"checks": [{"name": "no-nulls", "passed": True}]},
    "createdAt": "2026-05-01T00:00:00Z",
}

DATASET: dict[str, Any] = {
    "apiVersion": "lineward.dev/v1alpha1",
    "kind": "DatasetVersion",
    "metadata": {"name": "german-credit-1.0.0", "namespace": "ml", "uid": "u-1"},
    "spec": {
        "dataset": "german-credit",
        "version": "1.0.0",
        "previousVersion": "0.9.0",
        "integrity": {
            **INTEGRITY,
            "manifest": {
                "digest": MANIFEST,
                "size": 1234,
                "configMap": {"name": "german-credit-1.0.0-manifest", "key": "manifest.lwm"},
            },
        },
        "volumes": [
            {"persistentVolumeClaim": {"name": "credit", "subPath": ""}},
            {"image": {"reference": "registry/x@sha256:" + "aa" * 32}},
            {"csi": {"driver": "d", "volumeHandle": "h"}},
            {"nfs": {"server": "s", "path": "/p"}},
            {"fetched": {"mountPath": "/data"}},
        ],
        "attestations": [{"bundle": "{}"}, {"oci": "registry/x:att"}, {"url": "https://x", "sha256": ROOT}],
        "lifecycle": {"state": "active"},
    },
}

POLICY: dict[str, Any] = {
    "apiVersion": "lineward.dev/v1alpha1",
    "kind": "ProvenancePolicy",
    "metadata": {"name": "training"},
    "spec": {
        "match": {"namespaces": {"names": ["ml"]}},
        "mode": "enforce",
        "trustRootRef": {"name": "default"},
        "authorities": [{"name": "data-team", "keyless": {"issuer": ISSUER, "subject": SUBJECT}}],
    },
}


def changed(sample: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy with the member at a dotted path replaced, or removed where the value is `...`."""
    made = copy.deepcopy(sample)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    node: Any = made
    for part in parents:
        node = node[part]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return made


def a_dataset(**spec: object) -> DatasetVersion:
    return dataset.parse({**DATASET, "spec": {**DATASET["spec"], **spec}})


def a_policy(**spec: object) -> Policy:
    return policy.parse({**POLICY, "spec": {**POLICY["spec"], **spec}})


def an_evidence(
    predicate: dict[str, Any] = PREDICATE,
    signer: Signer = Signer(issuer=ISSUER, subject=SUBJECT),  # noqa: B008 - a frozen value
    signed_at: datetime | None = datetime(2026, 5, 1, tzinfo=UTC),
    predicate_type: str = DATASET_PROVENANCE,
    subject: str = MANIFEST,
) -> Evidence:
    parsed = provenance.parse(predicate) if predicate_type == DATASET_PROVENANCE else None
    return Evidence(Digest(b"\0" * 32), signer, signed_at, Digest.parse(subject), predicate_type, predicate, parsed)
