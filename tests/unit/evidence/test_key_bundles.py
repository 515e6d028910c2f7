"""Bundles that a key signed: log entry and timestamps are optional, but what is there must be right."""

from __future__ import annotations

import base64
import copy
import json
from base64 import b64decode
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.private_sigstore.entries import b64
from tests.private_sigstore.instance import END, SIGNED_AT, START, Faults, PrivateSigstore, dumps
from tests.unit.evidence.samples import MANIFEST, PREDICATE

from lineward.adapters.sigstore import SigstoreVerifier
from lineward.domain import statement, trustroot
from lineward.domain.digest import Digest
from lineward.domain.errors import LinewardError, RefusedError
from lineward.domain.evidence import KeyAnchor, SigningTime, TrustRoot
from lineward.domain.reasons import Reason
from lineward.domain.statement import DATASET_PROVENANCE, Statement
from lineward.domain.trustroot import der_of

STATEMENT = statement.build(Statement("d", Digest.parse(MANIFEST), DATASET_PROVENANCE, PREDICATE))
STAMPED_AT = SIGNED_AT + timedelta(seconds=1)
SECOND = timedelta(seconds=1)
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
KEY = ec.generate_private_key(ec.SECP256R1())


def pem(key: PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def root(private: PrivateSigstore | None, *anchors: KeyAnchor) -> TrustRoot:
    return trustroot.make("r", dumps(private.trusted_root()).decode() if private else "", anchors)


def stripped(bundle: dict[str, Any]) -> dict[str, Any]:
    """The bundle as anyone can pass it on: without its timestamps."""
    bare = copy.deepcopy(bundle)
    del bare["verificationMaterial"]["timestampVerificationData"]
    return bare


VAULT = KeyAnchor("vault", pem(KEY), START, END)
STRICT = replace(VAULT, signing_time=SigningTime.REQUIRED)


def reason(verifier: SigstoreVerifier, bundle: dict[str, Any], trust_root: TrustRoot) -> Reason:
    with pytest.raises(LinewardError) as caught:
        verifier.verify(dumps(bundle), trust_root)
    return caught.value.reason


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["p256", "p384", "p521", "ed25519"],
)
def test_listed_keys_are_believed(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, verifier: SigstoreVerifier, private: PrivateSigstore
) -> None:
    anchors = (VAULT,) if key is KEY else (VAULT, KeyAnchor("other", pem(key), None, END))
    evidence = verifier.verify(dumps(private.sign_with_key(STATEMENT, key)), root(None, *anchors))
    assert evidence.signer.key == ("vault" if key is KEY else "other")
    assert evidence.signer.key_digest == trustroot.key_digest(pem(key))
    assert (evidence.signed_at, evidence.not_after) == (None, END)
    timed = private.sign_with_key(STATEMENT, key, SIGNED_AT)
    assert verifier.verify(dumps(timed), root(private, *anchors)).signed_at == STAMPED_AT


def test_a_key_that_is_not_listed_is_nobody(verifier: SigstoreVerifier, private: PrivateSigstore) -> None:
    bundle = private.sign_with_key(STATEMENT, ec.generate_private_key(ec.SECP256R1()))
    assert reason(verifier, bundle, root(None, VAULT)) is Reason.WRONG_IDENTITY
    assert reason(verifier, bundle, root(private)) is Reason.WRONG_IDENTITY


def test_a_hint_is_only_a_hint(verifier: SigstoreVerifier, private: PrivateSigstore) -> None:
    bundle = private.sign_with_key(STATEMENT, ec.generate_private_key(ec.SECP256R1()))
    bundle["verificationMaterial"]["publicKey"]["hint"] = trustroot.key_digest(VAULT.pem)
    assert reason(verifier, bundle, root(None, VAULT)) is Reason.WRONG_IDENTITY


def test_without_time_the_trust_root_must_give_the_key_an_end(
    verifier: SigstoreVerifier, private: PrivateSigstore
) -> None:
    endless = KeyAnchor("vault", pem(KEY), START, None)
    assert reason(verifier, private.sign_with_key(STATEMENT, KEY), root(private, endless)) is Reason.OUTSIDE_VALIDITY
    assert verifier.verify(dumps(private.sign_with_key(STATEMENT, KEY, SIGNED_AT)), root(private, endless))


