"""Signs statements: keyless through a Sigstore instance, or with a private key in a file.

Whatever signs, the bundle goes through our own verifier before anyone gets it (`cli.attest`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from sigstore import dsse
from sigstore.models import ClientTrustConfig
from sigstore.sign import SigningContext

from lineward.adapters.identity import TokenSource
from lineward.adapters.keys import HASHES, pae
from lineward.domain.errors import InvalidInputError, LinewardError
from lineward.domain.reasons import Reason
from lineward.domain.statement import PAYLOAD_TYPE

MAX_CONFIG = 1024 * 1024
PrivateKey = EllipticCurvePrivateKey | Ed25519PrivateKey


def load_config(path: str) -> ClientTrustConfig:
    """Read a client trust config; without a path, fetch the public-good instance's, by TUF, over the network.

    Raises InvalidInputError(TrustRootInvalid) or LinewardError(NotSigned).
    """
    if not path:
        return _public_good()
    try:
        with Path(path).open("rb") as file:
            return ClientTrustConfig.from_json(file.read(MAX_CONFIG).decode())
    except OSError as error:
        raise InvalidInputError(Reason.TRUST_ROOT_INVALID, f"{path}: {error.strerror}") from error
    except Exception as error:
        problem = f"{path} is no client trust config: {' '.join(str(error).split())}"[:300]
        raise InvalidInputError(Reason.TRUST_ROOT_INVALID, problem) from error


def _public_good() -> ClientTrustConfig:
    with temporary_cache():
        try:
            return ClientTrustConfig.production()
        except Exception as error:
            problem = f"the trust root of the public Sigstore could not be fetched: {error}"[:300]
            raise LinewardError(Reason.NOT_SIGNED, problem) from error


@contextmanager
def temporary_cache() -> Iterator[None]:
    """Send the TUF client's cache to a folder that goes away, so that nothing is written to HOME."""
    names = ("XDG_CACHE_HOME", "XDG_DATA_HOME")
    before = {name: os.environ.get(name) for name in names}
    with tempfile.TemporaryDirectory(prefix="lineward-tuf-") as folder:
        os.environ.update(dict.fromkeys(names, folder))
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


class KeylessSigner:
    """Signs as the identity of a token, with a key that lives for one signature."""

    def __init__(self, config: ClientTrustConfig, tokens: TokenSource) -> None:
        self._config, self._tokens = config, tokens

    def sign(self, statement: bytes) -> bytes:
        """Sign a statement. Raises LinewardError(NoIdentity or NotSigned)."""
        token = self._tokens.find(self._config)
        logging.getLogger("sigstore").setLevel(logging.ERROR)
        try:
            with SigningContext.from_trust_config(self._config).signer(token) as signer:
                return signer.sign_dsse(dsse.Statement(statement)).to_json().encode()
        except LinewardError:
            raise
        except Exception as error:
            problem = f"Sigstore did not sign: {chain(error)}"[:300]
            raise LinewardError(Reason.NOT_SIGNED, problem) from error


class KeySigner:
    """Signs with a private key; where a trust config names timestamping authorities, their time is added."""

    def __init__(self, key: PrivateKey, config: ClientTrustConfig | None = None) -> None:
        self._key, self._config = key, config

    @classmethod
    def load(cls, path: str, password: bytes | None, config: ClientTrustConfig | None) -> KeySigner:
        """Read a PEM private key: P-256, P-384, P-521 or Ed25519. Raises LinewardError(NoIdentity)."""
        try:
            key = load_pem_private_key(Path(path).read_bytes(), password)
        except (OSError, ValueError, TypeError) as error:
            raise LinewardError(Reason.NO_IDENTITY, f"the key {path} cannot be used: {error}"[:300]) from error
        if isinstance(key, Ed25519PrivateKey) or (
            isinstance(key, EllipticCurvePrivateKey) and key.curve.name in HASHES
        ):
            return cls(key, config)
        raise LinewardError(Reason.NO_IDENTITY, f"the key {path} is not P-256, P-384, P-521 or Ed25519")

    @property
    def public_pem(self) -> str:
        """The PEM public key."""
        public = self._key.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def _hint(self) -> str:
        """What model_signing compares: the digest of the PEM text (OMS v1.0), in hex."""
        return hashlib.sha256(self.public_pem.encode()).hexdigest()

    def sign(self, statement: bytes) -> bytes:
        """Sign a statement. Raises LinewardError(NotSigned) where a timestamp was wanted and not given."""
        message = pae(PAYLOAD_TYPE, statement)
        if isinstance(self._key, Ed25519PrivateKey):
            signature = self._key.sign(message)
        else:
            signature = self._key.sign(message, ECDSA(HASHES[self._key.curve.name]))
        material: dict[str, Any] = {"publicKey": {"hint": self._hint}, "tlogEntries": []}
        if stamps := self._timestamps(signature):
            material["timestampVerificationData"] = {"rfc3161Timestamps": stamps}
        bundle = {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": material,
            "dsseEnvelope": {
                "payload": b64encode(statement).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"sig": b64encode(signature).decode()}],
            },
        }
        return json.dumps(bundle, separators=(",", ":")).encode()

    def _timestamps(self, signature: bytes) -> list[dict[str, str]]:
        clients = self._config.signing_config.get_tsas() if self._config else []
        try:
            stamps = [client.request_timestamp(signature).as_bytes() for client in clients]
        except Exception as error:
            problem = f"the timestamping authority gave no time: {chain(error)}"[:300]
            raise LinewardError(Reason.NOT_SIGNED, problem) from error
        return [{"signedTimestamp": b64encode(stamp).decode()} for stamp in stamps]


def chain(error: BaseException) -> str:
    """An error with its causes: the library hides "connection refused" two levels down."""
    said: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(said) < 4:
        text = " ".join(str(cause).split()) or type(cause).__name__
        if text not in said:
            said.append(text)
        cause = cause.__cause__ or cause.__context__
    return "; ".join(said)
