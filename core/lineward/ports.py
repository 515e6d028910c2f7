"""What the domain needs from the world, as Protocols; `adapters` supply them and tests may too."""

from __future__ import annotations

from typing import Protocol

from lineward.domain.evidence import Evidence, TrustRoot


class EvidenceVerifier(Protocol):
    """Checks one bundle against one trust root; says nothing yet about whether a policy accepts the signer."""

    def verify(self, bundle: bytes, trust_root: TrustRoot) -> Evidence:
        """Return what the bundle proves.

        Raises RefusedError or InvalidInputError with a reason; any other exception must be treated as EvidenceInvalid.
        """
        ...


class StatementSigner(Protocol):
    """Signs statements: with an identity, a key, and later a KMS or hardware key."""

    def sign(self, statement: bytes) -> bytes:
        """Return a Sigstore bundle (JSON) of a DSSE envelope around the statement.

        Raises LinewardError where no signature could be made.
        """
        ...
