"""Which TrainingRun belongs to which workload: found by uid, adopted from a user, or made."""

from __future__ import annotations

from collections.abc import Mapping

from lineward.domain import runs
from lineward.domain.podstatus import Owner
from lineward_operator.kubeio import TRAINING_RUNS, Json, KubeError
from lineward_operator.world import Tracked, World

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


async def create(world: World, namespace: str, pods: Mapping[str, Tracked]) -> Json:
    """Make the TrainingRun of a workload; one that exists already under its name and is about it will do.

    It has no owner reference: runs outlive their Jobs.
    """
    workload = _workload(pods)
    for full in (False, True):
        body = _body(namespace, runs.name_for(workload, full=full), workload, pods)
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


def forget_gone(world: World, namespace: str, uid: str) -> None:
    """Forget pods that no longer exist, once the run's status remembers them."""
    known = world.members.get((namespace, uid), set())
    for pod in [pod for pod in known if (tracked := world.pods.get(pod)) is None or tracked.gone]:
        known.discard(pod)
        world.forget_pod(pod)
    if not known:
        world.members.pop((namespace, uid), None)


def _workload(pods: Mapping[str, Tracked]) -> Owner:
    return next(pod.workload for pod in pods.values() if pod.workload)


def _body(namespace: str, name: str, workload: Owner, pods: Mapping[str, Tracked]) -> Json:
    plans = [pod.observed.plan for pod in pods.values()]
    read = {(volume.resource, volume.volume) for plan in plans for volume in plan.volumes if volume.resource}
    written = {output.claim for plan in plans for output in plan.outputs if output.claim}
    labels = {"app.kubernetes.io/managed-by": "lineward-operator", OWNER_LABEL: workload.uid}
    return {
        "apiVersion": TRAINING_RUNS.api_version,
        "kind": "TrainingRun",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "datasets": [{"ref": ref, "volume": volume} for ref, volume in sorted(read)],
            "outputs": [{"claim": claim} for claim in sorted(written)],
            "workloadRef": runs.reference(workload),
        },
    }


def _age(run: Json) -> tuple[str, str]:
    return str(run["metadata"].get("creationTimestamp", "")), str(run["metadata"]["name"])