@pytest.mark.parametrize(
    ("anchor", "faults", "refused"),
    [
        (replace(VAULT, not_before=STAMPED_AT + SECOND), Faults(), Reason.OUTSIDE_VALIDITY),
        (VAULT, Faults(foreign_timestamp=True), Reason.EVIDENCE_INVALID),
    ],
    ids=["signed before the window", "stamped by a stranger"],
)
def test_taking_a_stamp_away_widens_nothing_where_a_time_is_required(
    anchor: KeyAnchor, faults: Faults, refused: Reason, verifier: SigstoreVerifier, private: PrivateSigstore
) -> None:
    bundle = private.sign_with_key(STATEMENT, KEY, SIGNED_AT, faults)
    strict = root(private, replace(anchor, signing_time=SigningTime.REQUIRED))
    assert reason(verifier, bundle, root(private, anchor)) is reason(verifier, bundle, strict) is refused
    assert verifier.verify(dumps(stripped(bundle)), root(private, anchor)).signed_at is None
    assert reason(verifier, stripped(bundle), strict) is Reason.OUTSIDE_VALIDITY


def test_where_a_time_is_required_only_a_verified_one_will_do(
    verifier: SigstoreVerifier, private: PrivateSigstore
) -> None:
    timed = private.sign_with_key(STATEMENT, KEY, SIGNED_AT)
    assert verifier.verify(dumps(timed), root(private, STRICT)).signed_at == STAMPED_AT
    logged = private.sign_with_key(STATEMENT, KEY, logged=True)
    assert verifier.verify(dumps(logged), root(private, VAULT)).signed_at is None, "a Rekor v2 entry tells no time"
    with pytest.raises(RefusedError, match="the trust root requires of key vault: lineward attest --trust-config"):
        verifier.verify(dumps(logged), root(private, STRICT))


@pytest.mark.parametrize(
    ("start", "end", "good"),
    [
        (STAMPED_AT, STAMPED_AT, True),
        (STAMPED_AT + SECOND, END, False),
        (START, STAMPED_AT - SECOND, False),
        (None, None, True),
    ],
)
def test_an_expired_key_is_judged_at_the_time_of_signing(
    start: Any,
    end: Any,
    verifier: SigstoreVerifier,
    private: PrivateSigstore,
    *,
    good: bool,
) -> None:
    """CVE-2026-54787."""
    bundle = private.sign_with_key(STATEMENT, KEY, SIGNED_AT)
    trust_root = root(private, KeyAnchor("vault", pem(KEY), start, end))
    if good:
        assert verifier.verify(dumps(bundle), trust_root)
    else:
        assert reason(verifier, bundle, trust_root) is Reason.OUTSIDE_VALIDITY


@pytest.mark.parametrize(
    "faults",
    [
        Faults(foreign_timestamp=True),
        Faults(timestamps=9),
        Faults(wrong_checkpoint=True),
        Faults(stale_proof=True),
        Faults(other_log_id=True),
    ],
    ids=str,
)
def test_time_and_log_entry_must_be_right_if_there(
    faults: Faults, verifier: SigstoreVerifier, private: PrivateSigstore
) -> None:
    good = private.sign_with_key(STATEMENT, KEY, SIGNED_AT, logged=True)
    assert verifier.verify(dumps(good), root(private, VAULT)).signed_at == STAMPED_AT
    bad = private.sign_with_key(STATEMENT, KEY, SIGNED_AT, faults, logged=True)
    assert reason(verifier, bad, root(private, VAULT)) is Reason.EVIDENCE_INVALID


def test_time_that_cannot_be_checked_is_refused(verifier: SigstoreVerifier, private: PrivateSigstore) -> None:
    bundle = private.sign_with_key(STATEMENT, KEY, SIGNED_AT)
    assert reason(verifier, bundle, root(None, VAULT)) is Reason.EVIDENCE_INVALID


def test_the_same_timestamp_twice_is_refused(verifier: SigstoreVerifier, private: PrivateSigstore) -> None:
    bundle = private.sign_with_key(STATEMENT, KEY, SIGNED_AT)
    stamps = bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    stamps.append(stamps[0])
    assert reason(verifier, bundle, root(private, VAULT)) is Reason.EVIDENCE_INVALID


def test_the_logs_window_holds_for_keys_too(verifier: SigstoreVerifier, private: PrivateSigstore) -> None:
    bundle = private.sign_with_key(STATEMENT, KEY, SIGNED_AT, logged=True)
    over = private.trusted_root(rekor=(START, SIGNED_AT))
    trust_root = trustroot.make("r", dumps(over).decode(), (VAULT,))
    assert reason(verifier, bundle, trust_root) is Reason.OUTSIDE_VALIDITY


@pytest.mark.parametrize(
    ("camel", "snake"),
    [("tlogEntries", "tlog_entries"), ("timestampVerificationData", "timestamp_verification_data")],
)
def test_a_member_that_only_some_readers_see_is_refused(
    camel: str, snake: str, verifier: SigstoreVerifier, private: PrivateSigstore
) -> None:
    """Protobuf's readers know it by two names; under the other one it would go unchecked and uncounted."""
    bundle = private.sign_with_key(STATEMENT, KEY, SIGNED_AT, logged=True)
    material = bundle["verificationMaterial"]
    material[snake] = material.pop(camel)
    assert reason(verifier, bundle, root(private, VAULT)) is Reason.EVIDENCE_INVALID


