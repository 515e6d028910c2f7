"""A log entry counts only for the content, the signature and the signer that it was made for."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import load_der_x509_certificate
from tests.private_sigstore.entries import (
    DSSE,
    HASHEDREKORD,
    INTOTO,
    REKOR_V2,
    Kind,
    Signature,
    b64,
    body,
    canonical,
)
from tests.private_sigstore.instance import PAYLOAD_TYPE, SIGNED_AT, Faults, PrivateSigstore
from tests.unit.evidence.samples import changed
from tests.unit.evidence.test_bindings import entry, refusal, root
from tests.unit.evidence.test_key_bundles import KEY, STATEMENT, VAULT

from lineward.adapters.sigstore import SigstoreVerifier
from lineward.domain.errors import LinewardError
from lineward.domain.reasons import Reason

KINDS = [(True, REKOR_V2), (True, HASHEDREKORD), (True, DSSE), (False, REKOR_V2), (False, DSSE), (False, INTOTO)]
"""By key or by certificate, and the types of entries that are accepted then."""


def signed(private: PrivateSigstore, kind: Kind, *, key: bool) -> dict[str, Any]:
    if key:
        return private.sign_with_key(STATEMENT, KEY, SIGNED_AT, logged=True, kind=kind)
    return private.sign(STATEMENT, kind=kind)


def signature(bundle: dict[str, Any]) -> Signature:
    """What the bundle's entry should be of."""
    material, raw = bundle["verificationMaterial"], b64decode(bundle["dsseEnvelope"]["signatures"][0]["sig"])
    if "publicKey" in material:
        return Signature(PAYLOAD_TYPE, STATEMENT, raw, KEY.public_key())
    certificate = load_der_x509_certificate(b64decode(material["certificate"]["rawBytes"]))
    return Signature(PAYLOAD_TYPE, STATEMENT, raw, certificate)


def logged(
    private: PrivateSigstore, verifier: SigstoreVerifier, bundle: dict[str, Any], kind: Kind, said: dict[str, Any]
) -> LinewardError | None:
    """Log that body for the bundle; returns why the bundle is refused then."""
    promised_at = None if kind == REKOR_V2 else SIGNED_AT
    made = private.log.add(canonical(said), Faults(), kind, promised_at)
    bundle["verificationMaterial"]["tlogEntries"] = [made]
    try:
        verifier.verify(canonical(bundle), root(private.trusted_root(), VAULT))
    except LinewardError as error:
        return error
    return None


@pytest.mark.parametrize(("key", "kind"), KINDS, ids=str)
def test_the_entry_of_another_bundle_is_refused(
    kind: Kind, verifier: SigstoreVerifier, private: PrivateSigstore, *, key: bool
) -> None:
    """CVE-2022-36056, CVE-2026-22703."""
    bundle, other = signed(private, kind, key=key), signed(private, kind, key=key)
    trust_root = root(private.trusted_root(), VAULT)
    assert verifier.verify(canonical(bundle), trust_root)
    assert verifier.verify(canonical(other), trust_root)
    bundle["verificationMaterial"]["tlogEntries"] = [entry(other)]
    assert refusal(verifier, bundle, trust_root).reason is Reason.EVIDENCE_INVALID


@pytest.mark.parametrize("kind", [REKOR_V2, DSSE, INTOTO], ids=str)
def test_an_envelope_is_signed_by_its_certificate(
    kind: Kind, verifier: SigstoreVerifier, private: PrivateSigstore
) -> None:
    """Another's signature, with a stamp and an entry of it: nothing but the signature is wrong."""
    bundle, other = signed(private, kind, key=False), private.sign(STATEMENT + b" ", kind=kind)
    bundle["dsseEnvelope"]["signatures"] = other["dsseEnvelope"]["signatures"]
    stamps = "timestampVerificationData"
    bundle["verificationMaterial"][stamps] = other["verificationMaterial"][stamps]
    refused = logged(private, verifier, bundle, kind, body(kind, signature(bundle)))
    assert refused is not None
    assert "DSSE: invalid signature" in refused.message


