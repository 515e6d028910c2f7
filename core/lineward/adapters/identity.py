"""Finds the identity token to sign with: given, in the environment, of the CI platform, or by a person's browser.

Tokens are secrets: they are never part of a message.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sigstore.errors import Error as SigstoreError
from sigstore.models import ClientTrustConfig
from sigstore.oidc import IdentityError, IdentityToken, Issuer, IssuerError, detect_credential

from lineward.domain.errors import LinewardError
from lineward.domain.reasons import Reason

VARIABLE = "SIGSTORE_ID_TOKEN"
MAX_TOKEN = 64 * 1024
NO_IDENTITY = (
    f"no identity to sign with: give --identity-token, set {VARIABLE}, run in a CI job that may ask for a token, "
    "sign in from a terminal, or give --key"
)


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Where a token comes from; read again for each use, since tokens live for minutes and hashing may take hours."""

    given: str = ""
    """The token, or @FILE."""
    interactive: bool = False

    def find(self, config: ClientTrustConfig) -> IdentityToken:
        """Return a token that is valid now, asking a person if need be.

        Raises LinewardError(NoIdentity).
        """
        raw = self._text(os.environ)
        try:
            if raw:
                return IdentityToken(raw)
            return Issuer(config.signing_config.get_oidc_url()).identity_token()
        except (IdentityError, IssuerError, SigstoreError) as error:
            raise LinewardError(Reason.NO_IDENTITY, _explain(error)) from error

    def check(self) -> tuple[str, str]:
        """Issuer and subject of the token that is there; both empty where a person will be asked.

        Raises LinewardError(NoIdentity) early, before any hashing, where there is no token, or one that has expired.
        """
        raw = self._text(os.environ)
        if not raw:
            return "", ""
        try:
            token = IdentityToken(raw)
        except IdentityError as error:
            raise LinewardError(Reason.NO_IDENTITY, _explain(error)) from error
        return token.federated_issuer, token.identity

    def _text(self, environment: Mapping[str, str]) -> str:
        if self.given.startswith("@"):
            return _read(self.given[1:])
        raw = self.given or environment.get(VARIABLE, "")
        if raw:
            return raw.strip()
        try:
            raw = detect_credential() or ""
        except IdentityError as error:
            raise LinewardError(Reason.NO_IDENTITY, f"the CI platform gave no token: {error}"[:300]) from error
        if not raw and not self.interactive:
            raise LinewardError(Reason.NO_IDENTITY, NO_IDENTITY)
        return raw


def at_terminal() -> bool:
    """Tell whether a person is there to sign in."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _read(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_TOKEN).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        raise LinewardError(Reason.NO_IDENTITY, f"the token file {path} cannot be read: {why}") from error


def _explain(error: Exception) -> str:
    cause = f" ({error.__cause__})" if error.__cause__ else ""
    return f"the identity token is not usable: {error}{cause}"[:300]
