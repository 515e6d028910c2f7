"""`lineward attest` before an outside witness: cosign verifies what it signs, and our gate takes what cosign signs.

Both are asked of the same DatasetVersion. Each refusal is one change to a case that passes.
"""

from __future__ import annotations

import copy
import json
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.sigstore import cluster_issuer, keys, trust
from e2e.sigstore.cosign import Cosign
from e2e.sigstore.layout import AUDIENCE, ENDPOINTS
from e2e.sigstore.stack import Stack
from e2e.support import objects
from e2e.support.attesting import Attester
from lineward.adapters.sigstore import SigstoreVerifier
from lineward.domain import dataset, policy
from lineward.domain.errors import LinewardError
from lineward.domain.evidence import Evidence
from lineward.domain.judge import Judgement, judge
from lineward.domain.plan import Refusal
from lineward.domain.reasons import Reason
from lineward.domain.trustroot import make

EMAIL = "data-team@bank.example"
FILES = {"train.csv": b"duration,amount\n6,1169\n", "test/part-0.csv": b"duration,amount\n48,5951\n"}
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Attested:
    """A DatasetVersion with one bundle, its manifest, and what is believed about them."""

    version: Json
    manifest: Path
    root: Path
    signer: str = EMAIL
    issuer: str = ENDPOINTS.issuer_url
    predicate_type: str = objects.PREDICATE_TYPE

    @property
    def bundle(self) -> str:
        return str(self.version["spec"]["attestations"][0]["bundle"])

    @property
    def statement(self) -> Json:
        """The signed statement."""
        return dict(json.loads(b64decode(json.loads(self.bundle)["dsseEnvelope"]["payload"])))

    def with_bundle(self, bundle: str) -> Attested:
        version = copy.deepcopy(self.version)
        version["spec"]["attestations"] = [{"bundle": bundle}]
        return replace(self, version=version)

    def gate(self) -> Judgement:
        """What webhook and operator would decide."""
        accepted = policy.parse(objects.policy("training", "ml", "enforce", issuer=self.issuer, subject=self.signer))
        version = dataset.parse(self.version)
        return judge(version, [self._evidence()], accepted, [], datetime.now(UTC))

    def _evidence(self) -> Evidence | Refusal:
        try:
            return SigstoreVerifier().verify(self.bundle.encode(), make("private", self.root.read_text()))
        except LinewardError as error:
            return Refusal(error.reason, error.message)

    def witness(self, cosign: Cosign, folder: Path) -> str:
        """What cosign says; "Verified OK" when it accepts."""
        path = folder / "bundle.json"
        path.write_text(self.bundle)
        done = cosign.verify(
            path,
            self.manifest,
            identity=self.signer,
            issuer=self.issuer,
            predicate_type=self.predicate_type,
            root=self.root,
        )
        assert (done.returncode == 0) == (done.stderr.strip() == "Verified OK")
        return done.stderr.strip()


