"""The rules on the volumes of a protected pod: what each of them may be, and who must vouch for it.

Like those of `rules`, each answers an attack.
"""

from __future__ import annotations

from collections.abc import Callable

from lineward.domain.dataset import ClaimVolume, NfsVolume
from lineward.domain.policy import Mode
from lineward.domain.reasons import Reason
from lineward.domain.rules import Case, Group, Objection, is_block, is_written
from lineward.domain.volumes import Kind, Volume

VolumeRule = Callable[[Case, Volume], Objection | None]
GroupRule = Callable[[Case, Group], Objection | None]


def _known_type(_: Case, volume: Volume) -> Objection | None:
    if volume.kind is Kind.UNKNOWN:
        return Reason.UNKNOWN_VOLUME_TYPE, f"its source ({volume.source or 'none'}) is not one known type"
    return None


def _supported_type(_: Case, volume: Volume) -> Objection | None:
    if volume.kind is Kind.UNSUPPORTED:
        return Reason.VOLUME_NOT_SUPPORTED, f"nobody can vouch for a volume of type {volume.source}"
    return None


def _listed_host_path(case: Case, volume: Volume) -> Objection | None:
    if volume.kind is not Kind.HOST_PATH:
        return None
    if case.policies and all(volume.host_path in policy.volumes.host_paths for policy in case.policies):
        return None
    return Reason.HOST_PATH, f"hostPath {volume.host_path[:100]} is not listed by the policy"


VOLUME_RULES: tuple[VolumeRule, ...] = (_known_type, _supported_type, _listed_host_path)


def _listed_nfs(case: Case, group: Group) -> Objection | None:
    """A DatasetVersion's volumes are unsigned: its author could name a server of their own, which serves the signed
    bytes to the verifier and others to the trainer.
    """
    if not isinstance(group.identity, NfsVolume):
        return None
    for policy in case.policies:
        if group.identity not in policy.volumes.nfs:
            return Reason.NFS_NOT_ALLOWED, f"policy {policy.name} does not list this server and path"
    return None


def _file_system(case: Case, group: Group) -> Objection | None:
    if is_block(case, group):
        return Reason.BLOCK_DEVICE, "it is a raw block device, which has no files to verify"
    return None


def _whole_volume(case: Case, group: Group) -> Objection | None:
    if case.usage.parted & group.names:
        return Reason.SUBPATH_NOT_SUPPORTED, "a part of it is mounted, by subPath or subPathExpr"
    return None


def _agreed_output(case: Case, group: Group) -> Objection | None:
    listing = [p.name for p in case.policies if ClaimVolume(group.claim) in p.volumes.outputs]
    if group.claim and listing and len(listing) < len(case.policies) and is_written(case.usage, group.volumes):
        return Reason.OUTPUT_NOT_ALLOWED, f"policy {listing[0]} lists it as output, but not all that match this pod"
    return None


def _no_other_writer(case: Case, group: Group) -> Objection | None:
    for writer in case.world.writers.get(group.claim, ()):
        if case.mode is Mode.ENFORCE or not writer.audited:
            return Reason.DATA_WRITABLE, f"pod {writer.pod} mounts it writable, and could change it after the check"
    return None


def _vouched(case: Case, group: Group) -> Objection | None:
    choice = case.choices.get(group.identity)
    return choice.objection if choice else None


DATA_RULES: tuple[GroupRule, ...] = (
    _listed_nfs,
    _file_system,
    _whole_volume,
    _agreed_output,
    _no_other_writer,
    _vouched,
)


def _no_dataset(case: Case, group: Group) -> Objection | None:
    if datasets := case.world.datasets.get(group.identity):
        return Reason.DATA_WRITABLE, f"it is mounted writable, but holds DatasetVersion {datasets[0].name}"
    return None


OUTPUT_RULES: tuple[GroupRule, ...] = (_file_system, _no_dataset)
