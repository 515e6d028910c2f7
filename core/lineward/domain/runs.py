"""A TrainingRun's status, built from what is known of its pods and its workload.

The status is a view: the ledger holds the truth, and pods are where it comes from. It only ever grows by pods, so it
outlives them, and it is the same however often it is built from the same facts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lineward.domain import messages, podentry
from lineward.domain.conditions import Condition, Status, Type
from lineward.domain.errors import InvalidInputError
from lineward.domain.plan import Plan, Refusal
from lineward.domain.podstatus import Owner, PodRecord
from lineward.domain.reasons import Reason
from lineward.domain.verdict import Verdict

MAX_PODS = 1000
"""Pods listed in a status: about 600 bytes each, of the 1.5 MiB that etcd takes (etcd --max-request-bytes)."""
MAX_WOULD_DENY = 64
UNKNOWN_VERSION = "unknown"
"""API version of a workload that nobody can read any more; no server has it."""
MODES = ("audit", "warn", "enforce")
"""Laxest first."""

Json = dict[str, Any]


class Phase(StrEnum):
    """Where a run stands."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self in {Phase.SUCCEEDED, Phase.FAILED}


class WorkloadState(StrEnum):
    """What the owner of the pods says of itself; `GONE` also where it cannot be read."""

    ALIVE = "Alive"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    GONE = "Gone"


@dataclass(frozen=True, slots=True)
class RunFacts:
    """All that a run's status is made of."""

    workload: Owner
    state: WorkloadState
    pods: tuple[PodRecord, ...]
    would_deny: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be said of a run; `verdict` is None while it is open."""

    phase: Phase
    verdict: Verdict | None
    reason: Reason
    message: str
    agreement: bool


_ENDS = {
    "Complete": WorkloadState.SUCCEEDED,
    "Completed": WorkloadState.SUCCEEDED,
    "Succeeded": WorkloadState.SUCCEEDED,
    "SUCCEEDED": WorkloadState.SUCCEEDED,
    "Failed": WorkloadState.FAILED,
    "FAILED": WorkloadState.FAILED,
    "Error": WorkloadState.FAILED,
}
"""Words that batch/v1 Job, JobSet, Kubeflow's TrainJob and PyTorchJob, RayJob and Argo Workflows use for their ends."""


def workload_state(obj: Mapping[str, Any] | None) -> WorkloadState:
    """Read from any workload whether it has ended, by its conditions, else by `phase` or `jobStatus`."""
    if obj is None:
        return WorkloadState.GONE
    status = obj.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("status") == "True" and condition.get("type") in _ENDS:
            return _ENDS[condition["type"]]
    return _ENDS.get(str(status.get("phase") or status.get("jobStatus") or ""), WorkloadState.ALIVE)


def judge(facts: RunFacts) -> Judgement:
    """Say where the run stands and what is known of its data.

    A pod that verify stopped never trained: once another pod of the run has started, the verdict is that of the pods
    that did. Under audit and warn every pod starts, so every pod counts.
    """
    phase = _phase(facts)
    started = [pod for pod in facts.pods if pod.started]
    counted = started or list(facts.pods)
    stopped = len(facts.pods) - len(started) if started else 0
    worst = _worst(counted)
    agreement = agree(started)
    if worst is not None and worst.verdict is not Verdict.VERIFIED:
        return Judgement(phase, worst.verdict, worst.reason, messages.of_pod(worst.name, worst.message), agreement)
    if not agreement:
        return Judgement(phase, Verdict.UNKNOWN, Reason.RANKS_DISAGREE, "pods read different roots", agreement)
    if any(pod.verdict is None for pod in counted) or not counted:
        waiting = "no verdict yet"
        open_ = not phase.ended
        verdict = None if open_ else Verdict.UNKNOWN
        return Judgement(phase, verdict, Reason.NO_VERDICT, waiting if open_ else "the run ended without", agreement)
    return Judgement(phase, Verdict.VERIFIED, Reason.VERIFIED, _verified_message(counted, stopped), agreement)


