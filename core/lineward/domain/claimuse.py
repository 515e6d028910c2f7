"""Which claims a pod uses: the few facts about every pod that a judgement on another pod needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lineward.domain import podspec
from lineward.domain.policy import Mode
from lineward.domain.rules import is_written
from lineward.domain.update import promised


@dataclass(frozen=True, slots=True)
class ClaimUse:
    """Claims that a pod can write, and claims that it was admitted with as data; both sorted."""

    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    enforced: bool = False

    def audits(self, claim: str) -> bool:
        """Whether it reads the claim under audit or warn: under enforce its mounts would have been made read-only."""
        return claim in self.reads and not self.enforced


def read(raw: Mapping[str, Any]) -> ClaimUse:
    """Read what counts of a pod. One that cannot be read writes to all its claims."""
    try:
        pod = podspec.parse(raw)
        plan = promised(raw)
    except Exception:  # noqa: BLE001 - no tenant's pod may stop the watch
        return ClaimUse(writes=_claims(raw))
    used = podspec.usage(pod)
    writes = {volume.claim for volume in pod.volumes if volume.claim and is_written(used, [volume])}
    reads = {volume.claim for volume in plan.volumes if volume.claim} if plan else set()
    enforced = plan is not None and plan.mode == Mode.ENFORCE.value
    return ClaimUse(tuple(sorted(writes)), tuple(sorted(reads)), enforced)


def _claims(raw: Mapping[str, Any]) -> tuple[str, ...]:
    volumes = (raw.get("spec") or {}).get("volumes") or ()
    sources = (volume.get("persistentVolumeClaim") or {} for volume in volumes if isinstance(volume, Mapping))
    return tuple(sorted(str(source["claimName"]) for source in sources if "claimName" in source))
