"""What one implementation signs the others accept, and all refuse the same forgeries.

cosign (Go) is the witness for sigstore-python and for our verifier, on the real services. Each refusal is one change to
a case that passes.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sigstore.dsse import Statement
from sigstore.errors import Error as SigstoreError
from sigstore.models import Bundle, ClientTrustConfig, TrustedRoot
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext
from sigstore.verify import Verifier, policy

from e2e.sigstore import keys, trust
from e2e.sigstore.cosign import Cosign
from e2e.sigstore.layout import AUDIENCE, ENDPOINTS
from e2e.sigstore.stack import Stack
from lineward.adapters.sigstore import SigstoreVerifier
from lineward.domain.errors import LinewardError
from lineward.domain.reasons import Reason
from lineward.domain.trustroot import make

EMAIL = "data-team@bank.example"
ISSUER = ENDPOINTS.issuer_url
PREDICATE_TYPE = "https://lineward.dev/attestations/dataset-provenance/v1"
BLOB = b"the manifest of a data set\n"


@dataclass(frozen=True, slots=True)
class Signed:
    """A bundle in a file, and the blob that its statement is about."""

    bundle: Path
    blob: Path

    def changed(self, folder: Path, change: Callable[[dict[str, Any]], None]) -> Signed:
        """The same with one change to the bundle's JSON."""
        document = json.loads(self.bundle.read_text())
        change(document)
        path = folder / "changed.json"
        path.write_text(json.dumps(document))
        return Signed(path, self.blob)


def _statement() -> bytes:
    return json.dumps(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "manifest", "digest": {"sha256": hashlib.sha256(BLOB).hexdigest()}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {"dataset": "german-credit", "version": "1.0.0"},
        }
    ).encode()


def _token(stack: Stack) -> str:
    return stack.token(EMAIL, audience=AUDIENCE, lifetime=60)


def _sign_with_python(stack: Stack, _cosign: Cosign, folder: Path) -> Signed:
    context = SigningContext.from_trust_config(
        ClientTrustConfig.from_json(stack.trust_files()[trust.CLIENT_TRUST_CONFIG])
    )
    with context.signer(IdentityToken(_token(stack), client_id=AUDIENCE)) as signer:
        (folder / "bundle.json").write_text(signer.sign_dsse(Statement(_statement())).to_json())
    return Signed(folder / "bundle.json", folder / "blob")


def _sign_with_cosign(stack: Stack, cosign: Cosign, folder: Path) -> Signed:
    (folder / "statement.json").write_bytes(_statement())
    done = cosign.attest(folder / "statement.json", _token(stack), folder / "bundle.json")
    assert done.returncode == 0, done.stderr
    return Signed(folder / "bundle.json", folder / "blob")


