"""The rules of a protected pod: small functions with at most one objection each, in lists that read as the policy does.

Those on single volumes are in `volume_rules`. Every rule answers an attack that was carried out on a real cluster, or
that would have been the next one. The rules see the pod without Lineward's own containers, so they speak of what its
author wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lineward.domain import mountpaths
from lineward.domain.dataset import VolumeIdentity
from lineward.domain.matching import DATASETS_ANNOTATION, Choice, chosen_names
from lineward.domain.podspec import OUR_PREFIX, Pod, Usage, usage
from lineward.domain.policy import Mode, Policy
from lineward.domain.reasons import Reason
from lineward.domain.verdict import MAX_VOLUMES
from lineward.domain.volumes import Volume
from lineward.domain.world import BrokenPolicy, World

OUR_DOMAIN = "lineward.dev"
DANGEROUS = frozenset(
    {"ALL", "BPF", "DAC_READ_SEARCH", "PERFMON", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO"}
)
"""Capabilities that reach around a read-only mount or into another container (capabilities(7)); DAC_READ_SEARCH by
open_by_handle_at(2)."""

Objection = tuple[Reason, str]


@dataclass(frozen=True, slots=True)
class Group:
    """All volumes of a pod that are one thing: a claim has one role, however many volume names it has."""

    identity: VolumeIdentity
    volumes: tuple[Volume, ...]

    @property
    def name(self) -> str:
        """The first volume's name stands for the group."""
        return self.volumes[0].name

    @property
    def names(self) -> frozenset[str]:
        """Names of all its volumes."""
        return frozenset(volume.name for volume in self.volumes)

    @property
    def claim(self) -> str:
        """Name of the claim, empty for other volumes."""
        return self.volumes[0].claim


@dataclass(frozen=True, slots=True)
class Case:
    """A pod before the policies of one mode. `data` and `outputs` are its volumes by the role these policies give."""

    pod: Pod
    usage: Usage
    world: World
    mode: Mode
    policies: tuple[Policy, ...]
    broken: tuple[BrokenPolicy, ...]
    audience: str
    """The token audience of the ledger, which only Lineward's containers may hold."""
    data: tuple[Group, ...]
    outputs: tuple[Group, ...]
    choices: Mapping[VolumeIdentity, Choice]


PodRule = Callable[[Case], Objection | None]


def _policies_readable(case: Case) -> Objection | None:
    for policy in case.broken:
        return Reason.POLICY_INVALID, f"ProvenancePolicy {policy.name} cannot be read: {policy.message[:150]}"
    return None


def _recalls_readable(case: Case) -> Objection | None:
    for message in case.world.broken_recalls:
        return Reason.POLICY_INVALID, f"a DatasetRecall cannot be read, so nothing is certain: {message[:150]}"
    return None


def _known_containers(case: Case) -> Objection | None:
    if case.pod.unknown_lists:
        names = ", ".join(case.pod.unknown_lists)[:100]
        return Reason.POD_NOT_SUPPORTED, f"spec.{names} is newer than this version of Lineward"
    return None


def _linux(case: Case) -> Objection | None:
    return (Reason.POD_NOT_SUPPORTED, "the verifier runs on Linux nodes only") if case.pod.windows else None


def _known_metadata(case: Case) -> Objection | None:
    for kind, pairs in (("annotation", case.pod.annotations), ("label", case.pod.labels)):
        for key in pairs:
            if is_ours(key) and (kind, key) != ("annotation", DATASETS_ANNOTATION):
                return Reason.UNKNOWN_ANNOTATION, f"{kind} {key[:100]} means nothing to Lineward"
    return None


def _readable_choice(case: Case) -> Objection | None:
    names = chosen_names(case.pod.annotations.get(DATASETS_ANNOTATION, ""))
    if names is None:
        return Reason.UNKNOWN_ANNOTATION, f"annotation {DATASETS_ANNOTATION} is not VOLUME=NAME,..."
    data = {name for group in case.data for name in group.names}
    if strange := sorted(names.keys() - data):
        return Reason.UNKNOWN_ANNOTATION, f"annotation {DATASETS_ANNOTATION} names {strange[0][:63]}, no data volume"
    return None


