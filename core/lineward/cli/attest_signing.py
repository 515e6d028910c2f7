"""Chooses who signs, and lets nothing out that our own verifier would refuse."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from sigstore.models import ClientTrustConfig

from lineward.adapters.identity import TokenSource, at_terminal
from lineward.adapters.library import root_json
from lineward.adapters.signing import KeylessSigner, KeySigner, load_config
from lineward.adapters.sigstore import SigstoreVerifier
from lineward.adapters.sources import MAX_BUNDLE_FILE
from lineward.domain import trustroot
from lineward.domain.dataset import MAX_BUNDLE
from lineward.domain.errors import InvalidInputError, LinewardError
from lineward.domain.evidence import Evidence, KeyAnchor, TrustRoot
from lineward.domain.reasons import Reason
from lineward.ports import StatementSigner

PASSWORD_VARIABLE = "LINEWARD_KEY_PASSWORD"  # noqa: S105 - the name of a variable
_Checked = TypeVar("_Checked")
_FAR = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Signing:
    """A signer, and the trust root that its bundles are checked with before anyone gets them."""

    signer: StatementSigner
    trust_root: TrustRoot
    expected: tuple[str, str] = ("", "")
    """Issuer and subject of the identity, as far as they are known before it signs."""

    @classmethod
    def prepare(cls, arguments: argparse.Namespace) -> Signing:
        """Find the key or the identity that the arguments name.

        Raises LinewardError(NoIdentity or NotSigned) or InvalidInputError(TrustRootInvalid).
        """
        if arguments.key:
            config = load_config(arguments.trust_config) if arguments.trust_config else None
            password = os.environ.get(PASSWORD_VARIABLE, "").encode() or None
            signer = KeySigner.load(arguments.key, password, config)
            anchor = KeyAnchor(Path(arguments.key).name, signer.public_pem, None, _FAR)
            return cls(signer, trustroot.make("signing", _root(config), (anchor,)))
        tokens = TokenSource(arguments.identity_token, at_terminal())
        expected = tokens.check()
        config = load_config(arguments.trust_config)
        return cls(KeylessSigner(config, tokens), trustroot.make("signing", _root(config)), expected)

    def require_new(self, bundles: Sequence[bytes], made: Evidence | None = None) -> None:
        """Find out whether the signer (of `made`, once it is there) signed one of the bundles already.

        A quorum counts a signer once. Raises InvalidInputError(RequestInvalid).
        """
        for bundle in bundles:
            try:
                there = SigstoreVerifier().verify(bundle, self.trust_root).signer
            except LinewardError:
                continue
            same = made.signer.identity == there.identity if made else (there.issuer, there.subject) == self.expected
            if same:
                raise InvalidInputError(Reason.REQUEST_INVALID, f"{there} has signed this version already"[:300])

    def sign_oms(self, statement: bytes) -> bytes:
        """Sign an OMS statement, which may be large, and check the bundle. Raises as `sign` does."""
        bundle = self.signer.sign(statement)
        self._checked(lambda: SigstoreVerifier(MAX_BUNDLE_FILE).check(bundle, self.trust_root))
        return bundle

    def sign(self, statement: bytes) -> tuple[bytes, Evidence]:
        """Sign a statement and verify the bundle. Raises LinewardError(NoIdentity or NotSigned)."""
        bundle = self.signer.sign(statement)
        if len(bundle) > MAX_BUNDLE:
            raise InvalidInputError(Reason.PROVENANCE_INVALID, f"the bundle has {len(bundle)} bytes, over {MAX_BUNDLE}")
        return bundle, self._checked(lambda: SigstoreVerifier().verify(bundle, self.trust_root))

    @staticmethod
    def _checked(check: Callable[[], _Checked]) -> _Checked:
        try:
            return check()
        except LinewardError as error:
            problem = f"the new bundle does not verify with the trust config's own root: {error.message}"[:300]
            raise LinewardError(Reason.NOT_SIGNED, problem) from error


def _root(config: ClientTrustConfig | None) -> str:
    return root_json(config) if config else ""