@pytest.fixture(scope="module", params=[_sign_with_python, _sign_with_cosign], ids=["sigstore-python", "cosign"])
def signed(
    request: pytest.FixtureRequest,
    private_sigstore: Stack,
    cosign: Cosign,
    tmp_path_factory: pytest.TempPathFactory,
) -> Signed:
    folder = tmp_path_factory.mktemp("signed")
    (folder / "blob").write_bytes(BLOB)
    result: Signed = request.param(private_sigstore, cosign, folder)
    return result


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked of both verifiers. The `case` fixture is true; a test changes one thing."""

    witness: Cosign
    signed: Signed
    root: Path
    identity: str = EMAIL
    issuer: str = ISSUER
    predicate_type: str = PREDICATE_TYPE

    def python(self) -> None:
        verifier = Verifier(trusted_root=TrustedRoot.from_file(str(self.root)))
        wanted = policy.AllOf([policy.OIDCIssuerV2(self.issuer), policy.Identity(identity=self.identity)])
        kind, payload = verifier.verify_dsse(Bundle.from_json(self.signed.bundle.read_bytes()), wanted)
        assert (kind, payload) == ("application/vnd.in-toto+json", _statement())

    def cosign(self) -> tuple[int, str]:
        """Exit code and what it said."""
        done = self.witness.verify(
            self.signed.bundle,
            self.signed.blob,
            identity=self.identity,
            issuer=self.issuer,
            predicate_type=self.predicate_type,
            root=self.root,
        )
        return done.returncode, done.stderr

    def ours(self) -> None:
        signed = SigstoreVerifier().check(self.signed.bundle.read_bytes(), make("private", self.root.read_text()))
        assert (signed.payload_type, signed.payload) == ("application/vnd.in-toto+json", _statement())
        assert (signed.signer.subject, signed.signer.issuer) == (EMAIL, ISSUER)

    def assert_cosign_refuses(self, words: str) -> None:
        code, said = self.cosign()
        assert code != 0
        assert words in said

    def assert_both_refuse(self, words: str) -> None:
        self.assert_cosign_refuses(words)
        with pytest.raises(SigstoreError):
            self.python()

    def assert_all_refuse(self, words: str) -> None:
        self.assert_both_refuse(words)
        self.assert_ours_refuses(Reason.EVIDENCE_INVALID)

    def assert_ours_refuses(self, reason: Reason) -> None:
        with pytest.raises(LinewardError) as refused:
            self.ours()
        assert refused.value.reason is reason


@pytest.fixture
def case(private_sigstore: Stack, cosign: Cosign, signed: Signed) -> Case:
    return Case(cosign, signed, private_sigstore.layout.trust / trust.TRUSTED_ROOT)


def test_all_accept(case: Case) -> None:
    case.python()
    case.ours()
    code, said = case.cosign()
    assert (code, said.strip()) == (0, "Verified OK")


def test_another_identity(case: Case) -> None:
    replace(case, identity="intern@bank.example").assert_both_refuse("expected SAN value")


def test_another_issuer(case: Case) -> None:
    replace(case, issuer="https://127.0.0.1:6443").assert_both_refuse("expected issuer value")


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("ctlogs", "failed to verify signed certificate timestamp"),
        ("tlogs", "not enough verified log entries"),
        ("certificateAuthorities", "failed to verify leaf certificate"),
        ("timestampAuthorities", "failed to verify timestamps"),
    ],
)
def test_one_key_of_a_stranger(case: Case, tmp_path: Path, part: str, words: str) -> None:
    """Each of the four anchors is needed: with one of them wrong and three right, nothing passes."""
    stranger = trust.trusted_root(keys.ensure(tmp_path / "stranger"), ENDPOINTS)
    mixed = json.loads(case.root.read_text()) | {part: stranger[part]}
    (tmp_path / "root.json").write_text(json.dumps(mixed))
    replace(case, root=tmp_path / "root.json").assert_all_refuse(words)


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ("ctlogs", Reason.OUTSIDE_VALIDITY),
        ("certificateAuthorities", Reason.OUTSIDE_VALIDITY),
        ("timestampAuthorities", Reason.EVIDENCE_INVALID),
    ],
)
def test_a_window_that_closed_before(case: Case, tmp_path: Path, part: str, reason: Reason) -> None:
    """sigstore-python enforces the timestamp authority's window alone; our rules close the gap, as cosign does."""
    expired = _expired(case, tmp_path, part)
    expired.assert_cosign_refuses("failed to verify")
    expired.assert_ours_refuses(reason)


def test_a_log_key_that_expired_before(case: Case, tmp_path: Path) -> None:
    """Stricter than the witness: cosign 3.1.2 takes an entry of tiled Rekor, which carries no time, from a dead key."""
    _expired(case, tmp_path, "tlogs").assert_ours_refuses(Reason.OUTSIDE_VALIDITY)


def _expired(case: Case, folder: Path, part: str) -> Case:
    root = json.loads(case.root.read_text())
    for anchor in root[part]:
        anchor.get("publicKey", anchor)["validFor"] = {"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"}
    (folder / "root.json").write_text(json.dumps(root))
    return replace(case, root=folder / "root.json")


def test_a_changed_statement(case: Case, tmp_path: Path) -> None:
    def change(bundle: dict[str, Any]) -> None:
        statement = json.loads(b64decode(bundle["dsseEnvelope"]["payload"]))
        statement["predicate"]["version"] = "1.0.1"
        bundle["dsseEnvelope"]["payload"] = b64encode(json.dumps(statement).encode()).decode()

    replace(case, signed=case.signed.changed(tmp_path, change)).assert_all_refuse("verifying inclusion")


def test_no_log_entry(case: Case, tmp_path: Path) -> None:
    def change(bundle: dict[str, Any]) -> None:
        bundle["verificationMaterial"]["tlogEntries"] = []

    replace(case, signed=case.signed.changed(tmp_path, change)).assert_all_refuse("not enough verified log entries")


def test_no_timestamp(case: Case, tmp_path: Path) -> None:
    def change(bundle: dict[str, Any]) -> None:
        del bundle["verificationMaterial"]["timestampVerificationData"]

    replace(case, signed=case.signed.changed(tmp_path, change)).assert_all_refuse("timestamp")


def test_another_blob(case: Case, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(BLOB + b"\0")
    changed = replace(case, signed=replace(case.signed, blob=tmp_path / "blob"))
    changed.assert_cosign_refuses("artifact digests do not match")


def test_another_predicate_type(case: Case) -> None:
    replace(case, predicate_type="https://slsa.dev/provenance/v1").assert_cosign_refuses("predicate")