def agree(pods: Iterable[PodRecord]) -> bool:
    """Whether all pods that read a data volume of one name saw the same root in it."""
    roots: dict[str, str] = {}
    return all(
        roots.setdefault(volume.volume, volume.observed) == volume.observed
        for pod in pods
        for volume in pod.volumes
        if volume.observed
    )


def conditions(judgement: Judgement, pods: int) -> tuple[Condition, ...]:
    """Conditions that follow from a judgement."""
    status = {Verdict.VERIFIED: Status.TRUE, Verdict.REFUSED: Status.FALSE}.get(
        judgement.verdict or Verdict.UNKNOWN, Status.UNKNOWN
    )
    agreement = (
        Condition(Type.AGREEMENT, Status.TRUE, message=f"{pods} pod{'' if pods == 1 else 's'}")
        if judgement.agreement
        else Condition(Type.AGREEMENT, Status.FALSE, Reason.RANKS_DISAGREE, "pods read different roots")
    )
    complete = Condition(Type.COMPLETE, Status.TRUE if judgement.phase.ended else Status.FALSE, judgement.phase.value)
    return (Condition(Type.VERIFIED, status, judgement.reason, judgement.message), agreement, complete)


def status(facts: RunFacts, judgement: Judgement) -> Json:
    """The status but for conditions and observedGeneration; empty fields are left out."""
    pods = sorted(facts.pods, key=lambda pod: (pod.verdict is Verdict.VERIFIED, pod.started_at, pod.name))
    modes = [pod.mode for pod in facts.pods if pod.mode in MODES]
    built: Json = {
        "phase": judgement.phase.value,
        "verdict": judgement.verdict.value if judgement.verdict else "",
        "reason": judgement.reason.value,
        "message": judgement.message,
        "mode": max(modes, key=MODES.index, default=""),
        "workload": reference(facts.workload),
        "pods": [podentry.encode(pod) for pod in pods[:MAX_PODS]],
        "podsOmitted": max(0, len(pods) - MAX_PODS),
        "wouldDeny": [_refusal(refusal) for refusal in facts.would_deny],
        "startedAt": min((pod.started_at for pod in facts.pods if pod.started_at), default=""),
        "finishedAt": _finished(facts) if judgement.phase.ended else "",
    }
    return {name: value for name, value in built.items() if value not in ("", [], 0)}


def would_deny(previous: Iterable[Refusal], pod: PodRecord, plan: Plan) -> tuple[Refusal, ...]:
    """Add to `previous` what enforce would have done to a pod: the admission's refusals, and those of its bytes.

    An enforced pod has refusals too where policies in audit or warn match it beside the enforcing ones.
    """
    found = [*previous, *(refusal for refusal in plan.refusals if refusal not in plan.exceptions)]
    if plan.mode != "enforce":
        planned = {refusal.volume for refusal in plan.refusals}
        found += [
            Refusal(volume.reason, pod.message, volume.volume)
            for volume in pod.volumes
            if volume.verdict is Verdict.REFUSED and volume.volume not in planned
        ]
        if pod.verdict is Verdict.UNKNOWN:
            found.append(Refusal(pod.reason, pod.message))
    return tuple(dict.fromkeys(found))[:MAX_WOULD_DENY]


def known(raw: Mapping[str, Any]) -> tuple[tuple[PodRecord, ...], tuple[Refusal, ...]]:
    """Read pods and refusals back from a status; what cannot be read is left out, as pods can be observed again."""
    pods = []
    for entry in raw.get("pods") or ():
        try:
            pods.append(podentry.decode(entry))
        except InvalidInputError:
            continue
    refusals = [
        Refusal(Reason(entry["reason"]), str(entry.get("message", "")), str(entry.get("volume", "")))
        for entry in raw.get("wouldDeny") or ()
        if entry.get("reason") in set(Reason)
    ]
    return tuple(pods), tuple(refusals)


