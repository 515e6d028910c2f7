"""Which TrainingRun belongs to which workload: found by uid, adopted from a user, or made.

A TrainingRun is a view that its namespace's editors may delete. What it said and the ledger has not acknowledged must
not go with it, so it is made again; where that cannot be, because its namespace goes too, memory takes its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lineward.domain import runs
from lineward.domain.conditions import Condition, Type
from lineward.domain.conditions import find as find_condition
from lineward.domain.podstatus import Owner
from lineward_operator.kubeio import TRAINING_RUNS, Json, KubeError
from lineward_operator.world import Key, Tracked, World

OWNER_LABEL = "lineward.dev/owner-uid"
"""For people and selectors only; nothing is decided by it."""


def members(world: World, namespace: str, uid: str) -> dict[str, Tracked]:
    """Known pods of a workload, by uid."""
    found = world.members.get((namespace, uid), set())
    return {pod: world.pods[pod] for pod in sorted(found) if pod in world.pods}


def find(world: World, namespace: str, uid: str, pods: Mapping[str, Tracked]) -> Json | None:
    """The run of a workload: the one bound to its uid, else the oldest that a user made for it."""
    own = [run for run in world.every(TRAINING_RUNS) if run["metadata"]["namespace"] == namespace]
    bound = [run for run in own if (found := runs.workload(run)) and found.uid == uid]
    if not bound and pods:
        workload = _workload(pods)
        bound = [run for run in own if runs.means(run, workload)]
    return min(bound, key=_age, default=None)


def candidates(world: World, run: Json) -> list[str]:
    """Uids of known workloads that an unbound TrainingRun may be meant for."""
    namespace = run["metadata"]["namespace"]
    found = {pod.workload for pod in world.pods.values() if pod.observed.namespace == namespace and pod.workload}
    return [workload.uid for workload in found if runs.means(run, workload)]


async def make(world: World, namespace: str, uid: str, pods: Mapping[str, Tracked]) -> Json | None:
    """The run of a workload made of its pods or of the run that was deleted; None where there is neither.

    It has no uid where the API server takes none, as in a namespace that is being deleted.
    """
    before = world.deleted.get((namespace, uid))
    if before is not None and (workload := runs.workload(before)):
        spec = {**(before.get("spec") or {}), "workloadRef": runs.reference(workload)}
    elif pods:
        workload = _workload(pods)
        spec = _spec(workload, pods)
    else:
        return None
    try:
        return await _create(world, namespace, workload, spec)
    except KubeError as error:
        if not error.ending:
            raise
        return _body(namespace, runs.name_for(workload), workload, spec)


def deleted(world: World, run: Json) -> None:
    """Keep what a deleted run said, unless the ledger has it and no pod adds to it; and have it made again."""
    workload, namespace = runs.workload(run), run["metadata"]["namespace"]
    status = run.get("status") or {}
    if workload is None or not status:
        return
    key = (namespace, workload.uid)
    if key in world.members or (world.ledger.configured and not recorded(status)):
        world.deleted[key] = run
        world.queue.add(Key(TRAINING_RUNS.plural, *key))


def recorded(status: Json) -> bool:
    """Whether the ledger has acknowledged all that a run's status says."""
    return (find_condition(status.get("conditions") or (), Type.RECORDED) or {}).get("status") == "True"


def remembering(world: World, namespace: str, uid: str, obj: Json) -> Json:
    """The run with what a deleted one of its workload said; nobody knows then what of it was recorded."""
    earlier = (world.deleted.get((namespace, uid)) or {}).get("status")
    if not earlier:
        return obj
    now = obj.get("status") or {}
    pods = {pod["uid"]: pod for status in (earlier, now) for pod in status.get("pods") or ()}
    denied = earlier.get("wouldDeny") or []
    denied = [*denied, *(refusal for refusal in now.get("wouldDeny") or () if refusal not in denied)]
    return {**obj, "status": {**earlier, "pods": [*pods.values()], "wouldDeny": denied, "conditions": []}}


async def write(world: World, uid: str, obj: Json, status: Json, conditions: Iterable[Condition]) -> None:
    """Write the status of a workload's run, into memory where the API server takes no such object. Raises KubeError."""
    key = (obj["metadata"]["namespace"], uid)
    if "uid" in obj["metadata"]:
        await world.set_status(TRAINING_RUNS, obj, status, conditions)
        world.deleted.pop(key, None)
    else:
        world.deleted[key] = {**obj, "status": status}


async def _create(world: World, namespace: str, workload: Owner, spec: Json) -> Json:
    """Create it; one that exists already under its name and is about the workload will do.

    It has no owner reference: runs outlive their Jobs.
    """
    for full in (False, True):
        body = _body(namespace, runs.name_for(workload, full=full), workload, spec)
        try:
            made = await world.kube.create(TRAINING_RUNS, body, namespace)
        except KubeError as error:
            if not error.conflict:
                raise
            made = await world.kube.get(TRAINING_RUNS, body["metadata"]["name"], namespace)
        if runs.means(made, workload):
            world.remember(TRAINING_RUNS, made, gone=False)
            return made
    raise LookupError(f"no free name for the TrainingRun of {workload.kind} {namespace}/{workload.name}")


def forget(world: World, namespace: str, uid: str, gone: Iterable[str]) -> None:
    """Forget pods that no longer exist, once the run's status says all of them and the ledger has it."""
    known = world.members.get((namespace, uid), set())
    for pod in gone:
        known.discard(pod)
        world.forget_pod(pod)
    if not known:
        world.members.pop((namespace, uid), None)
        world.deleted.pop((namespace, uid), None)


def _workload(pods: Mapping[str, Tracked]) -> Owner:
    return next(pod.workload for pod in pods.values() if pod.workload)


def _spec(workload: Owner, pods: Mapping[str, Tracked]) -> Json:
    plans = [pod.observed.plan for pod in pods.values()]
    read = {(volume.resource, volume.volume) for plan in plans for volume in plan.volumes if volume.resource}
    written = {output.claim for plan in plans for output in plan.outputs if output.claim}
    return {
        "datasets": [{"ref": ref, "volume": volume} for ref, volume in sorted(read)],
        "outputs": [{"claim": claim} for claim in sorted(written)],
        "workloadRef": runs.reference(workload),
    }


def _body(namespace: str, name: str, workload: Owner, spec: Json) -> Json:
    labels = {"app.kubernetes.io/managed-by": "lineward-operator", OWNER_LABEL: workload.uid}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": TRAINING_RUNS.api_version, "kind": "TrainingRun", "metadata": metadata, "spec": spec}


def _age(run: Json) -> tuple[str, str]:
    return str(run["metadata"].get("creationTimestamp", "")), str(run["metadata"]["name"])
