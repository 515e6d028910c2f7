"""Which claims and NFS exports a pod uses: the few facts about every pod that a judgement on another pod needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lineward.domain import podspec
from lineward.domain.dataset import ClaimVolume, NfsVolume
from lineward.domain.policy import Mode
from lineward.domain.rules import is_written
from lineward.domain.update import promised

Place = ClaimVolume | NfsVolume
"""Where pods can meet: a claim of their namespace, or an export that they mount without a claim."""


@dataclass(frozen=True, slots=True)
class ClaimUse:
    """Places that a pod can write, and places that it was admitted with as data, each with its volume's name."""

    written: tuple[Place, ...] = ()
    data: tuple[tuple[str, Place], ...] = ()
    enforced: bool = False

    @property
    def writes(self) -> tuple[str, ...]:
        """Names of claims that the pod can write, sorted."""
        return _claims(self.written)

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of claims that it was admitted with as data, sorted."""
        return _claims(place for _, place in self.data)

    def audits(self, place: Place) -> bool:
        """Whether it reads the place under audit or warn: under enforce its mounts would have been made read-only."""
        return not self.enforced and any(place == read for _, read in self.data)


def read(raw: Mapping[str, Any]) -> ClaimUse:
    """Read what counts of a pod. One that cannot be read writes to all its places."""
    try:
        pod = podspec.parse(raw)
        plan = promised(raw)
    except Exception:  # noqa: BLE001 - no tenant's pod may stop the watch
        return ClaimUse(written=tuple(_places(raw)))
    used = podspec.usage(pod)
    places = {volume.name: volume.identity for volume in pod.volumes if isinstance(volume.identity, Place)}
    written = {places[volume.name] for volume in pod.volumes if volume.name in places and is_written(used, [volume])}
    names = {volume.volume for volume in plan.volumes} if plan else set()
    data = {(name, place) for name, place in places.items() if name in names}
    enforced = plan is not None and plan.mode == Mode.ENFORCE.value
    return ClaimUse(tuple(sorted(written, key=str)), tuple(sorted(data, key=str)), enforced)


def _claims(places: Iterator[Place] | tuple[Place, ...]) -> tuple[str, ...]:
    return tuple(sorted({place.name for place in places if isinstance(place, ClaimVolume)}))


def _places(raw: Mapping[str, Any]) -> Iterator[Place]:
    for volume in (raw.get("spec") or {}).get("volumes") or ():
        claim, share = (
            (volume.get(source) or {} if isinstance(volume, Mapping) else {})
            for source in ("persistentVolumeClaim", "nfs")
        )
        if "claimName" in claim:
            yield ClaimVolume(str(claim["claimName"]))
        if "server" in share:
            yield NfsVolume(str(share["server"]), str(share.get("path", "/")))
