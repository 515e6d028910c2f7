"""The signing half of the conformance client."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from sigstore import dsse
from sigstore.models import ClientTrustConfig
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext

from lineward.adapters.signing import temporary_cache
from lineward.domain.errors import LinewardError
from lineward.domain.reasons import Reason


def sign_bundle(arguments: argparse.Namespace) -> None:
    """Sign an artifact, or a statement with --in-toto, and write the bundle. Raises LinewardError(NotSigned)."""
    content = Path(arguments.artifact).read_bytes()
    try:
        with SigningContext.from_trust_config(_config(arguments)).signer(
            IdentityToken(arguments.identity_token)
        ) as signer:
            bundle = signer.sign_dsse(dsse.Statement(content)) if arguments.in_toto else signer.sign_artifact(content)
    except Exception as error:
        raise LinewardError(Reason.NOT_SIGNED, f"not signed: {error}"[:300]) from error
    Path(arguments.bundle).write_text(bundle.to_json())


def _config(arguments: argparse.Namespace) -> ClientTrustConfig:
    if arguments.trusted_root and arguments.signing_config:
        parts = {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": json.loads(Path(arguments.trusted_root).read_text()),
            "signingConfig": json.loads(Path(arguments.signing_config).read_text()),
        }
        return ClientTrustConfig.from_json(json.dumps(parts))
    with temporary_cache():
        return ClientTrustConfig.staging() if arguments.staging else ClientTrustConfig.production()
