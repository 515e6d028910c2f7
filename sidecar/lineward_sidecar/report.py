"""Where verify leaves its verdict: the termination message, passed on by the kubelet alone, and a file for the sidecar.

The termination message is written once before any byte is read, saying that verification did not finish: a process that
is killed or runs out of memory still leaves a verdict, and never a good one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lineward.domain.plan import Plan, PlannedVolume
from lineward.domain.reasons import Reason
from lineward.domain.verdict import EXIT_DIFFERS, EXIT_UNKNOWN, PodVerdict, Verdict, VolumeVerdict
from lineward_sidecar.checks import Finding

ENFORCE = "enforce"


def conclude(plan: Plan, found: Sequence[Finding]) -> PodVerdict:
    """Return the verdict on the pod: the worst of its volumes', `Verified` only if all are; its message leads."""
    verdicts = tuple(verdict for verdict, _ in found)
    seen = {verdict.volume for verdict in verdicts}
    verdicts += tuple(_unseen(volume, Reason.NO_VERDICT) for volume in plan.volumes if volume.volume not in seen)
    for worst in (Verdict.REFUSED, Verdict.UNKNOWN):
        bad = [(verdict, message) for verdict, message in found if verdict.verdict is worst]
        if bad:
            message = bad[0][1] + (f"; and {len(bad) - 1} more" if len(bad) > 1 else "")
            return PodVerdict(message, worst, bad[0][0].reason, plan.mode, verdicts)
    if any(verdict.verdict is not Verdict.VERIFIED for verdict in verdicts):
        return unfinished(plan, "verification ended before it had seen every volume", Reason.VERIFY_CRASHED)
    if plan.exceptions:
        return _excepted(plan, verdicts)
    message = "; ".join(message for _, message in found) or "no data volume; the outputs are empty"
    return PodVerdict(message, Verdict.VERIFIED, Reason.VERIFIED, plan.mode, verdicts)


def _excepted(plan: Plan, verdicts: tuple[VolumeVerdict, ...]) -> PodVerdict:
    """The verdict where all that was to be verified was, but an exception let more through: trained, not verified."""
    unvouched = tuple(VolumeVerdict(each.volume, Verdict.UNKNOWN, each.reason) for each in plan.exceptions)
    message = f"volume {plan.exceptions[0].volume}: {plan.exceptions[0].message}"
    return PodVerdict(message, Verdict.UNKNOWN, Reason.EXCEPTED, plan.mode, verdicts + unvouched)


def unfinished(plan: Plan | None, message: str, reason: Reason) -> PodVerdict:
    """Return the verdict of a verification that did not come to its end; without a plan, the mode counts as enforce."""
    volumes = plan.volumes if plan else ()
    return PodVerdict(
        message,
        Verdict.UNKNOWN,
        reason,
        plan.mode if plan else ENFORCE,
        tuple(_unseen(volume, reason) for volume in volumes),
    )


def _unseen(volume: PlannedVolume, reason: Reason) -> VolumeVerdict:
    return VolumeVerdict(volume.volume, Verdict.UNKNOWN, reason, volume.dataset, volume.version, expected=volume.root)


def exit_code(verdict: PodVerdict) -> int:
    """Return 0 for Verified, 86 for Refused, 87 for Unknown; 0 under audit and warn and where an exception says so."""
    if verdict.mode in {"audit", "warn"} or verdict.reason is Reason.EXCEPTED:
        return 0
    return {Verdict.VERIFIED: 0, Verdict.REFUSED: EXIT_DIFFERS, Verdict.UNKNOWN: EXIT_UNKNOWN}[verdict.verdict]


def write_in_place(path: Path, text: str) -> None:
    """Replace a file's content without ever leaving it empty; raises OSError.

    The kubelet mounts the termination log as one file, so it cannot be renamed over.
    """
    data = text.encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.pwrite(descriptor, data, 0)
        os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)


def write_file(path: Path, text: str) -> None:
    """Write a file whole or not at all; raises OSError."""
    draft = path.with_name(path.name + ".part")
    draft.write_text(text)
    draft.chmod(0o644)
    draft.replace(path)
