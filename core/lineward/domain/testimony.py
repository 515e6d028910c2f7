"""Whether the verdict that verify left can be believed: it must fit the exit code, the mode and the plan.

One of these alone may be right by accident or by somebody's doing; together they are what only verify leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lineward.domain import verdict as verdicts
from lineward.domain.plan import Plan, PlannedVolume
from lineward.domain.reasons import Reason
from lineward.domain.verdict import EXIT_DIFFERS, EXIT_UNKNOWN, PodVerdict, Verdict, VolumeVerdict

MESSAGE_BYTES = 12 * 1024
"""Bytes of termination messages that the kubelet keeps for one pod (MaxPodTerminationMessageLogLength)."""
EXITS = frozenset({0, EXIT_DIFFERS, EXIT_UNKNOWN})
"""Any other exit code is a crash, whatever the message says: verify writes it before it has read a byte."""

Json = Mapping[str, Any]


def read(message: str, room: int) -> PodVerdict:
    """The verdict in a termination message of which the kubelet keeps `room` bytes, also where it was cut.

    Raises InvalidInputError(NoVerdict).
    """
    cut = room < verdicts.MAX_BYTES and len(message.encode()) >= room
    return verdicts.decode_cut(message) if cut else verdicts.decode(message)


def room(spec: Json) -> int:
    """Bytes that the kubelet keeps of each message: containers of all kinds share them (status_manager.go)."""
    kinds = ("containers", "initContainers", "ephemeralContainers")
    return MESSAGE_BYTES // max(1, sum(len(spec.get(kind) or ()) for kind in kinds))


def contradiction(found: PodVerdict, code: int, plan: Plan) -> str:
    """Return in what a verdict, verify's exit code and the plan disagree; empty when they fit together."""
    excepted = found.reason is Reason.EXCEPTED and bool(plan.exceptions)
    codes = {Verdict.VERIFIED: 0, Verdict.REFUSED: EXIT_DIFFERS, Verdict.UNKNOWN: EXIT_UNKNOWN}
    expected = codes[found.verdict] if plan.mode == "enforce" and not excepted else 0
    if found.mode != plan.mode:
        return f"it was made in mode {found.mode}, the plan says {plan.mode}"
    if code != expected:
        return f"{found.verdict} with exit code {code} in mode {plan.mode}"
    if excepted and found.verdict is not Verdict.UNKNOWN:
        return f"{found.verdict} by exception"
    if plan.exceptions and found.verdict is Verdict.VERIFIED:
        return "Verified although an exception let data through"
    missing = {volume.volume for volume in plan.volumes} - {volume.volume for volume in found.volumes}
    if found.verdict is Verdict.VERIFIED and len(missing) != found.omitted:
        return f"it lists {len(found.volumes)} volumes and leaves out {found.omitted}, the plan has {len(plan.volumes)}"
    problems = (_volume_contradiction(volume, found.verdict, plan) for volume in found.volumes)
    return next((problem for problem in problems if problem), "")


def _volume_contradiction(found: VolumeVerdict, overall: Verdict, plan: Plan) -> str:
    name, verified = f"volume {found.volume}", found.verdict is Verdict.VERIFIED
    planned = next((volume for volume in plan.volumes if volume.volume == found.volume), None)
    never = {*(output.volume for output in plan.outputs), *(each.volume for each in plan.exceptions)}
    if planned is None:
        return "" if found.volume in never and not verified else f"{name} is not in the plan"
    if not verified:
        return f"{name} is {found.verdict}, the pod Verified" if overall is Verdict.VERIFIED else ""
    problem = _differs(found, planned)
    return f"{name} is Verified {problem}" if problem else ""


def _differs(found: VolumeVerdict, planned: PlannedVolume) -> str:
    if not planned.root:
        return "without a signed root"
    if found.observed != planned.root or found.expected != planned.root:
        return "with another root than the signed one"
    if (found.dataset, found.version) != (planned.dataset, planned.version):
        return "as another dataset"
    return ""


def volumes(found: PodVerdict, plan: Plan) -> tuple[VolumeVerdict, ...]:
    """Verdicts on all planned volumes, and on outputs and excepted volumes that verify objects to."""
    names = {volume.volume for volume in plan.volumes}
    others = tuple(volume for volume in found.volumes if volume.volume not in names)
    return (*(_with_plan(volume, found) for volume in plan.volumes), *others)


def _with_plan(planned: PlannedVolume, found: PodVerdict) -> VolumeVerdict:
    """The verdict on a planned volume; where the message had no room for it, the pod's own.

    `contradiction` has made sure that a Verified message counts every planned volume.
    """
    for volume in found.volumes:
        if volume.volume == planned.volume:
            return volume
    verified = found.verdict is Verdict.VERIFIED
    return VolumeVerdict(
        volume=planned.volume,
        verdict=Verdict.VERIFIED if verified else Verdict.UNKNOWN,
        reason=Reason.VERIFIED if verified else Reason.NO_VERDICT,
        dataset=planned.dataset,
        version=planned.version,
        expected=planned.root,
        observed=planned.root if verified else "",
    )
