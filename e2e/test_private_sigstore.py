"""The private Sigstore as a whole: what it hands out is right, it lasts, and a service account signs as itself."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from sigstore.dsse import Statement
from sigstore.errors import VerificationError
from sigstore.models import Bundle, ClientTrustConfig
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext
from sigstore.verify import Verifier, policy

from e2e.sigstore import cluster_issuer, trust
from e2e.sigstore.cosign import Cosign
from e2e.sigstore.layout import AUDIENCE, ENDPOINTS
from e2e.sigstore.stack import Stack

STATEMENT = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": "manifest", "digest": {"sha256": "0" * 64}}],
    "predicateType": "https://example.com/test",
    "predicate": {},
}


def _config(stack: Stack) -> ClientTrustConfig:
    return ClientTrustConfig.from_json(stack.trust_files()[trust.CLIENT_TRUST_CONFIG])


def _sign(stack: Stack, token: str) -> Bundle:
    context = SigningContext.from_trust_config(_config(stack))
    with context.signer(IdentityToken(token, client_id=AUDIENCE)) as signer:
        return signer.sign_dsse(Statement(json.dumps(STATEMENT).encode()))


def test_cosign_would_write_the_same_trusted_root(private_sigstore: Stack, cosign: Cosign, tmp_path: Path) -> None:
    """Log ids and encodings are ours; cosign computes them from the same keys."""
    keys, mine = private_sigstore.layout.keys, json.loads(private_sigstore.trust_files()[trust.TRUSTED_ROOT])
    start = mine["ctlogs"][0]["publicKey"]["validFor"]["start"]
    origin = trust.REKOR_ORIGIN
    command = [
        *(str(cosign.program), "trusted-root", "create", f"--out={tmp_path / 'root.json'}"),
        f"--fulcio=url={ENDPOINTS.fulcio_url},certificate-chain={keys / 'fulcio.pem'},start-time={start}",
        f"--rekor=url=http://{origin},origin={origin},public-key={keys / 'rekor.pub'},start-time={start}",
        f"--ctfe=url={ENDPOINTS.ctlog_url},public-key={keys / 'ctlog.pub'},start-time={start}",
        f"--tsa=url={ENDPOINTS.tsa_url},certificate-chain={keys / 'tsa.pem'},start-time={start}",
    ]
    subprocess.run(command, env={"HOME": str(cosign.home)}, check=True, capture_output=True)
    assert json.loads((tmp_path / "root.json").read_text()) == mine


def test_evidence_outlives_a_restart(private_sigstore: Stack) -> None:
    bundle = _sign(private_sigstore, private_sigstore.token("a@b.example", audience=AUDIENCE, lifetime=60))
    before = private_sigstore.trust_files()
    with private_sigstore.disturbing():
        private_sigstore.down()
        assert not any(private_sigstore.status().values())
        assert private_sigstore.up()
    assert private_sigstore.trust_files() == before
    verifier = Verifier(trusted_root=_config(private_sigstore).trusted_root)
    verifier.verify_dsse(bundle, policy.Identity(identity="a@b.example"))
    again = _sign(private_sigstore, private_sigstore.token("a@b.example", audience=AUDIENCE, lifetime=60))
    assert again.log_entry._inner.log_index > bundle.log_entry._inner.log_index  # noqa: SLF001 - no public reader


@pytest.mark.parametrize("change", ["audience", "signature", "age"])
def test_a_bad_token_gets_no_certificate(private_sigstore: Stack, change: str) -> None:
    """Fulcio decides, so the client's own checks are left out."""
    audience = "someone-else" if change == "audience" else AUDIENCE
    token = private_sigstore.token("a@b.example", audience=audience, lifetime=-60 if change == "age" else 60)
    if change == "signature":
        head, claims, signature = token.split(".")
        token = f"{head}.{claims}.{signature[:-6]}AAAAAA"
    assert _fulcio_status(token) == 400
    assert _fulcio_status(private_sigstore.token("a@b.example", audience=AUDIENCE, lifetime=60)) == 200


def _fulcio_status(token: str) -> int:
    """HTTP status of a signing request that is right but for the token (Fulcio API v2, ``signingCert``)."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA256())
    body = {
        "credentials": {"oidcIdentityToken": token},
        "certificateSigningRequest": b64encode(request.public_bytes(Encoding.PEM)).decode(),
    }
    url = f"{ENDPOINTS.fulcio_url}/api/v2/signingCert"
    try:
        with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=10) as answer:  # noqa: S310 - loopback
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_service_account_signs_as_itself(private_sigstore: Stack, cluster_kubeconfig: Path) -> None:
    bundle = _sign(private_sigstore, cluster_issuer.token(cluster_kubeconfig, "default", "default", AUDIENCE))
    names = bundle.signing_certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    identity = "https://kubernetes.io/namespaces/default/serviceaccounts/default"
    assert [name.value for name in names] == [identity]
    verifier = Verifier(trusted_root=_config(private_sigstore).trusted_root)
    verifier.verify_dsse(bundle, _service_account(identity))
    for other in ("default/serviceaccounts/trainer", "kube-system/serviceaccounts/default"):
        with pytest.raises(VerificationError):
            verifier.verify_dsse(bundle, _service_account(f"https://kubernetes.io/namespaces/{other}"))


def _service_account(identity: str) -> policy.AllOf:
    return policy.AllOf([policy.OIDCIssuerV2(cluster_issuer.OWN_URL), policy.Identity(identity=identity)])
