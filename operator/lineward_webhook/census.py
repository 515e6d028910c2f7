"""Who uses which claim, of the pods that are not finished."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lineward.domain import claimuse
from lineward.domain.claimuse import ClaimUse

RUNNING = "status.phase!=Succeeded,status.phase!=Failed"
"""Field selector of pods that may still read or write."""


def facts(raw: Mapping[str, Any]) -> ClaimUse | None:
    """Read what counts of a pod; None for one that is finished."""
    if (raw.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
        return None
    return claimuse.read(raw)