def reference(workload: Owner) -> Json:
    """A workload as `spec.workloadRef` and `status.workload` have it."""
    built = {
        "apiVersion": workload.api_version or UNKNOWN_VERSION,
        "kind": workload.kind,
        "name": workload.name,
        "uid": workload.uid,
    }
    return {name: value for name, value in built.items() if value}


def workload(run: Mapping[str, Any]) -> Owner | None:
    """The workload that a TrainingRun object is about; None while a user's reference has met no workload yet.

    Status wins over spec: it binds a reference by name to the first workload that had the name.
    """
    bound = (run.get("status") or {}).get("workload") or {}
    found = bound if bound.get("uid") else (run.get("spec") or {}).get("workloadRef") or {}
    if not found.get("uid"):
        return None
    return Owner(str(found["kind"]), str(found["name"]), str(found["uid"]), str(found.get("apiVersion", "")))


def means(run: Mapping[str, Any], workload: Owner) -> bool:
    """Whether a TrainingRun that a user brought is meant for a workload: by uid, or still unbound by kind and name."""
    ref = (run.get("spec") or {}).get("workloadRef") or {}
    bound = (run.get("status") or {}).get("workload") or {}
    uid = bound.get("uid") or ref.get("uid")
    if uid:
        return bool(uid == workload.uid)
    groups = {str(version).rpartition("/")[0] for version in (ref.get("apiVersion"), workload.api_version) if version}
    return len(groups) < 2 and (ref.get("kind"), ref.get("name")) == (workload.kind, workload.name)


def name_for(workload: Owner, *, full: bool = False) -> str:
    """Name of the TrainingRun made for a workload: its name and the start of its uid, a DNS label of at most 63."""
    suffix = workload.uid if full else workload.uid[:8]
    suffix = "".join(c if c.isalnum() else "-" for c in suffix.lower()).strip("-")
    if not suffix:
        suffix = hashlib.sha256(workload.name.encode()).hexdigest()[:8]
    stem = workload.name[: 62 - len(suffix)].rstrip("-.")
    return f"{stem}-{suffix}" if stem else suffix


def _phase(facts: RunFacts) -> Phase:
    if facts.state in {WorkloadState.SUCCEEDED, WorkloadState.FAILED}:
        return Phase(facts.state.value)
    phases = {pod.phase for pod in facts.pods}
    if facts.workload.kind == "Pod" and len(phases) == 1 and phases <= {"Succeeded", "Failed"}:
        return Phase(phases.pop())
    if "Running" in phases:
        return Phase.RUNNING
    alive = any(not pod.ended for pod in facts.pods)
    if alive or facts.state is WorkloadState.ALIVE or not phases:
        return Phase.RUNNING if any(pod.started for pod in facts.pods) else Phase.PENDING
    return Phase.FAILED if "Failed" in phases else Phase.SUCCEEDED


def _worst(pods: Sequence[PodRecord]) -> PodRecord | None:
    order = (Verdict.REFUSED, Verdict.UNKNOWN, Verdict.VERIFIED)
    judged = [pod for pod in pods if pod.verdict is not None]
    return min(judged, key=lambda pod: (order.index(pod.verdict or Verdict.VERIFIED), pod.name), default=None)


def _verified_message(pods: Sequence[PodRecord], stopped: int) -> str:
    read = sorted({f"{v.dataset} {v.version}" for pod in pods for v in pod.volumes if v.dataset})
    head = f"{len(pods)} pod{'s' if len(pods) > 1 else ''} read "
    return messages.framed(head, ", ".join(read) or "no data", f"; {stopped} stopped before" if stopped else "")


def _finished(facts: RunFacts) -> str:
    return max((pod.finished_at for pod in facts.pods), default="")


def _refusal(refusal: Refusal) -> Json:
    entry = {"reason": refusal.reason.value, "message": refusal.message, "volume": refusal.volume}
    return {name: value for name, value in entry.items() if value}
