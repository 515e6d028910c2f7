"""What binds a bundle to the one log, authority, entry and time it names: each test fails without its rule."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.private_sigstore.authorities import Fulcio
from tests.private_sigstore.entries import b64
from tests.private_sigstore.instance import END, SIGNED_AT, START, Faults, Log, PrivateSigstore, dumps
from tests.unit.evidence.test_key_bundles import KEY, STATEMENT, VAULT, pem

from lineward.adapters.sigstore import SigstoreVerifier
from lineward.domain import strictjson, trustroot
from lineward.domain.errors import InvalidInputError, LinewardError
from lineward.domain.evidence import KeyAnchor, TrustRoot
from lineward.domain.reasons import Reason

SECOND = timedelta(seconds=1)
STAMPED_AT = SIGNED_AT + SECOND
ENDLESS = KeyAnchor("vault", pem(KEY))


def root(said: dict[str, Any], *keys: KeyAnchor) -> TrustRoot:
    return trustroot.make("r", dumps(said).decode(), keys)


def refusal(verifier: SigstoreVerifier, bundle: dict[str, Any], trust_root: TrustRoot) -> LinewardError:
    with pytest.raises(LinewardError) as caught:
        verifier.verify(dumps(bundle), trust_root)
    return caught.value


def entry(bundle: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = bundle["verificationMaterial"]["tlogEntries"][0]
    return found


def by_key_or_certificate(private: PrivateSigstore, *, key: bool) -> dict[str, Any]:
    return private.sign_with_key(STATEMENT, KEY, SIGNED_AT, logged=True) if key else private.sign(STATEMENT)


@dataclass
class Impostor(Log):
    """A log that signs with its own key and under another log's id."""

    claimed: bytes = b""

    @property
    def id(self) -> bytes:
        return self.claimed


@pytest.mark.parametrize("key", [True, False])
def test_an_entry_counts_only_for_the_log_it_names(verifier: SigstoreVerifier, *, key: bool) -> None:
    """The library takes the id for a hint and tries the keys of all logs."""
    private, other = PrivateSigstore(), PrivateSigstore()
    said = private.trusted_root()
    said["tlogs"] += other.trusted_root()["tlogs"]
    assert verifier.verify(dumps(by_key_or_certificate(private, key=key)), root(said, VAULT))
    private.log = Impostor(key=private.log.key, claimed=other.log.id)
    bundle = by_key_or_certificate(private, key=key)
    assert refusal(verifier, bundle, root(said, VAULT)).reason is Reason.EVIDENCE_INVALID


@pytest.mark.parametrize("key", [True, False])
def test_shards_that_share_a_log_id_are_told_apart(verifier: SigstoreVerifier, *, key: bool) -> None:
    """By the key ids of their checkpoints; one's window must not go with the other's key."""
    private, other = PrivateSigstore(), PrivateSigstore()
    said = private.trusted_root()
    said["tlogs"] += other.trusted_root()["tlogs"]
    for shard, name in zip(said["tlogs"], (b"old", b"new"), strict=True):
        shard["logId"]["keyId"] = b64(hashlib.sha256(b"shared").digest())
        shard["checkpointKeyId"] = {"keyId": b64(hashlib.sha256(name).digest())}
    trust_root, old, new = root(said, VAULT), private.log.key, other.log.key
    for signer, name, good in ((old, b"old", True), (new, b"new", True), (old, b"new", False), (new, b"old", False)):
        private.log = Impostor(key=signer, claimed=hashlib.sha256(name).digest())
        bundle = by_key_or_certificate(private, key=key)
        if good:
            assert verifier.verify(dumps(bundle), trust_root)
        else:
            assert refusal(verifier, bundle, trust_root).reason is Reason.EVIDENCE_INVALID


class Claimant(Fulcio):
    """An authority whose CT log signs with a key and under an id that one chooses."""

    def __init__(self, real: Fulcio, key: ec.EllipticCurvePrivateKey, claimed: bytes) -> None:
        self.root, self.ct_key, self._claimed = real.root, key, claimed

    @property
    def ct_id(self) -> bytes:
        return self._claimed


def test_a_certificates_timestamp_counts_only_for_the_log_it_names(verifier: SigstoreVerifier) -> None:
    """The library tries the keys of all CT logs where an id is not the digest of its key."""
    private, other = PrivateSigstore(), PrivateSigstore()
    real, live, leaked = private.fulcio, other.fulcio.ct_key, private.fulcio.ct_key
    said = private.trusted_root()
    said["ctlogs"] += other.trusted_root()["ctlogs"]
    claimed = hashlib.sha256(b"an id of its own").digest()
    said["ctlogs"][1]["logId"]["keyId"] = b64(claimed)
    private.fulcio = Claimant(real, live, claimed)
    assert verifier.verify(dumps(private.sign(STATEMENT)), root(said))
    private.fulcio = Claimant(real, leaked, claimed)
    assert "SCT" in refusal(verifier, private.sign(STATEMENT), root(said)).message


