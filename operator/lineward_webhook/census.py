"""Who uses which claim: the few facts about every unfinished pod that a decision on another pod needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lineward.domain import podspec
from lineward.domain.policy import Mode
from lineward.domain.rules import written_claims
from lineward.domain.update import promised

RUNNING = "status.phase!=Succeeded,status.phase!=Failed"
"""Field selector of pods that may still read or write."""


@dataclass(frozen=True, slots=True)
class PodFacts:
    """Claims that a pod can write, and claims that it was admitted with as data; both sorted."""

    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    enforced: bool = False


def facts(raw: Mapping[str, Any]) -> PodFacts | None:
    """Read what counts of a pod; None for one that is finished. One that cannot be read writes to all its claims."""
    if (raw.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
        return None
    try:
        pod = podspec.parse(raw)
        plan = promised(raw)
    except Exception:  # noqa: BLE001 - no tenant's pod may stop the watch
        return PodFacts(writes=_claims(raw))
    writes = {volume.claim for volume in written_claims(pod)}
    reads = {volume.claim for volume in plan.volumes if volume.claim} if plan else set()
    enforced = plan is not None and plan.mode == Mode.ENFORCE.value
    return PodFacts(tuple(sorted(writes)), tuple(sorted(reads)), enforced)


def _claims(raw: Mapping[str, Any]) -> tuple[str, ...]:
    volumes = (raw.get("spec") or {}).get("volumes") or ()
    sources = (volume.get("persistentVolumeClaim") or {} for volume in volumes if isinstance(volume, Mapping))
    return tuple(sorted(str(source["claimName"]) for source in sources if "claimName" in source))
