"""Policies and trust roots as a platform engineer writes them."""

from __future__ import annotations

from collections.abc import Sequence

from e2e.support.kubectl import Object

API = "lineward.dev/v1alpha1"
PREDICATE_TYPE = "https://lineward.dev/attestations/dataset-provenance/v1"


def trust_root(name: str, trusted_root: str) -> Object:
    """A TrustRoot around the text of a Sigstore trusted_root.json."""
    return {"apiVersion": API, "kind": "TrustRoot", "metadata": {"name": name}, "spec": {"trustedRoot": trusted_root}}


def policy(
    name: str,
    namespace: str,
    mode: str,
    *,
    issuer: str,
    subject: str,
    outputs: Sequence[str] = (),
    trust_root: str = "private",
) -> Object:
    """A ProvenancePolicy for all pods of a namespace, with one keyless authority."""
    return {
        "apiVersion": API,
        "kind": "ProvenancePolicy",
        "metadata": {"name": name},
        "spec": {
            "match": {"namespaces": {"names": [namespace]}},
            "mode": mode,
            "trustRootRef": {"name": trust_root},
            "authorities": [{"name": "data-team", "keyless": {"issuer": issuer, "subject": subject}}],
            "require": [{"predicateType": PREDICATE_TYPE}],
            "volumes": {"outputs": [{"persistentVolumeClaim": {"name": claim}} for claim in outputs]},
        },
    }
