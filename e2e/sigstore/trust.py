"""The files that tell a client of the private Sigstore whom to believe and where to sign.

Formats: sigstore protobuf-specs, ``trustroot.v1.TrustedRoot`` (0.1), ``SigningConfig`` (0.2) and
``ClientTrustConfig`` (0.1), as JSON.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from e2e.sigstore.keys import Anchors
from e2e.sigstore.layout import Endpoints

Json = dict[str, Any]

REKOR_ORIGIN = "rekor-local"
"""The log's name in its checkpoints; part of its log id."""
_ED25519_NOTE = b"\x01"
"""Algorithm byte of Ed25519 keys in a signed note (C2SP signed-note)."""
_OPERATOR = "lineward-test"

TRUSTED_ROOT = "trusted_root.json"
SIGNING_CONFIG = "signing_config.json"
CLIENT_TRUST_CONFIG = "client_trust_config.json"


def trusted_root(anchors: Anchors, endpoints: Endpoints) -> Json:
    """``trusted_root.json``. Every window opens at ``anchors.start`` and stays open.

    Rekor's ``baseUrl`` carries the log's origin instead of its address: cosign and sigstore-go derive the origin from
    it, and verifying asks nobody.
    """
    return {
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [
            _log(f"http://{REKOR_ORIGIN}", anchors.rekor, "PKIX_ED25519", rekor_log_id(anchors.rekor), anchors.start)
        ],
        "certificateAuthorities": [_authority(endpoints.fulcio_url, anchors.fulcio_chain, anchors.start)],
        "ctlogs": [
            _log(
                endpoints.ctlog_url,
                anchors.ctlog,
                "PKIX_ECDSA_P256_SHA_256",
                hashlib.sha256(_spki(anchors.ctlog)).digest(),
                anchors.start,
            )
        ],
        "timestampAuthorities": [_authority(endpoints.tsa_url, anchors.tsa_chain, anchors.start)],
    }


def signing_config(endpoints: Endpoints, start: datetime) -> Json:
    """``signing_config.json``: one of each service; any one log and any one timestamp are enough."""

    def service(url: str, version: int) -> list[Json]:
        return [
            {
                "url": url,
                "majorApiVersion": version,
                "validFor": {"start": _time(start)},
                "operator": _OPERATOR,
            }
        ]

    return {
        "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
        "caUrls": service(endpoints.fulcio_url, 1),
        "oidcUrls": service(endpoints.issuer_url, 1),
        "rekorTlogUrls": service(endpoints.rekor_url, 2),
        "tsaUrls": service(endpoints.tsa_url, 1),
        "rekorTlogConfig": {"selector": "ANY"},
        "tsaConfig": {"selector": "ANY"},
    }


def client_trust_config(root: Json, signing: Json) -> Json:
    """Both in one file, as sigstore-python takes them."""
    return {
        "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
        "trustedRoot": root,
        "signingConfig": signing,
    }


def files(anchors: Anchors, endpoints: Endpoints) -> dict[str, str]:
    """File name to content of all three."""
    root, signing = trusted_root(anchors, endpoints), signing_config(endpoints, anchors.start)
    content = {
        TRUSTED_ROOT: root,
        SIGNING_CONFIG: signing,
        CLIENT_TRUST_CONFIG: client_trust_config(root, signing),
    }
    return {name: json.dumps(value, indent=2) + "\n" for name, value in content.items()}


def write(folder: Path, content: dict[str, str]) -> None:
    """Write the files of `files` into ``folder``, which is made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in content.items():
        (folder / name).write_text(text)


def rekor_log_id(key: ed25519.Ed25519PublicKey) -> bytes:
    """32 bytes: the hash whose first four name a key in a checkpoint (C2SP signed-note, tlog-checkpoint)."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha256(f"{REKOR_ORIGIN}\n".encode() + _ED25519_NOTE + raw).digest()


def _log(
    url: str,
    key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey,
    details: str,
    log_id: bytes,
    start: datetime,
) -> Json:
    return {
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": b64encode(_spki(key)).decode(),
            "keyDetails": details,
            "validFor": {"start": _time(start)},
        },
        "logId": {"keyId": b64encode(log_id).decode()},
    }


def _authority(url: str, chain: Sequence[x509.Certificate], start: datetime) -> Json:
    raw = [{"rawBytes": b64encode(certificate.public_bytes(Encoding.DER)).decode()} for certificate in chain]
    return {
        "subject": {
            "organization": _attribute(chain[-1], NameOID.ORGANIZATION_NAME),
            "commonName": _attribute(chain[-1], NameOID.COMMON_NAME),
        },
        "uri": url,
        "certChain": {"certificates": raw},
        "validFor": {"start": _time(start)},
    }


def _attribute(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str:
    return str(certificate.subject.get_attributes_for_oid(oid)[0].value)


def _spki(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
