"""Without the library's models an entry of Rekor v2 counts only if it is, byte for byte, the right one."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_der_x509_certificate
from sigstore.verify import verifier as steps
from tests.conftest import vectors_folder
from tests.private_sigstore.entries import REKOR_V2, body, canonical
from tests.private_sigstore.instance import SIGNED_AT, Faults, PrivateSigstore
from tests.unit.evidence.samples import changed
from tests.unit.evidence.test_bindings import root
from tests.unit.evidence.test_entries import logged, signature, signed

from lineward.adapters import hashedrekord_entry
from lineward.adapters.keys import pae
from lineward.adapters.sigstore import SigstoreVerifier
from lineward.domain.reasons import Reason

RECORD = "spec/hashedRekordV002"


def is_canonical(bundle: dict[str, Any], said: bytes) -> bool:
    of = signature(bundle)
    assert isinstance(of.signer, x509.Certificate)
    return hashedrekord_entry.is_canonical(said, of.payload_type, of.payload, of.raw, of.signer)


def test_the_right_entry_needs_no_models(
    monkeypatch: pytest.MonkeyPatch, private: PrivateSigstore, verifier: SigstoreVerifier
) -> None:
    bundle = signed(private, REKOR_V2, key=False)
    asked = "_validate_hashedrekord_v002_dsse_entry_body"
    monkeypatch.setattr(steps, asked, lambda _: pytest.fail("the library was asked"))
    assert logged(private, verifier, bundle, REKOR_V2, body(REKOR_V2, signature(bundle))) is None


def test_no_other_byte_will_do(private: PrivateSigstore) -> None:
    bundle = signed(private, REKOR_V2, key=False)
    right = canonical(body(REKOR_V2, signature(bundle)))
    assert is_canonical(bundle, right)
    others = [right[:at] + bytes([right[at] ^ 1]) + right[at + 1 :] for at in range(len(right))]
    assert not any(is_canonical(bundle, other) for other in [*others, right[:-1], right + b" ", b" " + right, b""])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("kind", "dsse"),
        ("apiVersion", "0.0.1"),
        (f"{RECORD}/data/algorithm", "SHA2_384"),
        (f"{RECORD}/data/digest", "AAAA"),
        (f"{RECORD}/signature/content", "AAAA"),
        (f"{RECORD}/signature/verifier/keyDetails", "PKIX_ECDSA_P384_SHA_384"),
        (f"{RECORD}/signature/verifier/x509Certificate/rawBytes", "AAAA"),
        (f"{RECORD}/signature/verifier/publicKey", {"rawBytes": "AAAA"}),
        ("spec/hashedRekordV002", {}),
        ("spec", {}),
    ],
)
def test_the_library_refuses_what_differs(
    path: str, value: object, private: PrivateSigstore, verifier: SigstoreVerifier
) -> None:
    bundle = signed(private, REKOR_V2, key=False)
    refused = logged(private, verifier, bundle, REKOR_V2, changed(body(REKOR_V2, signature(bundle)), path, value))
    assert refused is not None
    assert refused.reason is Reason.EVIDENCE_INVALID


def test_the_library_accepts_the_same_in_another_encoding(private: PrivateSigstore, verifier: SigstoreVerifier) -> None:
    bundle = signed(private, REKOR_V2, key=False)
    written = json.dumps(body(REKOR_V2, signature(bundle)), indent=1).encode()
    assert not is_canonical(bundle, written)
    bundle["verificationMaterial"]["tlogEntries"] = [private.log.add(written, Faults(), REKOR_V2, None)]
    assert verifier.verify(canonical(bundle), root(private.trusted_root()))


def test_a_payload_type_counts(private: PrivateSigstore) -> None:
    bundle = signed(private, REKOR_V2, key=False)
    of = replace(signature(bundle), payload_type="text/plain")
    assert isinstance(of.signer, x509.Certificate)
    said = canonical(body(REKOR_V2, of))
    assert hashedrekord_entry.is_canonical(said, of.payload_type, of.payload, of.raw, of.signer)
    assert not is_canonical(bundle, said)


def test_a_payload_type_beyond_ascii_is_the_librarys(private: PrivateSigstore) -> None:
    """It counts characters where DSSE says bytes."""
    payload_type = "text/\u00e9"
    of = signature(signed(private, REKOR_V2, key=False))
    assert isinstance(of.signer, x509.Certificate)
    said = body(REKOR_V2, of)
    digest = b64encode(hashlib.sha256(pae(payload_type, of.payload)).digest()).decode()
    said = changed(said, f"{RECORD}/data/digest", digest)
    assert not hashedrekord_entry.is_canonical(canonical(said), payload_type, of.payload, of.raw, of.signer)


def test_other_curves_are_the_librarys(private: PrivateSigstore) -> None:
    """Its digest is that of the curve, which the body here is not made for."""
    bundle = signed(private, REKOR_V2, key=False)
    of = signature(bundle)
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, SIGNED_AT, SIGNED_AT)
    certificate = builder.sign(key, SHA256())
    said = canonical(body(REKOR_V2, replace(of, signer=certificate)))
    assert not hashedrekord_entry.is_canonical(said, of.payload_type, of.payload, of.raw, certificate)


def test_rekor_writes_what_is_expected() -> None:
    """A bundle of the public-good instance, from the conformance suite."""
    case = vectors_folder() / "sigstore-conformance" / "bundle-verify" / "rekor2-dsse-happy-path"
    if not case.is_dir():
        pytest.skip("the conformance vectors are not here")
    bundle = json.loads((case / "bundle.sigstore.json").read_bytes())
    envelope, material = bundle["dsseEnvelope"], bundle["verificationMaterial"]
    assert hashedrekord_entry.is_canonical(
        b64decode(material["tlogEntries"][0]["canonicalizedBody"]),
        envelope["payloadType"],
        b64decode(envelope["payload"]),
        b64decode(envelope["signatures"][0]["sig"]),
        load_der_x509_certificate(b64decode(material["certificate"]["rawBytes"])),
    )
