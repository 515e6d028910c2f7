"""As whom Lineward's containers run: what the trainer can read is what must be verified.

So they take the trainer's uid, group and SELinux label, all capabilities dropped. Where nothing says which uid the
trainer has (its image does), they run as root with DAC_OVERRIDE, which the baseline Pod Security Standard allows, or as
an unprivileged user where the pod or the namespace forbids root.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lineward.domain.plan import Plan

NOBODY = 65532
"""The unprivileged user of our image, as in distroless images."""


def context(spec: Mapping[str, Any], plan: Plan, *, restricted: bool) -> dict[str, Any]:
    """Build the container's securityContext; meets the restricted Pod Security Standard unless it must run as root."""
    pod = spec.get("securityContext") or {}
    trainer = _trainer(spec, plan).get("securityContext") or {}
    uid = trainer.get("runAsUser", pod.get("runAsUser"))
    if uid is None:
        uid = NOBODY if restricted or trainer.get("runAsNonRoot", pod.get("runAsNonRoot")) is True else 0
    capabilities: dict[str, Any] = {"drop": ["ALL"]}
    if uid == 0 and not restricted:
        capabilities = {"add": ["DAC_OVERRIDE"], **capabilities}
    made: dict[str, Any] = {
        "allowPrivilegeEscalation": False,
        "capabilities": capabilities,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": uid != 0,
        "runAsUser": uid,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for name in ("runAsGroup", "seLinuxOptions"):
        if name in trainer:
            made[name] = trainer[name]
    return made


def _trainer(spec: Mapping[str, Any], plan: Plan) -> Mapping[str, Any]:
    """The first application container that mounts data, else the first."""
    volumes = {planned.volume for planned in plan.volumes}
    containers: list[Mapping[str, Any]] = list(spec.get("containers") or ())
    for container in containers:
        if any(mount.get("name") in volumes for mount in container.get("volumeMounts") or ()):
            return container
    return containers[0] if containers else {}