@pytest.mark.parametrize(
    "claimed", [("hashedrekord", "0.0.1"), ("Hashedrekord", "0.0.2"), ("intoto", "0.0.2")], ids=str
)
def test_an_entry_is_of_the_kind_that_the_bundle_says(
    claimed: Kind, verifier: SigstoreVerifier, private: PrivateSigstore
) -> None:
    bundle = signed(private, REKOR_V2, key=False)
    said = body(REKOR_V2, signature(bundle))
    assert logged(private, verifier, bundle, REKOR_V2, said) is None
    bundle["verificationMaterial"]["tlogEntries"] = [private.log.add(canonical(said), Faults(), claimed)]
    assert refusal(verifier, bundle, root(private.trusted_root())).reason is Reason.EVIDENCE_INVALID


@pytest.mark.parametrize("change", ["raw", "payload", "signer"])
@pytest.mark.parametrize(("key", "kind"), KINDS, ids=str)
def test_an_entry_agrees_with_its_bundle_in_everything(
    kind: Kind, change: str, verifier: SigstoreVerifier, private: PrivateSigstore, *, key: bool
) -> None:
    bundle = signed(private, kind, key=key)
    right = signature(bundle)
    others: dict[str, Signature] = {
        "raw": replace(right, raw=signature(signed(private, kind, key=key)).raw),
        "payload": replace(right, payload=STATEMENT + b" "),
        "signer": replace(right, signer=ec.generate_private_key(ec.SECP256R1()).public_key())
        if key
        else replace(right, signer=signature(private.sign(STATEMENT)).signer),
    }
    assert logged(private, verifier, bundle, kind, body(kind, right)) is None
    refused = logged(private, verifier, bundle, kind, body(kind, others[change]))
    assert refused is not None
    assert refused.reason is Reason.EVIDENCE_INVALID


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        (DSSE, "spec/payloadHash/algorithm", "sha512"),
        (DSSE, "spec/signatures", []),
        (REKOR_V2, "spec/hashedRekordV002/data/algorithm", "SHA2_512"),
        (REKOR_V2, "spec/hashedRekordV002/data/algorithm", "MD5"),
        (HASHEDREKORD, "spec/data/hash/algorithm", "sha512"),
    ],
    ids=str,
)
def test_an_entry_of_a_key_says_how_it_was_made(
    kind: Kind, path: str, value: object, verifier: SigstoreVerifier, private: PrivateSigstore
) -> None:
    bundle = signed(private, kind, key=True)
    refused = logged(private, verifier, bundle, kind, changed(body(kind, signature(bundle)), path, value))
    assert refused is not None
    assert "of another signature, key or content" in refused.message


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("kind", "dsse"),
        ("apiVersion", "0.0.1"),
        ("spec/content/envelope/payloadType", "text/plain"),
        ("spec/content/envelope/signatures", []),
        ("spec/content/payloadHash/algorithm", "sha512"),
        ("spec/content/payloadHash/value", "0" * 64),
        ("spec/content/envelope/signatures/0/sig", b64(b64(b"other").encode())),
    ],
)
def test_an_intoto_entry_is_of_this_statement(
    path: str, value: object, verifier: SigstoreVerifier, private: PrivateSigstore
) -> None:
    bundle = signed(private, INTOTO, key=False)
    refused = logged(private, verifier, bundle, INTOTO, changed(body(INTOTO, signature(bundle)), path, value))
    assert refused is not None
    assert "of another statement, signature or signer" in refused.message


def test_an_intoto_entry_has_no_second_signature(verifier: SigstoreVerifier, private: PrivateSigstore) -> None:
    bundle = signed(private, INTOTO, key=False)
    said = body(INTOTO, signature(bundle))
    said["spec"]["content"]["envelope"]["signatures"] *= 2
    refused = logged(private, verifier, bundle, INTOTO, said)
    assert refused is not None
    assert "signatures has more than 1 items" in refused.message


def test_other_types_of_entries_are_refused(verifier: SigstoreVerifier, private: PrivateSigstore) -> None:
    bundle = signed(private, REKOR_V2, key=True)
    made = body(INTOTO, signature(bundle))
    refused = logged(private, verifier, bundle, INTOTO, made)
    assert refused is not None
    assert "type intoto/0.0.2 are not accepted" in refused.message
