"""Good bundles of every kind, which the fuzzer changes: our private instance's, and those of sigstore-conformance."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.conftest import vectors_folder
from tests.fuzz.mutations import Subject
from tests.private_sigstore.entries import DSSE, HASHEDREKORD, INTOTO
from tests.private_sigstore.instance import END, SIGNED_AT, Faults, PrivateSigstore, dumps
from tests.unit.evidence.samples import MANIFEST, PREDICATE

from lineward.adapters.sigstore import SigstoreVerifier
from lineward.cli.conformance import embedded_root
from lineward.domain import statement, trustroot
from lineward.domain.digest import Digest
from lineward.domain.errors import LinewardError
from lineward.domain.evidence import Evidence, KeyAnchor, TrustRoot
from lineward.domain.statement import DATASET_PROVENANCE, Statement

PAYLOAD = statement.build(Statement("d", Digest.parse(MANIFEST), DATASET_PROVENANCE, PREDICATE))
VERIFIER = SigstoreVerifier()
SUITE = vectors_folder() / "sigstore-conformance" / "bundle-verify"
SUITES_STATEMENTS = ("happy-path-intoto-in-dsse-v3", "rekor2-dsse-happy-path", "intoto-with-custom-trust-root")
"""The suite's good bundles of statements: Rekor v1 with its promise, Rekor v2, and a chain with an intoto entry."""
_NO_STAMPS = Faults(timestamps=0)


@dataclass(frozen=True)
class Original:
    """One good bundle, what it proves, and the times it proves where someone leaves a stamp or a promise out."""

    root: TrustRoot
    subject: Subject
    payload: str
    proves: Evidence
    times: frozenset[datetime | None]


def originals() -> tuple[Original, ...]:
    return tuple(_original(bundle, root) for bundle, root in (*_ours(), *_suites()))


def _original(bundle: dict[str, Any], root: TrustRoot) -> Original:
    proves = VERIFIER.verify(dumps(bundle), root)
    return Original(root, Subject(bundle), bundle["dsseEnvelope"]["payload"], proves, frozenset(_times(bundle, root)))


def _times(bundle: dict[str, Any], root: TrustRoot) -> Iterator[datetime | None]:
    """No signature is over the set of a bundle's times, so anyone can make it smaller."""
    for stamps in (True, False):
        for promise in (True, False):
            less = copy.deepcopy(bundle)
            material = less["verificationMaterial"]
            if not stamps:
                material.pop("timestampVerificationData", None)
            for entry in () if promise else material["tlogEntries"]:
                entry.pop("inclusionPromise", None)
            try:
                yield VERIFIER.verify(dumps(less), root).signed_at
            except LinewardError:
                continue


def _ours() -> Iterator[tuple[dict[str, Any], TrustRoot]]:
    private, key = PrivateSigstore(), ec.generate_private_key(ec.SECP256R1())
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    root = trustroot.make("r", dumps(private.trusted_root()).decode(), (KeyAnchor("vault", pem, None, END),))
    yield private.sign(PAYLOAD), root
    yield private.sign(PAYLOAD, kind=DSSE, faults=_NO_STAMPS), root
    yield private.sign(PAYLOAD, kind=INTOTO, faults=_NO_STAMPS), root
    yield _chained(private.sign(PAYLOAD, kind=DSSE)), root
    yield private.sign_with_key(PAYLOAD, key), root
    yield private.sign_with_key(PAYLOAD, key, SIGNED_AT, logged=True), root
    yield private.sign_with_key(PAYLOAD, key, logged=True, kind=DSSE), root
    yield private.sign_with_key(PAYLOAD, key, logged=True, kind=HASHEDREKORD), root


def _chained(bundle: dict[str, Any]) -> dict[str, Any]:
    """The form of version 0.2, where the certificate is the first of a chain."""
    material = bundle["verificationMaterial"]
    material["x509CertificateChain"] = {"certificates": [material.pop("certificate")]}
    return bundle | {"mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.2"}


def _suites() -> Iterator[tuple[dict[str, Any], TrustRoot]]:
    for case in (SUITE / name for name in SUITES_STATEMENTS if SUITE.is_dir()):
        own = case / "trusted_root.json"
        root = trustroot.make("suite", own.read_text() if own.exists() else embedded_root())
        yield json.loads((case / "bundle.sigstore.json").read_text()), root