def test_a_certificates_timestamp_is_judged_by_its_own_time(
    verifier: SigstoreVerifier, private: PrivateSigstore
) -> None:
    trust_root = root(private.trusted_root(ct=(SIGNED_AT, END)))
    assert verifier.verify(dumps(private.sign(STATEMENT, faults=Faults(sct_at=SIGNED_AT))), trust_root)
    early = private.sign(STATEMENT, faults=Faults(sct_at=SIGNED_AT - SECOND))
    refused = refusal(verifier, early, trust_root)
    assert refused.reason is Reason.OUTSIDE_VALIDITY
    assert "certificate transparency log" in refused.message


@pytest.mark.parametrize("first", [True, False])
def test_the_earliest_time_counts_for_keys_too(
    verifier: SigstoreVerifier, private: PrivateSigstore, *, first: bool
) -> None:
    """Else an old signature, stamped anew, would be younger than any maximal age."""
    bundle = private.sign_with_key(STATEMENT, KEY, SIGNED_AT)
    stamps = bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    signature = b64decode(bundle["dsseEnvelope"]["signatures"][0]["sig"])
    anew = private.tsa.stamp(signature, SIGNED_AT + timedelta(days=900))
    stamps.insert(0 if first else 1, {"signedTimestamp": b64(anew)})
    assert verifier.verify(dumps(bundle), root(private.trusted_root(), ENDLESS)).signed_at == STAMPED_AT


@pytest.mark.parametrize("kind", ["tlogs", "ctlogs"])
def test_two_logs_of_one_id_are_none(kind: str, verifier: SigstoreVerifier, private: PrivateSigstore) -> None:
    said = private.trusted_root()
    said[kind] *= 2
    assert "names 2" in refusal(verifier, private.sign(STATEMENT), root(said)).message


@pytest.mark.parametrize(("start", "end"), [(START, SIGNED_AT), (STAMPED_AT + SECOND, END)])
def test_a_timestamping_authority_has_a_window_for_keys_too(
    start: datetime, end: datetime, verifier: SigstoreVerifier, private: PrivateSigstore
) -> None:
    bundle = private.sign_with_key(STATEMENT, KEY, SIGNED_AT)
    assert verifier.verify(dumps(bundle), root(private.trusted_root(tsa=(STAMPED_AT, STAMPED_AT)), VAULT))
    refused = refusal(verifier, bundle, root(private.trusted_root(tsa=(start, end)), VAULT))
    assert refused.reason is Reason.EVIDENCE_INVALID


def test_an_entrys_body_is_of_the_kind_that_the_bundle_says(
    verifier: SigstoreVerifier, private: PrivateSigstore
) -> None:
    bundle = private.sign_with_key(STATEMENT, KEY, SIGNED_AT, logged=True)
    body = json.loads(b64decode(entry(bundle)["canonicalizedBody"]))
    body |= {"kind": "dsse", "apiVersion": "0.0.1"}
    logged = private.log.add(dumps(body), Faults())
    bundle["verificationMaterial"]["tlogEntries"] = [logged]
    assert "of another type" in refusal(verifier, bundle, root(private.trusted_root(), VAULT)).message


def test_a_time_without_the_logs_promise_is_none_for_keys(verifier: SigstoreVerifier, private: PrivateSigstore) -> None:
    """CVE-2024-55655: only the promise signs the integrated time."""
    bundle = private.sign_with_key(STATEMENT, KEY, logged=True)
    entry(bundle)["integratedTime"] = str(int(SIGNED_AT.timestamp()))
    assert refusal(verifier, bundle, root(private.trusted_root(), ENDLESS)).reason is Reason.OUTSIDE_VALIDITY


@pytest.mark.parametrize("scts", [0, 2])
def test_a_certificate_has_exactly_one_timestamp_of_a_ct_log(
    scts: int, verifier: SigstoreVerifier, private: PrivateSigstore, trust_root: TrustRoot
) -> None:
    bundle = private.sign(STATEMENT, faults=Faults(scts=scts))
    assert "exactly one certificate timestamp" in refusal(verifier, bundle, trust_root).message


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"a": 1, "A": 2}', '[{"straße": 1, "STRASSE": 2}]'])
def test_keys_that_differ_in_case_only_are_one_key_twice(text: str) -> None:
    """Readers that ignore case (Go's encoding/json) would take the other one."""
    with pytest.raises(InvalidInputError, match="duplicate key"):
        strictjson.parse(text, cap=100, what="it")


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_json_nests_as_deep_as_it_is_said_to(opening: str) -> None:
    def nested(depth: int) -> str:
        return opening * (depth - 1) + "[]" + ("]" if opening == "[" else "}") * (depth - 1)

    strictjson.parse(nested(32), cap=1000, what="it")
    with pytest.raises(InvalidInputError, match="it nests deeper than 32"):
        strictjson.parse(nested(33), cap=1000, what="it")
