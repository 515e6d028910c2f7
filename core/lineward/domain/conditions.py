"""Conditions as the Kubernetes API conventions ask.

One per type, with a CamelCase reason and a time that moves only when the status does.

Source: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#typical-status-properties
and the field limits of metav1.Condition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from lineward.domain.reasons import Reason

AS_EXPECTED = "AsExpected"
"""Reason of a condition that has nothing to say but that all is well."""
MAX_MESSAGE = 32768
"""metav1.Condition allows this many characters."""


class Status(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Type(StrEnum):
    """The conditions that Lineward's kinds have."""

    VERIFIED = "Verified"
    """DatasetVersion: every policy of its namespace accepts its evidence. TrainingRun: its data was verified."""
    READY = "Ready"
    """The object can be used: it parses, what it refers to is there, it is where it counts and has not expired."""
    EXPIRING = "Expiring"
    """TrustRoot: a key of it ends soon."""
    IGNORED = "Ignored"
    """ProvenanceException: it is outside Lineward's namespace and changes nothing."""
    COMPLETE = "Complete"
    """TrainingRun: the workload has ended."""
    AGREEMENT = "Agreement"
    """TrainingRun: all pods read the same roots."""
    RECORDED = "Recorded"
    """TrainingRun: the ledger has acknowledged everything known of the run so far."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What is to be said about one aspect of an object."""

    type: Type
    status: Status
    reason: Reason | str = AS_EXPECTED
    message: str = ""


def merged(
    existing: Sequence[Mapping[str, Any]], wanted: Iterable[Condition], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """Return the condition list for an object's status.

    A condition keeps its `lastTransitionTime` while its status stays, so that an unchanged state gives an unchanged
    list; conditions that are not wanted are dropped. Order is that of `wanted`.
    """
    before = {entry.get("type"): entry for entry in existing}
    return [_entry(before.get(condition.type.value), condition, generation, now) for condition in wanted]


def find(conditions: Iterable[Mapping[str, Any]], wanted: Type) -> Mapping[str, Any] | None:
    """Return the condition of a type, None where it is missing."""
    return next((entry for entry in conditions if entry.get("type") == wanted.value), None)


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, as metav1.Time is written."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _entry(before: Mapping[str, Any] | None, condition: Condition, generation: int, now: datetime) -> dict[str, Any]:
    same = before is not None and before.get("status") == condition.status.value
    return {
        "type": condition.type.value,
        "status": condition.status.value,
        "reason": str(condition.reason),
        "message": condition.message[:MAX_MESSAGE],
        "observedGeneration": generation,
        "lastTransitionTime": (before or {}).get("lastTransitionTime") if same else timestamp(now),
    }
