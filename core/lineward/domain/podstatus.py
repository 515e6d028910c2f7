"""What a pod says about its own verification: the plan in its spec, the verdict in its status.

Both come from places that a tenant cannot write: arguments of an init container are fixed at admission, and the
termination message of a container is set by the kubelet. Everything else about a pod (labels, owner references after
admission, events) is the tenant's, and is not used to judge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lineward.domain import plan as plans
from lineward.domain import testimony
from lineward.domain.errors import InvalidInputError
from lineward.domain.injection import VERIFY, verify_command
from lineward.domain.plan import Plan
from lineward.domain.reasons import Reason
from lineward.domain.verdict import Verdict, VolumeVerdict

OWN_PATHS = "/lineward/"
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path; mounted into every container
OWN_ENV = "LINEWARD_"
ENDED = frozenset({"Succeeded", "Failed"})
BUILT_IN = {"Job": "batch/v1", "ReplicaSet": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1"}
"""API versions of Kubernetes' own controllers, for pods whose owner references were changed after admission."""
_PLAN_AT = verify_command("").index("")
MAX_MESSAGE = 300
"""Characters of one message for people (DESIGN section 7)."""

_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}")
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
"""An RFC 1123 subdomain, as workloads have: a TrainingRun and Events are named after them."""
_API_VERSION = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
"""Group and version; the API server takes any text with at most one slash, and this becomes part of a URL."""
_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""UIDs are UUIDs in every API server, RFC 9562 in lower case; they become run ids of OpenLineage, which must be."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Owner:
    """An object that a pod belongs to; a bare pod owns itself."""

    kind: str
    name: str
    uid: str
    api_version: str = ""
    """Empty where only the plan names the owner."""