def _attest(stack: Stack, scratch: Path, token: str) -> Attested:
    """What `lineward attest` writes for a small folder."""
    for name, content in FILES.items():
        (scratch / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (scratch / "data" / name).write_bytes(content)
    attester = Attester(stack)
    arguments = attester.arguments(
        scratch / "data", dataset="credit", version="1.0.0", claim="credit", namespace="ml", out=scratch / "out"
    )
    done = attester.run(arguments, token)
    assert done.returncode == 0, done.stderr
    version = yaml.safe_load((scratch / "out" / "credit-1.0.0.yaml").read_text())
    return Attested(version, scratch / "out" / "credit-1.0.0.lwm", stack.layout.trust / trust.TRUSTED_ROOT)


@pytest.fixture(scope="module")
def by_lineward(private_sigstore: Stack, tmp_path_factory: pytest.TempPathFactory) -> Attested:
    token = private_sigstore.token(EMAIL, audience=AUDIENCE, lifetime=60)
    return _attest(private_sigstore, tmp_path_factory.mktemp("attest"), token)


Sign = Callable[[Json], str]


@pytest.fixture
def cosign_signs(private_sigstore: Stack, cosign: Cosign, tmp_path: Path) -> Sign:
    """A function from a statement to the bundle that cosign makes of it."""

    def sign(statement: Json) -> str:
        (tmp_path / "statement.json").write_text(json.dumps(statement))
        token = private_sigstore.token(EMAIL, audience=AUDIENCE, lifetime=60)
        done = cosign.attest(tmp_path / "statement.json", token, tmp_path / "signed.json")
        assert done.returncode == 0, done.stderr
        return (tmp_path / "signed.json").read_text()

    return sign


@pytest.fixture(params=["lineward", "cosign"])
def attested(request: pytest.FixtureRequest, by_lineward: Attested) -> Attested:
    """The same statement about the same data, signed by our command or by cosign."""
    if request.param == "lineward":
        return by_lineward
    sign: Sign = request.getfixturevalue("cosign_signs")
    return by_lineward.with_bundle(sign(by_lineward.statement))


def test_gate_and_witness_accept(attested: Attested, cosign: Cosign, tmp_path: Path) -> None:
    judgement = attested.gate()
    assert judgement.reason is Reason.VERIFIED, judgement.message
    assert [signer.subject for signer in judgement.signers] == [EMAIL]
    assert attested.witness(cosign, tmp_path) == "Verified OK"


def test_another_signer_is_expected(attested: Attested, cosign: Cosign, tmp_path: Path) -> None:
    expected = replace(attested, signer="auditor@bank.example")
    assert expected.gate().reason is Reason.WRONG_IDENTITY
    assert "expected SAN value" in expected.witness(cosign, tmp_path)


@pytest.mark.parametrize("part", ["ctlogs", "tlogs", "certificateAuthorities", "timestampAuthorities"])
def test_one_key_of_a_stranger(attested: Attested, cosign: Cosign, tmp_path: Path, part: str) -> None:
    stranger = trust.trusted_root(keys.ensure(tmp_path / "stranger"), ENDPOINTS)
    path = tmp_path / "root.json"
    path.write_text(json.dumps(json.loads(attested.root.read_text()) | {part: stranger[part]}))
    distrusted = replace(attested, root=path)
    assert distrusted.gate().reason is Reason.EVIDENCE_INVALID
    assert "failed to verify" in distrusted.witness(cosign, tmp_path)


def test_another_manifest(attested: Attested, cosign: Cosign, tmp_path: Path) -> None:
    """To cosign the manifest is the blob; to the gate it is a digest in the DatasetVersion."""
    manifest = tmp_path / "manifest.lwm"
    manifest.write_bytes(attested.manifest.read_bytes() + b"\0")
    version = copy.deepcopy(attested.version)
    version["spec"]["integrity"]["manifest"]["digest"] = "sha256:" + "0" * 64
    relabelled = replace(attested, manifest=manifest, version=version)
    assert relabelled.gate().reason is Reason.SPEC_MISMATCH
    assert "artifact digests do not match" in relabelled.witness(cosign, tmp_path)


@pytest.mark.parametrize(("field", "value"), [("dataset", "debit"), ("version", "1.0.1")])
def test_a_relabelled_version(attested: Attested, field: str, value: str) -> None:
    version = copy.deepcopy(attested.version)
    version["spec"][field] = value
    assert replace(attested, version=version).gate().reason is Reason.SPEC_MISMATCH


def test_another_predicate_type(by_lineward: Attested, cosign_signs: Sign, cosign: Cosign, tmp_path: Path) -> None:
    other = by_lineward.with_bundle(
        cosign_signs(by_lineward.statement | {"predicateType": "https://slsa.dev/provenance/v1"})
    )
    assert other.gate().reason is Reason.WRONG_PREDICATE_TYPE
    assert "predicate" in other.witness(cosign, tmp_path)


def test_a_statement_of_version_0_1(by_lineward: Attested, cosign_signs: Sign) -> None:
    """What ``cosign attest-blob --predicate`` makes; the gate takes Statement v1 alone, and says so."""
    old = by_lineward.with_bundle(cosign_signs(by_lineward.statement | {"_type": "https://in-toto.io/Statement/v0.1"}))
    judgement = old.gate()
    assert judgement.reason is Reason.EVIDENCE_INVALID
    assert "_type" in judgement.message


def test_a_service_account_attests(
    private_sigstore: Stack, cluster_kubeconfig: Path, cosign: Cosign, tmp_path: Path
) -> None:
    """A pipeline in the cluster needs no secret: its pod's token says who it is."""
    token = cluster_issuer.token(cluster_kubeconfig, "default", "default", AUDIENCE)
    account = replace(
        _attest(private_sigstore, tmp_path, token),
        signer="https://kubernetes.io/namespaces/default/serviceaccounts/default",
        issuer=cluster_issuer.OWN_URL,
    )
    judgement = account.gate()
    assert judgement.reason is Reason.VERIFIED, judgement.message
    assert account.witness(cosign, tmp_path) == "Verified OK"
    for other in (
        replace(account, signer="https://kubernetes.io/namespaces/ml/serviceaccounts/default"),
        replace(account, issuer=ENDPOINTS.issuer_url),
    ):
        assert other.gate().reason is Reason.WRONG_IDENTITY
        assert "expected" in other.witness(cosign, tmp_path)
