"""Judges a change to a pod that exists, old against new.

Never against today's injection: an upgrade of Lineward, or a policy edited yesterday, must not make every older pod
unchangeable. What a pod promised at its creation stands in its own spec, where nobody can edit it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from lineward.domain import conformity, podspec
from lineward.domain.injection import VERIFY
from lineward.domain.plan import Plan, PlannedVolume, Refusal
from lineward.domain.podspec import OUR_PREFIX, Container, Pod, Role
from lineward.domain.policy import Mode
from lineward.domain.reasons import Reason
from lineward.domain.rules import DANGEROUS, is_ours
from lineward.domain.volumes import Kind

_LISTS = ("initContainers", "containers", "ephemeralContainers")


def judge_update(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Refusal, ...]:
    """Object to a change that reaches Lineward's containers or the data of a protected pod.

    Also judged while a pod is being deleted: its containers still run. Raises InvalidInputError(RequestInvalid).
    """
    before, after = podspec.parse(old), podspec.parse(new)
    refusals = [*_our_containers(old, new), *_ephemeral_targets(before, after)]
    plan = promised(old)
    if plan is not None:
        refusals += _metadata(before, after)
    if plan is not None and plan.mode == Mode.ENFORCE.value:
        refusals += _ephemeral_containers(plan, before, after)
    return tuple(refusals)


def promised(pod: Mapping[str, Any]) -> Plan | None:
    """The plan that the pod was admitted with; None where nothing was injected.

    One that cannot be read, such as another version's, counts as the strictest there is: enforce, and every claim data.
    Raises InvalidInputError(RequestInvalid).
    """
    containers = pod["spec"].get("initContainers") or ()
    verify = next((c for c in containers if c.get("name") == VERIFY), None)
    return (conformity.plan_of(verify) or _strictest(podspec.parse(pod))) if verify else None


def _strictest(pod: Pod) -> Plan:
    volumes = tuple(PlannedVolume(v.name, "", v.claim) for v in pod.volumes if v.claim)
    return Plan(mode=Mode.ENFORCE.value, policies=(), volumes=volumes)


def added(old: Mapping[str, Any], new: Mapping[str, Any]) -> Pod:
    """The new pod with no containers but the ephemeral ones that the change brings.

    Raises InvalidInputError(RequestInvalid).
    """
    after = podspec.parse(new)
    return replace(after, containers=tuple(_added(podspec.parse(old), after)))


def _our_containers(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Refusal]:
    for name in _LISTS:
        if _ours(old, name) != _ours(new, name):
            yield Refusal(Reason.CONTAINER_CHANGED, f"a lineward-* container of spec.{name} was added or changed")


def _ours(pod: Mapping[str, Any], name: str) -> list[tuple[int, Any]]:
    """Our containers with their places: what runs first matters as much as what it is."""
    items = pod["spec"].get(name) or ()
    return [(place, item) for place, item in enumerate(items) if str(item.get("name")).startswith(OUR_PREFIX)]


def _added(before: Pod, after: Pod) -> list[Container]:
    """Ephemeral containers of the new pod that the old one has not, or has otherwise."""
    return [c for c in after.containers if c.role is Role.EPHEMERAL and c not in before.containers]


def _ephemeral_targets(before: Pod, after: Pod) -> Iterator[Refusal]:
    for container in _added(before, after):
        if container.target.startswith(OUR_PREFIX):
            what = f"ephemeral container {container.name} targets {container.target}"
            yield Refusal(Reason.CONTAINER_CHANGED, what)
        if any(mount.volume.startswith(OUR_PREFIX) for mount in container.mounts):
            yield Refusal(Reason.RESERVED_NAME, f"ephemeral container {container.name} mounts a lineward-* volume")


def _metadata(before: Pod, after: Pod) -> Iterator[Refusal]:
    for kind, old, new in (
        ("annotation", before.annotations, after.annotations),
        ("label", before.labels, after.labels),
    ):
        for key in sorted(old.keys() | new.keys()):
            if is_ours(key) and old.get(key) != new.get(key):
                yield Refusal(Reason.UNKNOWN_ANNOTATION, f"{kind} {key[:100]} cannot change after admission")


def _ephemeral_containers(plan: Plan, before: Pod, after: Pod) -> Iterator[Refusal]:
    outputs = {output.claim for output in plan.outputs}
    data = {v.name for v in after.volumes if v.kind is Kind.DATA and (not v.claim or v.claim not in outputs)}
    for container in _added(before, after):
        if container.privileged or container.capabilities & DANGEROUS or container.proc_mount == "Unmasked":
            yield Refusal(Reason.PRIVILEGED, f"ephemeral container {container.name} is privileged")
        for mount in container.mounts:
            if mount.volume in data and not (mount.read_only and not mount.sub_path):
                what = f"ephemeral container {container.name} does not mount it read-only and whole"
                yield Refusal(Reason.DATA_WRITABLE, what, mount.volume)
        if any(name in data for name, _ in container.devices):
            yield Refusal(Reason.BLOCK_DEVICE, f"ephemeral container {container.name} uses data as a block device")
