"""A pod's entry in `status.pods` of a TrainingRun; what the ledger gets of a pod is taken from it.

It is read back after a restart of the operator, when the pod may be long gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lineward.domain.assurance import Assurance
from lineward.domain.errors import InvalidInputError
from lineward.domain.podstatus import PodRecord
from lineward.domain.reasons import Reason
from lineward.domain.verdict import Verdict, VolumeVerdict

Json = dict[str, Any]


def encode(pod: PodRecord) -> Json:
    """The entry of a pod; empty fields are left out."""
    built: Json = {
        "name": pod.name,
        "uid": pod.uid,
        "phase": pod.phase,
        "started": pod.started,
        "mode": pod.mode,
        "verdict": pod.verdict.value if pod.verdict else "",
        "reason": pod.reason.value if pod.verdict else "",
        "message": pod.message,
        "volumes": [_encode(volume) for volume in pod.volumes],
        "startedAt": pod.started_at,
        "finishedAt": pod.finished_at,
        "exitCode": pod.exit_code,
        "imageID": pod.image_id,
        "policies": list(pod.policies),
    }
    return {name: value for name, value in built.items() if value not in ("", [], None)}


def decode(raw: Mapping[str, Any]) -> PodRecord:
    """Read back what `encode` wrote. Raises InvalidInputError(RequestInvalid)."""
    try:
        return PodRecord(
            name=str(raw["name"]),
            uid=str(raw["uid"]),
            phase=str(raw["phase"]),
            started=bool(raw["started"]),
            mode=str(raw.get("mode", "")),
            verdict=Verdict(raw["verdict"]) if raw.get("verdict") else None,
            reason=Reason(raw.get("reason", Reason.NO_VERDICT)),
            message=str(raw.get("message", "")),
            volumes=tuple(_decode(volume) for volume in raw.get("volumes") or ()),
            started_at=str(raw.get("startedAt", "")),
            finished_at=str(raw.get("finishedAt", "")),
            exit_code=raw.get("exitCode"),
            image_id=str(raw.get("imageID", "")),
            policies=tuple(str(policy) for policy in raw.get("policies") or ()),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InvalidInputError(Reason.REQUEST_INVALID, f"not a pod of a TrainingRun: {error}") from error


def _encode(found: VolumeVerdict) -> Json:
    built: Json = {
        "volume": found.volume,
        "dataset": found.dataset,
        "version": found.version,
        "root": found.observed,
        "expected": found.expected,
        "verdict": found.verdict.value,
        "reason": found.reason.value,
        "assurance": found.assurance.value,
    }
    numbers = {"files": found.files, "bytes": found.bytes, "seconds": round(found.seconds, 3)}
    return {name: value for name, value in built.items() if value} | numbers


def _decode(raw: Mapping[str, Any]) -> VolumeVerdict:
    return VolumeVerdict(
        volume=str(raw["volume"]),
        verdict=Verdict(raw["verdict"]),
        reason=Reason(raw["reason"]),
        dataset=str(raw.get("dataset", "")),
        version=str(raw.get("version", "")),
        assurance=Assurance(raw.get("assurance", Assurance.FULL)),
        expected=str(raw.get("expected", "")),
        observed=str(raw.get("root", "")),
        files=int(raw.get("files", 0)),
        bytes=int(raw.get("bytes", 0)),
        seconds=float(raw.get("seconds", 0)),
    )
