"""The verdict that the verify container leaves as its termination message.

Only the kubelet can write that field of a pod's status, which makes it the one statement about a pod's data that the
pod's owner cannot forge. Kubernetes keeps at most 4096 bytes of it
(https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/), so names are dropped
from the end until it fits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from lineward.domain.assurance import Assurance
from lineward.domain.errors import InvalidInputError
from lineward.domain.reasons import Reason

_HEAD = re.compile(
    r'\{"message":("(?:[^"\\]|\\.)*"),"verdict":"(\w+)","reason":"(\w+)","mode":"(\w*)","count":(\d{1,9}),"volumes":\['
)
MAX_BYTES = 4096
MAX_VOLUMES = 64
EXIT_DIFFERS = 86
"""Exit code of verify when bytes differ; rare on purpose, so that a podFailurePolicy can name it."""
EXIT_UNKNOWN = 87
"""Exit code of verify when it could not tell."""


class Verdict(StrEnum):
    """What is known about a volume or a run; only `VERIFIED` admits."""

    VERIFIED = "Verified"
    REFUSED = "Refused"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class VolumeVerdict:
    """The verdict on one mounted volume. `bytes` and `seconds` are what was hashed and how long it took."""

    volume: str
    verdict: Verdict
    reason: Reason
    dataset: str = ""
    version: str = ""
    assurance: Assurance = Assurance.FULL
    expected: str = ""
    observed: str = ""
    files: int = 0
    bytes: int = 0
    seconds: float = 0.0
    changed: tuple[str, ...] = ()
    """First differing entries, such as "modified train.csv"."""
    more: int = 0
    """How many differing entries are not listed in `changed`."""


@dataclass(frozen=True, slots=True)
class PodVerdict:
    """The verdict on all data volumes of a pod; the message is one line for people."""

    message: str
    verdict: Verdict
    reason: Reason
    mode: str
    volumes: tuple[VolumeVerdict, ...] = ()
    omitted: int = 0
    """How many volumes are not listed for want of room; the message has it as `count`, which is of all volumes."""

    def encode(self) -> str:
        """JSON of at most `MAX_BYTES` bytes of UTF-8; drops differing names, last first, until it fits."""
        verdict = self
        while len(text := _dump(verdict)) > MAX_BYTES:
            verdict = _shortened(verdict)
        return text.decode()


def decode(text: str) -> PodVerdict:
    """Parse a termination message.

    Raises InvalidInputError(NoVerdict) for anything that `PodVerdict.encode` cannot have written.
    """
    try:
        if len(text.encode()) > MAX_BYTES:
            raise ValueError("too long")
        raw = json.loads(text)
        volumes = raw["volumes"]
        if len(volumes) > MAX_VOLUMES:
            raise ValueError("too many volumes")
        omitted = _omitted(raw["count"], len(volumes))
        if omitted and len(text.encode()) < MAX_BYTES // 2:
            raise ValueError("volumes are left out although there was room")
        return PodVerdict(
            message=str(raw["message"]),
            verdict=Verdict(raw["verdict"]),
            reason=Reason(raw["reason"]),
            mode=str(raw["mode"]),
            volumes=tuple(_volume(v) for v in volumes),
            omitted=omitted,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInputError(Reason.NO_VERDICT, f"not a verdict: {error}") from error


def decode_cut(text: str) -> PodVerdict:
    """Parse what the kubelet left of a termination message that it cut at the end.

    All messages of a pod share 12 KiB (kubelet's MaxPodTerminationMessageLogLength), so in a pod of many containers
    less than `MAX_BYTES` is kept. The verdict stands first; volumes that were cut away are missing from the result.
    Raises InvalidInputError(NoVerdict) unless verdict, reason and mode are there in full.
    """
    try:
        head = _HEAD.match(text)
        if head is None:
            raise ValueError("its head is missing")
        message, verdict, reason, mode, count = head.groups()
        volumes = tuple(_whole_volumes(text, head.end()))
        return PodVerdict(
            message=json.loads(message),
            verdict=Verdict(verdict),
            reason=Reason(reason),
            mode=mode,
            volumes=volumes,
            omitted=_omitted(int(count), len(volumes)),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInputError(Reason.NO_VERDICT, f"not the start of a verdict: {error}") from error


def _omitted(count: int, listed: int) -> int:
    if count < listed:
        raise ValueError("more volumes than it counts")
    return count - listed


def _whole_volumes(text: str, at: int) -> Iterator[VolumeVerdict]:
    decoder = json.JSONDecoder()
    for _ in range(MAX_VOLUMES):
        try:
            raw, at = decoder.raw_decode(text, at)
        except ValueError:
            return
        yield _volume(raw)
        at += 1


def _volume(raw: dict[str, Any]) -> VolumeVerdict:
    return VolumeVerdict(
        volume=str(raw["volume"]),
        verdict=Verdict(raw["verdict"]),
        reason=Reason(raw["reason"]),
        dataset=str(raw["dataset"]),
        version=str(raw["version"]),
        assurance=Assurance(raw["assurance"]),
        expected=str(raw["expected"]),
        observed=str(raw["observed"]),
        files=int(raw["files"]),
        bytes=int(raw["bytes"]),
        seconds=float(raw["seconds"]),
        changed=tuple(str(name) for name in raw["changed"]),
        more=int(raw["more"]),
    )


def _dump(verdict: PodVerdict) -> bytes:
    head = asdict(verdict)
    volumes, omitted = head.pop("volumes"), head.pop("omitted")
    whole = {**head, "count": len(volumes) + omitted, "volumes": volumes}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")


def _shortened(verdict: PodVerdict) -> PodVerdict:
    longest = max(range(len(verdict.volumes)), key=lambda i: len(verdict.volumes[i].changed), default=None)
    if longest is not None and verdict.volumes[longest].changed:
        volume = verdict.volumes[longest]
        shorter = replace(volume, changed=volume.changed[:-1], more=volume.more + 1)
        return replace(verdict, volumes=(*verdict.volumes[:longest], shorter, *verdict.volumes[longest + 1 :]))
    if len(verdict.message) > 200:
        return replace(verdict, message=verdict.message[:197] + "...")
    return replace(verdict, volumes=verdict.volumes[:-1], omitted=verdict.omitted + 1)
