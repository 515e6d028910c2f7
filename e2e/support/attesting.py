"""Attesting as a data engineer does it: the `lineward` command with an identity token, then `kubectl apply`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from e2e.sigstore import trust
from e2e.sigstore.stack import Stack

PROVENANCE = Path(__file__).resolve().parents[1] / "demo" / "provenance.yaml"
LINEWARD = (sys.executable, "-m", "lineward.cli.main")


@dataclass(frozen=True)
class Attester:
    """Runs `lineward attest` against a private Sigstore."""

    service: Stack

    def arguments(
        self, folder: Path, *, dataset: str, version: str, claim: str, namespace: str, out: Path
    ) -> list[str]:
        """The arguments a person would type, without the identity token."""
        return [
            "attest",
            str(folder),
            *("--dataset", dataset),
            *("--version", version),
            *("--namespace", namespace),
            *("--pvc", claim),
            *("--trust-config", str(self.service.layout.trust / trust.CLIENT_TRUST_CONFIG)),
            *("--provenance", str(PROVENANCE)),
            *("--out", str(out)),
        ]

    def run(self, arguments: list[str], token: str) -> subprocess.CompletedProcess[str]:
        """Run the command with a token in a file of its own, so that it shows in no process list."""
        with tempfile.NamedTemporaryFile("w", suffix=".jwt") as file:
            file.write(token)
            file.flush()
            argv = [*LINEWARD, *arguments, "--identity-token", f"@{file.name}"]
            with self.service.undisturbed():
                return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
