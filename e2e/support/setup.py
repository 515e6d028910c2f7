"""Brings up what a case needs: a cluster, images in it, a private Sigstore, a namespace with storage.

Everything that is started here is stopped again through the ExitStack; what ran before stays.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

from e2e import tools
from e2e.cluster import lifecycle
from e2e.cluster import target as targets
from e2e.cluster.layout import CONTEXT, Layout
from e2e.cluster.progress import Progress
from e2e.sigstore import trust
from e2e.sigstore.layout import ENDPOINTS
from e2e.sigstore.stack import Stack
from e2e.support.attesting import Attester
from e2e.support.kubectl import Kubectl
from e2e.support.storage import Storage
from e2e.support.world import Identity, World

Task = Callable[[str], AbstractContextManager[None]]
TRAINER = "lineward.local/lineward-demo-trainer:dev"
ROOT = Path(__file__).resolve().parents[2]


class SetupError(RuntimeError):
    """Something could not be set up; the message says what to do."""


@dataclass(frozen=True)
class Target:
    """The cluster to work on. `disk` is a folder on its first node for the demo's claims."""

    kubectl: Kubectl
    helm: Path
    ours: bool
    disk: str
    image_key: str

    @property
    def how_to_stop(self) -> str:
        if self.ours:
            return "The cluster is left up. `make demo-down` stops it and the private Sigstore."
        return (
            "The cluster is yours; `helm uninstall lineward -n lineward-system`, then delete the namespaces ml and "
            "lineward-demo-storage and the PersistentVolumes ml-*. `make sigstore-down` stops the private Sigstore."
        )
