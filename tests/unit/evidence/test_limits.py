"""Too much of anything is refused, the last allowed amount is not; and nothing at all is no yes."""

from __future__ import annotations

import copy
import json
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.private_sigstore.entries import b64
from tests.private_sigstore.instance import END, SIGNED_AT, START, Faults, PrivateSigstore, dumps
from tests.unit.evidence.samples import NOW, a_dataset, a_policy, an_evidence
from tests.unit.evidence.test_bindings import entry, refusal, root
from tests.unit.evidence.test_key_bundles import KEY, STATEMENT, VAULT

from lineward.adapters import bundle as bundles
from lineward.adapters import keys
from lineward.adapters.anchors import MAX_INSTANCES, Anchors
from lineward.adapters.bundle import MAX_CERTIFICATES, MAX_CHECKPOINT, MAX_PROOF_HASHES
from lineward.adapters.sigstore import SigstoreVerifier
from lineward.domain import oms, statement
from lineward.domain.digest import Digest
from lineward.domain.errors import InvalidInputError
from lineward.domain.fields import MAX_TEXT
from lineward.domain.judge import judge
from lineward.domain.reasons import Reason
from lineward.domain.statement import MAX_STATEMENT, PAYLOAD_TYPE


def _hashes(bundle: dict[str, Any], count: int) -> None:
    entry(bundle)["inclusionProof"]["hashes"] = [b64(bytes(32))] * count


def _checkpoint(bundle: dict[str, Any], count: int) -> None:
    entry(bundle)["inclusionProof"]["checkpoint"]["envelope"] = "n" * count


def _certificates(bundle: dict[str, Any], count: int) -> None:
    material = bundle["verificationMaterial"]
    material["x509CertificateChain"] = {"certificates": [material.pop("certificate")] * count}


@pytest.mark.parametrize(
    ("put", "cap", "says"),
    [
        (_hashes, MAX_PROOF_HASHES, "hashes has more than 64 items"),
        (_checkpoint, MAX_CHECKPOINT, "envelope is longer than 16384 characters"),
        (_certificates, MAX_CERTIFICATES, "certificates has more than 8 items"),
    ],
)
def test_a_bundle_has_only_so_much(
    put: Callable[[dict[str, Any], int], None], cap: int, says: str, private: PrivateSigstore
) -> None:
    bundle = private.sign(STATEMENT)
    most, more = copy.deepcopy(bundle), copy.deepcopy(bundle)
    put(most, cap)
    assert bundles.parse(dumps(most))
    put(more, cap + 1)
    with pytest.raises(InvalidInputError, match=says) as caught:
        bundles.parse(dumps(more))
    assert caught.value.reason is Reason.EVIDENCE_INVALID


def test_a_statement_has_only_so_many_bytes() -> None:
    most = STATEMENT + b" " * (MAX_STATEMENT - len(STATEMENT))
    assert statement.parse(PAYLOAD_TYPE, most)
    with pytest.raises(InvalidInputError, match="at most 262144 are read") as caught:
        statement.parse(PAYLOAD_TYPE, most + b" ")
    assert caught.value.reason is Reason.EVIDENCE_TOO_LARGE


def test_a_predicate_type_has_only_so_many_characters() -> None:
    said = json.loads(STATEMENT)
    assert statement.parse(PAYLOAD_TYPE, dumps(said | {"predicateType": "p" * 512}))
    with pytest.raises(InvalidInputError, match="predicateType is longer than 512 characters"):
        statement.parse(PAYLOAD_TYPE, dumps(said | {"predicateType": "p" * 513}))


def _files(*names: str) -> oms.Signature:
    made = oms.statement_of("m", [(name, Digest(bytes(32))) for name in names])
    return oms.parse(statement.parse(PAYLOAD_TYPE, made))


def test_a_file_of_a_model_signature_has_a_name_of_only_so_many_characters() -> None:
    assert _files("n" * MAX_TEXT)
    with pytest.raises(InvalidInputError, match="name is longer than 4096 characters"):
        _files("n" * (MAX_TEXT + 1))


def test_a_model_signature_has_only_so_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [str(number) for number in range(300)]
    assert _files(*names)
    monkeypatch.setattr(oms, "MAX_RESOURCES", 300)
    assert _files(*names)
    with pytest.raises(InvalidInputError, match="resources has more than 300 items"):
        _files(*names, "one more")


@pytest.mark.parametrize("kind", ["tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities"])
def test_a_trust_root_has_only_so_many_instances(kind: str, private: PrivateSigstore) -> None:
    said = private.trusted_root()
    (one,) = said[kind]
    assert Anchors(dumps(said | {kind: [one] * MAX_INSTANCES}).decode())
    with pytest.raises(InvalidInputError, match="more than 64 instances") as caught:
        Anchors(dumps(said | {kind: [one] * (MAX_INSTANCES + 1)}).decode())
    assert caught.value.reason is Reason.TRUST_ROOT_INVALID


def test_a_log_entrys_body_has_only_so_many_bytes(private: PrivateSigstore) -> None:
    """Behind the cap of a bundle, unless a caller raises that."""
    verifier, trust_root = SigstoreVerifier(4 * keys.MAX_BODY), root(private.trusted_root(), VAULT)
    bundle = private.sign_with_key(STATEMENT, KEY, SIGNED_AT, logged=True)
    body = b64decode(entry(bundle)["canonicalizedBody"])
    most = body + b" " * (keys.MAX_BODY - len(body))
    bundle["verificationMaterial"]["tlogEntries"] = [private.log.add(most, Faults())]
    assert verifier.verify(dumps(bundle), trust_root)
    bundle["verificationMaterial"]["tlogEntries"] = [private.log.add(most + b" ", Faults())]
    refused = refusal(verifier, bundle, trust_root)
    assert refused.reason is Reason.EVIDENCE_TOO_LARGE
    assert "the log entry's body has 524289 bytes" in refused.message


def test_a_timestamping_authority_that_signed_its_own_certificate_is_none(verifier: SigstoreVerifier) -> None:
    """As in the library: a chain of one has nothing that a timestamp could chain to."""
    private = PrivateSigstore()
    root_key, name = private.tsa.root.key, private.tsa.root.certificate.subject
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
    builder = private.tsa.root.leaf(root_key.public_key(), START, END, name).add_extension(usage, critical=True)
    private.tsa.key, private.tsa.certificate = root_key, builder.sign(root_key, SHA256())
    said = private.trusted_root()
    del said["timestampAuthorities"][0]["certChain"]["certificates"][1:]
    refused = refusal(verifier, private.sign_with_key(STATEMENT, KEY, SIGNED_AT), root(said, VAULT))
    assert "by no authority of the trust root" in refused.message
    assert "not enough sources" in refusal(verifier, private.sign(STATEMENT), root(said)).message


def test_a_policy_without_authorities_accepts_nobody() -> None:
    empty = replace(a_policy(), authorities=(), quorum=0)
    judged = judge(a_dataset(), [an_evidence()], empty, (), NOW)
    assert (judged.reason, judged.message) == (Reason.POLICY_INVALID, "the policy names no authority")
