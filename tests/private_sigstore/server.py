"""The private Sigstore behind HTTP on loopback, for clients that sign over the network."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from rfc3161_client import decode_timestamp_response
from tests.loopback import serving
from tests.private_sigstore.authorities import Identity
from tests.private_sigstore.instance import Faults, PrivateSigstore

ISSUER = "https://issuer.example"
PERSON = "person@example.org"
WORKFLOW = "https://github.example/org/repo/.github/workflows/attest.yml@refs/heads/main"
ACTIONS_TOKEN = "what the job may ask for a token with"
SECRET = "not a secret: the private issuer's key for HS256 tokens"


def token(
    subject: str = "data-team@example.org", *, lifetime: timedelta = timedelta(minutes=5), audience: str = "sigstore"
) -> str:
    now = datetime.now(UTC)
    claims = {"iss": ISSUER, "sub": subject, "aud": audience, "iat": now, "exp": now + lifetime}
    return jwt.encode(claims, SECRET, "HS256")


class _Handler(BaseHTTPRequestHandler):
    sigstore: ClassVar[PrivateSigstore]
    faults: ClassVar[Faults] = Faults()
    codes: ClassVar[dict[str, str]] = {}

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answers = {
            "/oidc/token": self._redeem,
            "/api/v2/signingCert": self._certificate,
            "/api/v2/log/entries": self._entry,
            "/api/v1/timestamp": self._timestamp,
        }
        try:
            kind, answer = answers[self.path](body)
        except Exception as error:  # noqa: BLE001 - a server answers
            self.send_error(400, str(error).replace("\n", " ")[:100])
            return
        self.send_response(201)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self) -> None:
        """The issuer: its discovery document, a log-in page that always says yes, and a CI platform's token."""
        asked = urlsplit(self.path)
        query = dict(parse_qsl(asked.query))
        here = f"http://{self.headers['Host']}/oidc"
        if asked.path == "/oidc/.well-known/openid-configuration":
            self._say({"issuer": ISSUER, "authorization_endpoint": f"{here}/auth", "token_endpoint": f"{here}/token"})
        elif asked.path == "/oidc/auth" and query["code_challenge_method"] == "S256":
            self.codes[code := secrets.token_hex()] = query["code_challenge"]
            self.send_response(302)
            self.send_header(
                "Location", f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"
            )
            self.end_headers()
        elif asked.path == "/actions" and self.headers["Authorization"] == f"bearer {ACTIONS_TOKEN}":
            self._say({"value": token(WORKFLOW, audience=query["audience"])})
        else:
            self.send_error(404)

    def _say(self, value: dict[str, Any]) -> None:
        answer = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass

    def _redeem(self, body: bytes) -> tuple[str, bytes]:
        """A token for a code, once, and only for whoever began the log-in (RFC 7636)."""
        form = dict(parse_qsl(body.decode()))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        if self.codes.pop(form["code"]) != challenge.decode():
            raise ValueError("another client began this log-in")
        return _json({"access_token": token(PERSON)})

    def _certificate(self, body: bytes) -> tuple[str, bytes]:
        bearer = self.headers["Authorization"].removeprefix("Bearer ")
        claims = jwt.decode(bearer, SECRET, ["HS256"], audience="sigstore")
        request = x509.load_pem_x509_csr(base64.b64decode(json.loads(body)["certificateSigningRequest"]))
        assert request.is_signature_valid
        public = request.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        now = datetime.now(UTC).replace(microsecond=0)
        leaf = self.sigstore.fulcio.issue(public, Identity(claims["sub"], claims["iss"]), now)
        chain = [leaf, self.sigstore.fulcio.root.certificate]
        pems = [certificate.public_bytes(Encoding.PEM).decode() for certificate in chain]
        return _json({"signedCertificateEmbeddedSct": {"chain": {"certificates": pems}}})

    def _entry(self, body: bytes) -> tuple[str, bytes]:
        request = json.loads(body)["hashedRekordRequestV002"]
        record = {
            "data": {"algorithm": "SHA2_256", "digest": request["digest"]},
            "signature": request["signature"],
        }
        made = {"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": record}}
        encoded = json.dumps(made, sort_keys=True, separators=(",", ":")).encode()
        return _json(self.sigstore.log.add(encoded, self.faults))

    def _timestamp(self, body: bytes) -> tuple[str, bytes]:
        imprint = body.index(b"\x04\x20") + 2
        digest = body[imprint : imprint + 32]
        now = datetime.now(UTC).replace(microsecond=0)
        stamp = self.sigstore.tsa.stamp_digest(digest, now)
        decode_timestamp_response(stamp)
        return "application/timestamp-reply", stamp


def _json(value: dict[str, Any]) -> tuple[str, bytes]:
    return "application/json", json.dumps(value).encode()


@contextmanager
def serve(sigstore: PrivateSigstore, faults: Faults = Faults()) -> Iterator[str]:  # noqa: B008 - a frozen value
    """Serve on a free port of loopback; yields the base URL."""
    handler = type("Handler", (_Handler,), {"sigstore": sigstore, "faults": faults})
    with serving(handler) as url:
        yield url
