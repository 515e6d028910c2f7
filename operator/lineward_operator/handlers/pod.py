"""Pod: notes what verify left, and to which workload's run the pod belongs."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

from lineward.domain import podstatus, runs
from lineward.domain.errors import LinewardError
from lineward.domain.podstatus import Owner
from lineward.domain.policy import Policy
from lineward_operator.handlers.provenancepolicy import concerns
from lineward_operator.kubeio import PODS, TRAINING_RUNS, Json, KubeError
from lineward_operator.world import Key, Tracked, World

SETTLE = 0.2
"""Seconds in which the pods of one run are taken together."""
SETTLE_LARGE = 2.0
LARGE = 50
PATIENCE = timedelta(minutes=2)
"""How long an owner that gives no answer is asked for its own owner; a restarted API server is back by then."""

_log = logging.getLogger(__name__)


def seen(world: World, obj: Json, *, gone: bool) -> None:
    """Note a pod that has a verify container, and of all others which claims and exports they use."""
    _track(world, obj, gone=gone)
    for found in world.stays.note(obj, gone=gone):
        writers = world.disturbed.setdefault(found.reader, {}) if found.reader in world.pods else {}
        if found.real:
            writers.setdefault(found.volume, found.writer)
            world.queue.add(Key(PODS.plural, found.namespace, found.reader))
        elif writers.get(found.volume) == found.writer:
            del writers[found.volume]


def missed(world: World, uid: str) -> None:
    """Note that a pod is gone although no watch said so."""
    world.stays.forget(uid)
    if pod := world.pods.get(uid):
        pod.observed = replace(pod.observed, record=podstatus.vanished(pod.observed.record))
        pod.gone = True
        world.queue.add(Key(PODS.plural, pod.observed.namespace, uid))


def _track(world: World, obj: Json, *, gone: bool) -> None:
    try:
        observed = podstatus.observe(obj, gone=gone)
    except LinewardError as error:
        _log.warning("pod %s/%s: %s", *_name(obj), error)
        return
    if observed is None:
        return
    uid, settings = obj["metadata"]["uid"], world.settings
    genuine = podstatus.genuine(obj, settings.sidecar_image, settings.allowed_injected_env)
    if known := world.pods.get(uid):
        known.observed, known.genuine, known.gone = observed, genuine, gone
    else:
        world.unplaced.setdefault(observed.namespace, set()).add(uid)
        world.pods[uid] = Tracked(observed, genuine, gone)


async def reconcile(world: World, namespace: str, uid: str) -> float | None:
    """Find the pod's workload, and have its run looked at."""
    pod = world.pods.get(uid)
    if pod is None:
        return None
    if pod.workload is None:
        pod.workload = _recorded(world, namespace, uid) or await _workload(world, pod)
    pod.failing = None
    world.unplaced.get(namespace, set()).discard(uid)
    if pod.workload is None:
        if pod.gone:
            world.forget_pod(uid)
        return None
    members = world.members.setdefault((namespace, pod.workload.uid), set())
    members.add(uid)
    run = Key(TRAINING_RUNS.plural, namespace, pod.workload.uid)
    world.queue.add_after(run, SETTLE if len(members) < LARGE else SETTLE_LARGE)
    return None


def _recorded(world: World, namespace: str, uid: str) -> Owner | None:
    """The workload in whose run the pod is already: what was counted once stays counted."""
    for run in world.every(TRAINING_RUNS):
        status = run.get("status") or {}
        if run["metadata"]["namespace"] == namespace and any(pod["uid"] == uid for pod in status.get("pods") or ()):
            return runs.workload(run)
    return None


async def _workload(world: World, pod: Tracked) -> Owner | None:
    """The workload of a pod that the webhook let in; None for one that it cannot have seen.

    Only a namespace that is intercepted and under a policy counts, and only a pod that is younger than the webhook's
    registration: elsewhere and earlier anybody could write such a container.
    Labels of the pod do not matter here, as they can be changed after admission; the plan cannot.
    """
    observed = pod.observed
    if not pod.genuine or observed.namespace not in world.settings.intercepted_namespaces:
        return None
    registered = await world.registered()
    if not registered or observed.created <= registered:
        return None
    labels = await world.namespace_labels(observed.namespace)
    policies = (policy for policy in world.policies.values() if isinstance(policy, Policy))
    if not any(concerns(policy, observed.namespace, labels) for policy in policies):
        return None
    return await _top(world, pod)


async def _top(world: World, pod: Tracked) -> Owner:
    """The pod's topmost owner; after a while, of those that answer: a record of its own is better than none."""
    observed = pod.observed
    patient = pod.failing is None or world.now() - pod.failing < PATIENCE
    try:
        return await world.owners.top(observed.namespace, observed.owner, patient=patient)
    except KubeError:
        pod.failing = pod.failing or world.now()
        raise


def _name(obj: Json) -> tuple[str, str]:
    return str(obj["metadata"].get("namespace", "")), str(obj["metadata"].get("name", ""))