@pytest.mark.parametrize(
    "path",
    ["", "verificationMaterial", "verificationMaterial/tlogEntries/0", "dsseEnvelope", "dsseEnvelope/signatures/0"],
)
def test_unknown_members_are_refused(path: str, verifier: SigstoreVerifier, private: PrivateSigstore) -> None:
    bundle = private.sign_with_key(STATEMENT, KEY, SIGNED_AT, logged=True)
    assert verifier.verify(dumps(bundle), root(private, VAULT))
    node: Any = bundle
    for part in filter(None, path.split("/")):
        node = node[int(part) if part.isdigit() else part]
    node["extra"] = 1
    assert reason(verifier, bundle, root(private, VAULT)) is Reason.EVIDENCE_INVALID


def test_two_log_entries_are_refused(verifier: SigstoreVerifier, private: PrivateSigstore) -> None:
    bundle = private.sign_with_key(STATEMENT, KEY, SIGNED_AT, logged=True)
    bundle["verificationMaterial"]["tlogEntries"] *= 2
    assert reason(verifier, bundle, root(private, VAULT)) is Reason.EVIDENCE_INVALID


def test_no_changed_byte_is_accepted(verifier: SigstoreVerifier, private: PrivateSigstore) -> None:
    bundle = private.sign_with_key(STATEMENT, KEY)
    payload = b64decode(bundle["dsseEnvelope"]["payload"])
    for position in range(0, len(payload), 41):
        flipped = payload[:position] + bytes([payload[position] ^ 1]) + payload[position + 1 :]
        bundle["dsseEnvelope"]["payload"] = b64(flipped)
        assert reason(verifier, bundle, root(None, VAULT)) is Reason.WRONG_IDENTITY
    bundle["dsseEnvelope"] |= {"payload": b64(payload), "payloadType": "text/plain"}
    assert reason(verifier, bundle, root(None, VAULT)) is Reason.WRONG_IDENTITY


@pytest.mark.parametrize("path", ["dsseEnvelope/payload", "dsseEnvelope/signatures/0/sig"])
def test_stray_characters_in_base64_are_refused(
    path: str, verifier: SigstoreVerifier, private: PrivateSigstore
) -> None:
    bundle = private.sign_with_key(STATEMENT, KEY)
    *parents, last = path.split("/")
    node: Any = bundle
    for part in parents:
        node = node[int(part) if part.isdigit() else part]
    node[last] = node[last][:8] + "\n" + node[last][8:]
    assert reason(verifier, bundle, root(None, VAULT)) is Reason.EVIDENCE_INVALID


@pytest.mark.parametrize(
    "key",
    [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256K1())],
    ids=["rsa", "secp256k1"],
)
def test_other_kinds_of_keys_are_no_anchor(
    key: PrivateKey, verifier: SigstoreVerifier, private: PrivateSigstore
) -> None:
    """Wherever it stands: a good key beside it signed."""
    bundle = private.sign_with_key(STATEMENT, KEY)
    odd = KeyAnchor("odd", pem(key), None, END)
    for anchors in ((odd,), (odd, VAULT), (VAULT, odd)):
        assert reason(verifier, bundle, root(None, *anchors)) is Reason.TRUST_ROOT_INVALID


def test_one_key_in_two_encodings_is_one_key(verifier: SigstoreVerifier, private: PrivateSigstore) -> None:
    """Else the second one's window would never be asked."""
    bundle = private.sign_with_key(STATEMENT, KEY)
    der = der_of(VAULT.pem)
    point = KEY.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    header = bytes([0x30, der[1] - 32]) + der[2:24] + bytes([der[24] - 32]) + der[25:26]
    text = base64.b64encode(header + point).decode()
    again = KeyAnchor("again", f"-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n", None, END)
    assert verifier.verify(dumps(bundle), root(None, again)).signer.key == "again"
    assert reason(verifier, bundle, root(None, VAULT, again)) is Reason.TRUST_ROOT_INVALID


def test_a_certificate_bundle_needs_a_sigstore_root(verifier: SigstoreVerifier, private: PrivateSigstore) -> None:
    assert reason(verifier, private.sign(STATEMENT), root(None, VAULT)) is Reason.EVIDENCE_INVALID


def test_a_certificate_and_a_key_together_are_refused(verifier: SigstoreVerifier, private: PrivateSigstore) -> None:
    bundle = private.sign_with_key(STATEMENT, KEY)
    certificate = private.sign(STATEMENT)["verificationMaterial"]["certificate"]
    bundle["verificationMaterial"]["certificate"] = certificate
    assert reason(verifier, json.loads(dumps(bundle)), root(private, VAULT)) is Reason.EVIDENCE_INVALID
