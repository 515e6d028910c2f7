"""Which tests run side by side: one process for each group, since tests of a group would disturb each other.

pytest-xdist's own groups (`--dist loadgroup` of 3.8) do nothing under pytest 9.2.
"""

from __future__ import annotations

import os
from pathlib import PurePath

from xdist.scheduler import LoadScopeScheduling

RELEASE, PODS = "release", "pods"
NICE = 5
GROUPS = {
    "test_runtime_pods": PODS,
    "test_cluster_commands": "control_plane",
    "test_cluster_interrupted": "control_plane",
    "test_crds": "control_plane",
    "test_operator_killed": "control_plane",
    "test_webhook_drift": "control_plane",
    "test_private_sigstore": "sigstore",
    "test_private_sigstore_life": "sigstore",
    "test_witness_attest": "sigstore",
    "test_witness_cosign": "sigstore",
}
"""By module; all others share the Helm release and the namespaces that it guards."""


def group(nodeid: str) -> str:
    """The group of a test, by pytest's id of it."""
    return GROUPS.get(PurePath(nodeid.partition("::")[0]).stem, RELEASE)


def give_way(nodeid: str) -> None:
    """Let those go first who wait for pods: they decide how long the whole takes, and what they start takes its turn
    with them. For good, so for a process that runs one group alone.
    """
    if group(nodeid) not in {RELEASE, PODS} and os.getpriority(os.PRIO_PROCESS, 0) < NICE:
        os.setpriority(os.PRIO_PROCESS, 0, NICE)


class ByGroup(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each group of tests to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
