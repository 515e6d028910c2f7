"""cosign as the outside witness: another implementation, in another language, that signs and verifies here."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from e2e import tools
from e2e.sigstore.layout import Layout
from e2e.sigstore.trust import SIGNING_CONFIG, TRUSTED_ROOT

_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Cosign:
    """Runs cosign with its home, and so its TUF cache, in ``home``, and with the trust files of ``trust``."""

    program: Path
    home: Path
    trust: Path

    @classmethod
    def of(cls, layout: Layout) -> Cosign:
        """The cosign for the private Sigstore of ``layout``; built if it is missing."""
        return cls(tools.binary("cosign"), layout.home, layout.trust)

    def attest(self, statement: Path, token: str, bundle: Path) -> subprocess.CompletedProcess[str]:
        """Sign an in-toto statement as it is (``--predicate`` would wrap it in Statement v0.1)."""
        return self._run(
            "attest-blob",
            f"--statement={statement}",
            f"--bundle={bundle}",
            f"--signing-config={self.trust / SIGNING_CONFIG}",
            f"--trusted-root={self.trust / TRUSTED_ROOT}",
            f"--identity-token={token}",
        )

    def verify(
        self, bundle: Path, blob: Path, *, identity: str, issuer: str, predicate_type: str, root: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Verify a bundle whose statement is about ``blob``, against ``root`` or else the private trusted root."""
        return self._run(
            "verify-blob-attestation",
            f"--bundle={bundle}",
            f"--trusted-root={root or self.trust / TRUSTED_ROOT}",
            f"--certificate-identity={identity}",
            f"--certificate-oidc-issuer={issuer}",
            f"--type={predicate_type}",
            str(blob),
        )

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"HOME": str(self.home), "PATH": os.environ["PATH"]}
        command = [str(self.program), *arguments]
        return subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