@dataclass(frozen=True, slots=True)
class PodRecord:
    """What a TrainingRun remembers of one pod. `verdict` is None while verify has not ended."""

    name: str
    uid: str
    phase: str = "Pending"
    started: bool = False
    """Whether verify let the pod's own containers start."""
    mode: str = ""
    verdict: Verdict | None = None
    reason: Reason = Reason.NO_VERDICT
    message: str = ""
    volumes: tuple[VolumeVerdict, ...] = ()
    started_at: str = ""
    finished_at: str = ""
    """RFC 3339, from the kubelet; empty while unknown."""
    exit_code: int | None = None
    image_id: str = ""
    """Image that the kubelet says verify ran from."""
    policies: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether the pod will never run again."""
        return self.phase in ENDED


@dataclass(frozen=True, slots=True)
class ObservedPod:
    """A pod with an injected verify container, as far as the operator needs it."""

    namespace: str
    owner: Owner
    plan: Plan
    record: PodRecord
    created: str
    """RFC 3339 in UTC and whole seconds, as the API server writes it: comparable as text."""


def observe(pod: Json, *, gone: bool = False) -> ObservedPod | None:
    """Read a pod as the API server sends it; None where it has no verify container.

    `gone` says that the object was deleted: a pod that had not ended then counts as failed.
    Raises InvalidInputError(RequestInvalid) where the verify container does not run the webhook's command with a plan.
    """
    container = _named(pod["spec"].get("initContainers"), VERIFY)
    if container is None:
        return None
    plan = plans.decode(_plan_text(container))
    meta, status = pod["metadata"], pod.get("status") or {}
    verify = _named(status.get("initContainerStatuses"), VERIFY) or {}
    phase = str(status.get("phase") or "Pending")
    record = _record(pod, plan, verify, "Failed" if gone and phase not in ENDED else phase)
    return ObservedPod(
        namespace=str(meta.get("namespace", "")),
        owner=_owner(meta, plan),
        plan=plan,
        record=replace(record, finished_at=finished(pod) if record.ended else ""),
        created=str(meta.get("creationTimestamp", "")),
    )


def genuine(pod: Json, image: str, other_env: Sequence[str] = ()) -> bool:
    """Tell whether the verify container of an observed pod is built as the webhook builds it, from exactly `image`.

    For pods that the webhook never saw (created before it was there): one who writes such a container by hand must not
    get a verdict. Its command is compared by `observe`. The webhook itself compares everything.
    """
    container = _named(pod["spec"].get("initContainers"), VERIFY)
    if container is None:
        return False
    first = (pod["spec"]["initContainers"] or [{}])[0].get("name") == VERIFY
    mounts = [str(mount.get("mountPath", "")) for mount in container.get("volumeMounts") or ()]
    env = [str(entry.get("name", "")) for entry in container.get("env") or ()]
    return (
        first
        and container.get("image") == image
        and not container.get("envFrom")
        and not container.get("lifecycle")
        and container.get("terminationMessagePath", "/dev/termination-log") == "/dev/termination-log"
        and container.get("terminationMessagePolicy", "File") == "File"
        and all(path.startswith(OWN_PATHS) or path == TOKEN_PATH for path in mounts)
        and all(name.startswith(OWN_ENV) or name in other_env for name in env)
    )


def plausible(owner: Owner) -> bool:
    """Whether an owner can be a real object; the API server takes any text in a reference, and tenants write it."""
    served = not owner.api_version or _API_VERSION.fullmatch(owner.api_version)
    named = _KIND.fullmatch(owner.kind) and _NAME.fullmatch(owner.name)
    return bool(served and named and _UID.fullmatch(owner.uid))


def vanished(record: PodRecord) -> PodRecord:
    """What is left to say of a pod that was deleted while nobody watched: when it ended, nobody knows.

    A time of ours in its place would be another after a crash, and make a second entry of what was recorded.
    """
    if record.ended:
        return record
    ended = replace(record, phase="Failed", finished_at="")
    if record.verdict is not None:
        return ended
    return replace(ended, verdict=Verdict.UNKNOWN, message="the pod was deleted while nobody watched")


def finished(pod: Json) -> str:
    """When a pod that has ended did: the last end of a container that the kubelet reported."""
    status, meta = pod.get("status") or {}, pod["metadata"]
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    times = [str((_terminated(c) or {}).get("finishedAt") or "") for c in containers]
    return max(times, default="") or str(meta.get("deletionTimestamp") or meta.get("creationTimestamp") or "")


def _owner(meta: Json, plan: Plan) -> Owner:
    """The owner in the plan. Its API version is not there: one that no server can have counts as edited away."""
    named: Json = next((ref for ref in meta.get("ownerReferences") or () if ref.get("uid") == plan.owner_uid), {})
    written = str(named.get("apiVersion") or "")
    version = written if _API_VERSION.fullmatch(written) else BUILT_IN.get(plan.owner_kind, "")
    owner = Owner(plan.owner_kind, plan.owner_name, plan.owner_uid, version)
    return owner if plausible(owner) else Owner("Pod", str(meta.get("name", "")), str(meta.get("uid", "")), "v1")


def _record(pod: Json, plan: Plan, verify: Json, phase: str) -> PodRecord:
    meta = pod["metadata"]
    ended = _terminated(verify)
    base = PodRecord(
        name=str(meta.get("name", "")),
        uid=str(meta.get("uid", "")),
        phase=phase,
        started=_started(pod, verify),
        mode=plan.mode,
        started_at=str((pod.get("status") or {}).get("startTime") or meta.get("creationTimestamp") or ""),
        exit_code=int(ended["exitCode"]) if ended else None,
        image_id=str(verify.get("imageID") or "")[:1024],
        policies=plan.policies,
    )
    if ended is None:
        if phase not in ENDED:
            return base
        return _unknown(base, Reason.NO_VERDICT, f"the pod ended before {VERIFY} did", plan)
    code = int(ended["exitCode"])
    if code not in testimony.EXITS:
        return _unknown(base, Reason.VERIFY_CRASHED, _crash(ended), plan)
    try:
        found = testimony.read(str(ended.get("message") or ""), testimony.room(pod["spec"]))
    except InvalidInputError:
        return _unknown(base, Reason.NO_VERDICT, f"{_crash(ended)} and left no verdict", plan)
    problem = testimony.contradiction(found, code, plan)
    if problem:
        return _unknown(base, Reason.NO_VERDICT, f"the verdict cannot be believed: {problem}", plan)
    return replace(
        base,
        verdict=found.verdict,
        reason=found.reason,
        message=found.message[:MAX_MESSAGE],
        volumes=testimony.volumes(found, plan),
    )


def _crash(ended: Json) -> str:
    cause = ended.get("reason")
    known = {"Error", "Completed", None, ""}
    return f"{VERIFY} ended with exit code {ended['exitCode']}{'' if cause in known else f' ({cause})'}"


def _unknown(record: PodRecord, reason: Reason, message: str, plan: Plan) -> PodRecord:
    volumes = tuple(
        VolumeVerdict(v.volume, Verdict.UNKNOWN, reason, dataset=v.dataset, version=v.version, expected=v.root)
        for v in plan.volumes
    )
    return replace(record, verdict=Verdict.UNKNOWN, reason=reason, message=message[:MAX_MESSAGE], volumes=volumes)


def _started(pod: Json, verify: Json) -> bool:
    ended = _terminated(verify)
    if ended is not None and int(ended["exitCode"]) == 0:
        return True
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return any(_state(s, "running") or (_terminated(s) or {}).get("startedAt") for s in statuses)


def _terminated(status: Json) -> Json | None:
    return _state(status, "terminated") or (status.get("lastState") or {}).get("terminated")


def _state(status: Json, name: str) -> Json | None:
    found: Json | None = (status.get("state") or {}).get(name)
    return found


def _named(items: Sequence[Json] | None, name: str) -> Json | None:
    return next((item for item in items or () if item.get("name") == name), None)


def _plan_text(container: Json) -> str:
    """The plan in a command that is word for word the webhook's: argparse would take the last of two plans."""
    words = list(container.get("command") or ())
    plan = str(words[_PLAN_AT]) if len(words) > _PLAN_AT else ""
    if words != verify_command(plan) or container.get("args"):
        raise InvalidInputError(Reason.REQUEST_INVALID, f"{VERIFY} does not run as the webhook has it run")
    return plan
