"""A test OIDC issuer: signs a token for any email that is asked for, and publishes its key for Fulcio.

Formats: OpenID Connect Discovery 1.0, RFC 7517 (JWK), RFC 7519 (JWT), RS256 of RFC 7518.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from base64 import urlsafe_b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from e2e.sigstore.layout import AUDIENCE, HOST, Endpoints

LIFETIME_SECONDS = 600
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


class Issuer:
    """Tokens and the documents by which they are checked; ``url`` is the issuer's name."""

    def __init__(self, key: rsa.RSAPrivateKey, url: str) -> None:
        self._key = key
        self.url = url
        numbers = key.public_key().public_numbers()
        self._jwk = {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
        thumbprint = json.dumps(self._jwk, sort_keys=True, separators=(",", ":")).encode()
        self._kid = _text(hashlib.sha256(thumbprint).digest())

    def token(self, email: str, *, audience: str = AUDIENCE, lifetime: int = LIFETIME_SECONDS) -> str:
        """A signed JWT that says its bearer owns ``email``; ``lifetime`` in seconds.

        Raises:
            ValueError: ``email`` does not look like one.
        """
        if not _EMAIL.fullmatch(email):
            raise ValueError(f"not an email address: {email!r}")
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": audience,
            "sub": email,
            "email": email,
            "email_verified": True,
            "iat": now,
            "nbf": now,
            "exp": now + lifetime,
        }
        head = {"alg": "RS256", "typ": "JWT", "kid": self._kid}
        signed = ".".join(_text(json.dumps(part).encode()) for part in (head, claims))
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), SHA256())
        return f"{signed}.{_text(signature)}"

    def documents(self) -> dict[str, dict[str, Any]]:
        """Path to JSON document: all that the issuer serves."""
        return {
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/keys",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            },
            "/keys": {"keys": [self._jwk | {"kid": self._kid, "alg": "RS256", "use": "sig"}]},
        }


def server(issuer: Issuer, endpoints: Endpoints) -> ThreadingHTTPServer:
    """A bound server on loopback; the caller runs ``serve_forever``."""
    documents = {path: json.dumps(document).encode() for path, document in issuer.documents().items()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = documents.get(self.path)
            if body is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return ThreadingHTTPServer((HOST, endpoints.issuer), Handler)


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _number(value: int) -> str:
    return _text(value.to_bytes((value.bit_length() + 7) // 8, "big"))
