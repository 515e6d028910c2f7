"""What a verified bundle proves: which statement, by whom, when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from lineward.domain.digest import Digest
from lineward.domain.provenance import Provenance


class SigningTime(StrEnum):
    """Whether a bundle that a key signed must have a verified time."""

    REQUIRED = "Required"
    OPTIONAL = "Optional"
    """Without one the key's window counts at each decision, and only where it has an end."""


@dataclass(frozen=True, slots=True)
class KeyAnchor:
    """A public key that a trust root lists, with the window in which it may sign."""

    name: str
    pem: str
    not_before: datetime | None = None
    not_after: datetime | None = None
    signing_time: SigningTime = SigningTime.OPTIONAL


@dataclass(frozen=True, slots=True)
class TrustRoot:
    """Keys to believe: a Sigstore `trusted_root.json`, own public keys, or both. `digest` names this exact content."""

    name: str
    digest: Digest
    trusted_root_json: str = ""
    keys: tuple[KeyAnchor, ...] = ()


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed: a certificate's one SAN and issuer (keyless), or the name of a key."""

    issuer: str = ""
    subject: str = ""
    key: str = ""
    key_digest: str = ""
    """Digest of the key's DER SubjectPublicKeyInfo, `sha256:<hex>`."""
    claims: Mapping[str, str] = field(default_factory=dict)
    """Fulcio certificate extensions by dotted OID, such as numeric repository ids."""

    @property
    def identity(self) -> tuple[str, str, str]:
        """What makes a signer the same one, whatever run or commit its certificate was made for."""
        return self.issuer, self.subject, self.key_digest or self.key

    def __str__(self) -> str:
        return f"key {self.key}" if self.key else f"{self.subject} ({self.issuer})"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A verified statement. `signed_at` is None only for a key that was opted in without a time source."""

    bundle: Digest
    signer: Signer
    signed_at: datetime | None
    subject: Digest
    predicate_type: str
    predicate: Mapping[str, Any]
    provenance: Provenance | None = None
    """The parsed predicate where its type is dataset provenance."""
    not_before: datetime | None = None
    not_after: datetime | None = None
    """When a signature without a signing time counts, both ends included; None where there is a signing time."""
