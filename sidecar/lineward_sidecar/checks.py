"""What verify looks at: each output must be empty, each data volume must have its signed root.

Nothing here raises for what a volume holds; whatever is wrong with it becomes its verdict.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from lineward.adapters.files import Comparison, Outcome, verify_tree
from lineward.adapters.files_lost import LOST_AND_FOUND, shows_nothing
from lineward.adapters.files_progress import Progress
from lineward.domain.changes import ChangeKind
from lineward.domain.digest import Digest
from lineward.domain.entry import printable
from lineward.domain.errors import LinewardError
from lineward.domain.manifest import Parameters, Profile
from lineward.domain.plan import Plan, PlannedOutput, PlannedVolume
from lineward.domain.reasons import Reason
from lineward.domain.verdict import Verdict, VolumeVerdict
from lineward_sidecar import manifests

MAX_NAMES = 10
"""Differing names to report; the 4096 bytes of a termination message hold about so many."""
MAX_NAME_TEXT = 120

Finding = tuple[VolumeVerdict, str]
"""A verdict and the one line that tells a person about it."""

_VERDICTS = {Outcome.EQUAL: Verdict.VERIFIED, Outcome.DIFFERS: Verdict.REFUSED, Outcome.UNKNOWN: Verdict.UNKNOWN}


def findings(plan: Plan, progress: Callable[[str, Progress], None]) -> Iterator[Finding]:
    """Check outputs, then volumes, in the plan's order; only outputs that are not empty are reported."""
    for output in plan.outputs:
        if found := check_output(output):
            yield found
    for volume in plan.volumes:
        yield check_volume(plan, volume, progress)


def check_output(output: PlannedOutput) -> Finding | None:
    """Return None if the output's folder is empty; lost+found may stand there if it shows nothing."""
    where = f"output volume {output.volume} (claim {output.claim})"
    try:
        names = _content(output.path)
    except OSError as error:
        verdict = VolumeVerdict(output.volume, Verdict.UNKNOWN, Reason.UNREADABLE)
        return verdict, f"{where} cannot be read: {error.strerror}"
    if not names:
        return None
    changed = tuple(f"added {name}" for name in names)
    verdict = VolumeVerdict(output.volume, Verdict.REFUSED, Reason.OUTPUT_NOT_EMPTY, changed=changed)
    return verdict, f"{where} is not empty: it holds {names[0]}"


def _content(path: str) -> list[str]:
    """First names of a folder, sorted, for people; raises OSError."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        names: list[str] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if not (entry.name == LOST_AND_FOUND and shows_nothing(entry.name, folder)):
                    names.append(_clipped(printable(os.fsencode(entry.name))))
                if len(names) == MAX_NAMES:
                    break
        return sorted(names)
    finally:
        os.close(folder)


def check_volume(plan: Plan, volume: PlannedVolume, progress: Callable[[str, Progress], None]) -> Finding:
    """Hash a volume and compare it with the root that the plan carries; without a root there is nothing to compare."""
    if not volume.root:
        return _unvouched(plan, volume)
    try:
        root = Digest.parse(volume.root)
        parameters = Parameters(Profile(volume.profile), volume.chunk_bytes)
        with manifests.opened(volume) as manifest:
            found = verify_tree(
                volume.path,
                root,
                parameters,
                manifest=manifest,
                manifest_digest=Digest.parse(volume.manifest_digest) if manifest else None,
                max_names=MAX_NAMES,
                progress=lambda state: progress(volume.volume, state),
            )
    except (LinewardError, ValueError, OSError) as error:
        reason = error.reason if isinstance(error, LinewardError) else Reason.UNREADABLE
        verdict = VolumeVerdict(
            volume.volume, Verdict.UNKNOWN, reason, volume.dataset, volume.version, expected=volume.root
        )
        return verdict, f"{error} (volume {volume.volume})"
    return _verdict(volume, found), _sentence(volume, found)


def _unvouched(plan: Plan, volume: PlannedVolume) -> Finding:
    planned = next((each for each in plan.refusals if each.volume == volume.volume), None)
    reason = planned.reason if planned else Reason.UNVOUCHED
    message = planned.message if planned else f"nobody vouches for volume {volume.volume}"
    return VolumeVerdict(volume.volume, Verdict.REFUSED, reason, volume.dataset, volume.version), message


def _verdict(volume: PlannedVolume, found: Comparison) -> VolumeVerdict:
    return VolumeVerdict(
        volume=volume.volume,
        verdict=_VERDICTS[found.outcome],
        reason=found.reason,
        dataset=volume.dataset,
        version=volume.version,
        expected=volume.root,
        observed=str(found.observed or ""),
        files=found.files,
        bytes=found.bytes,
        seconds=round(found.seconds, 3),
        changed=tuple(_clipped(str(change)) for change in found.changes),
        more=max(0, sum(found.counts.values()) - len(found.changes)),
    )


def _sentence(volume: PlannedVolume, found: Comparison) -> str:
    signed = f"{volume.dataset} {volume.version} (volume {volume.volume})"
    if found.outcome is Outcome.EQUAL:
        return f"{_files(found.files)}, {found.bytes} bytes: equal to {signed}"
    if found.outcome is Outcome.UNKNOWN:
        return f"{found.message}; cannot tell whether this is {signed}"
    if not found.changes:
        detail = f"; {found.note}" if found.note else ""
        return f"{found.message}, which is not {signed}{detail}"
    first = found.changes[0]
    differing = sum(found.counts.values())
    total = found.files + found.counts.get(ChangeKind.REMOVED, 0)
    name = _clipped(printable(first.path))
    return (
        f"{name} {first.kind}; {differing} of {_files(total)} {'differs' if differing == 1 else 'differ'} from {signed}"
    )


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"


def _clipped(text: str) -> str:
    return text if len(text) <= MAX_NAME_TEXT else f"{text[: MAX_NAME_TEXT - 3]}..."