def _few_volumes(case: Case) -> Objection | None:
    if len(case.data) + len(case.outputs) > MAX_VOLUMES:
        return Reason.VOLUME_NOT_SUPPORTED, f"it mounts more than {MAX_VOLUMES} volumes of data"
    return None


def _reserved_names(case: Case) -> Objection | None:
    return reserved_names(case.pod)


def _reserved_audience(case: Case) -> Objection | None:
    for volume in case.pod.volumes:
        if case.audience in volume.audiences:
            return Reason.AUDIENCE_RESERVED, f"volume {volume.name} holds a token for audience {case.audience}"
    return None


def _no_privileged(case: Case) -> Objection | None:
    names = [c.name for c in case.pod.containers if c.privileged]
    return (Reason.PRIVILEGED, f"container {names[0]} is privileged") if names else None


def _no_dangerous_capability(case: Case) -> Objection | None:
    for container in case.pod.containers:
        if found := sorted(container.capabilities & DANGEROUS):
            return Reason.PRIVILEGED, f"container {container.name} adds {', '.join(found)}"
    return None


def _no_unmasked_proc(case: Case) -> Objection | None:
    names = [c.name for c in case.pod.containers if c.proc_mount == "Unmasked"]
    return (Reason.PRIVILEGED, f"container {names[0]} asks for procMount Unmasked") if names else None


def _no_bidirectional_mount(case: Case) -> Objection | None:
    for container in case.pod.containers:
        if any(mount.propagation == "Bidirectional" for mount in container.mounts):
            return Reason.PRIVILEGED, f"container {container.name} propagates mounts to the node"
    return None


def _no_host_pid(case: Case) -> Objection | None:
    return (Reason.PRIVILEGED, "hostPID reaches the verifier's processes") if case.pod.host_pid else None


def _no_shared_processes(case: Case) -> Objection | None:
    shared = case.pod.share_process_namespace
    return (Reason.PRIVILEGED, "shareProcessNamespace reaches the verifier's processes") if shared else None


def _nothing_over_data(case: Case) -> Objection | None:
    data = {name for group in case.data for name in group.names}
    for container in case.pod.containers:
        if clash := mountpaths.overlap(container, data):
            first, second = (path[:80] for path in clash)
            return Reason.MOUNT_OVERLAP, f"container {container.name}: {first} and {second} overlap, one holds data"
    return None


POD_RULES: tuple[PodRule, ...] = (
    _policies_readable,
    _recalls_readable,
    _known_containers,
    _linux,
    _known_metadata,
    _readable_choice,
    _few_volumes,
    _reserved_names,
    _reserved_audience,
    _no_privileged,
    _no_dangerous_capability,
    _no_unmasked_proc,
    _no_bidirectional_mount,
    _no_host_pid,
    _no_shared_processes,
    _nothing_over_data,
)


def is_ours(key: str) -> bool:
    """Tell whether a label or annotation is under Lineward's domain."""
    domain = key.partition("/")[0].lower() if "/" in key else ""
    return domain == OUR_DOMAIN or domain.endswith(f".{OUR_DOMAIN}")


def reserved_names(pod: Pod) -> Objection | None:
    """Object to containers, volumes and mounts that only injection may make."""
    for kind, names in (
        ("container", [c.name for c in pod.containers]),
        ("volume", [v.name for v in pod.volumes]),
        ("a mount of volume", [m.volume for c in pod.containers for m in c.mounts]),
    ):
        for name in names:
            if name.startswith(OUR_PREFIX):
                return Reason.RESERVED_NAME, f"{kind} {name} uses a reserved name"
    return None


def is_written(usage: Usage, volumes: Sequence[Volume]) -> bool:
    """Tell whether any container can write to any of these volumes, or uses one as a block device."""
    return any(not volume.read_only and volume.name in usage.written for volume in volumes)


def written_claims(pod: Pod) -> tuple[Volume, ...]:
    """The pod's claim volumes that any of its containers can write to."""
    used = usage(pod)
    return tuple(volume for volume in pod.volumes if volume.claim and is_written(used, [volume]))


def is_block(case: Case, group: Group) -> bool:
    """Tell whether a group is a raw block device."""
    return group.claim in case.world.block_claims or bool(case.usage.devices & group.names)
