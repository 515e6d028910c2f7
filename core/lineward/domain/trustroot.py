"""A TrustRoot as the API server stores it: a Sigstore trusted root, own public keys, or both."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from lineward.domain.dataset import DNS_NAME
from lineward.domain.digest import Digest
from lineward.domain.evidence import KeyAnchor, SigningTime, TrustRoot
from lineward.domain.fields import Reader
from lineward.domain.reasons import Reason

MAX_TRUSTED_ROOT = 512 * 1024
"""Bytes of `trusted_root.json`; the public-good one has 7 kB (2026)."""
MAX_KEYS = 64
_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----\s([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----")
MAX_PEM = 4096
"""Characters of one PEM public key; P-521 needs 268, RSA is not accepted."""


def parse(obj: Mapping[str, Any]) -> TrustRoot:
    """Parse a TrustRoot object; the content of `trustedRoot` is parsed by the verifier that uses it.

    Raises InvalidInputError(TrustRootInvalid).
    """
    outer = Reader(obj, "", Reason.TRUST_ROOT_INVALID)
    spec = outer.object("spec")
    root = spec.text("trustedRoot", "", cap=MAX_TRUSTED_ROOT)
    keys = tuple(_key(item) for item in spec.objects("keys", cap=MAX_KEYS))
    if not root and not keys:
        spec.fail("must have trustedRoot, keys or both")
    if len({key.name for key in keys}) != len(keys):
        spec.fail("has two keys of one name", "keys")
    if len({key_digest(key.pem) for key in keys}) != len(keys):  # else the first one's window would hide the other's
        spec.fail("has one key under two names", "keys")
    if not root and any(key.signing_time is SigningTime.REQUIRED for key in keys):
        spec.fail("is missing: a key requires a signing time, which only its authorities can tell", "trustedRoot")
    spec.done()
    return make(outer.object("metadata").text("name", cap=253), root, keys)


def make(name: str, trusted_root_json: str = "", keys: tuple[KeyAnchor, ...] = ()) -> TrustRoot:
    """Build a TrustRoot with the digest of its content; the name is not part of it."""
    rows = ([k.name, k.pem, str(k.not_before), str(k.not_after), k.signing_time] for k in keys)
    content = [trusted_root_json, *rows]
    digest = Digest(hashlib.sha256(json.dumps(content).encode()).digest())
    return TrustRoot(name, digest, trusted_root_json, keys)


def der_of(pem: str) -> bytes:
    """DER SubjectPublicKeyInfo of a PEM public key (RFC 7468 section 13). Raises ValueError where it is none."""
    found = _PEM.fullmatch(pem.strip())
    if not found:
        raise ValueError("not one PEM public key")
    return base64.b64decode("".join(found[1].split()), validate=True)


def key_digest(pem: str) -> str:
    """Digest of a PEM public key's DER, `sha256:<hex>`. Raises ValueError."""
    return str(Digest(hashlib.sha256(der_of(pem)).digest()))


def _key(raw: Reader) -> KeyAnchor:
    key = KeyAnchor(
        name=raw.text("name", cap=253, pattern=DNS_NAME),
        pem=raw.text("pem", cap=MAX_PEM),
        not_before=raw.moment("notBefore"),
        not_after=raw.moment("notAfter"),
        signing_time=raw.choice("signingTime", SigningTime, SigningTime.OPTIONAL),
    )
    try:
        key_digest(key.pem)
    except ValueError:
        raw.fail("is no PEM public key", "pem")
    raw.done()
    return key
